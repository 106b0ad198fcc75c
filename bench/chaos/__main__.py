"""`make chaos`: kills a gateway under load, restarts it, and holds its word against what reached the phones. With
`--nodes 4` several of them on one PostgreSQL, which is killed too, and cut off.

JSON lines on standard output, one a figure, each with the seed; progress on standard error. Exit code 1 when a promise
was broken. `CASCADE_SEED` repeats the people, their messages and the moments of the kills; what these moments meet is
the machine's.
"""

import argparse
import asyncio
import json
import os
import secrets
import signal
import sqlite3
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import uvloop

from bench.chaos import nodes
from bench.chaos.killer import Killer
from bench.chaos.load import TELEGRAM_TOKEN, VIBER_TOKEN, Load
from bench.chaos.people import TELEGRAM_BOT, VIBER_BOT
from bench.chaos.told import listening
from bench.chaos.trial import RATE_PER_S, TTL_S, figures, judge, report, sandbox, settings
from bench.figures import machine
from bench.gateway import Gateway, require_command


async def chaos(home: Path, kills: int, seed: int, *, is_told: bool) -> list[dict[str, Any]]:
    """Do it all; the figures."""
    async with sandbox(home) as (http_port, smsc_port):
        gateway = Gateway(home, settings(http_port, smsc_port))
        await gateway.prepare({TELEGRAM_BOT: TELEGRAM_TOKEN, VIBER_BOT: VIBER_TOKEN})
        await gateway.start()
        load = Load(gateway, http_port, seed, RATE_PER_S, TTL_S)
        killer = Killer(gateway, seed, report)
        try:
            async with listening(gateway, seed) if is_told else nullcontext() as told:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(load.run())
                    await killer.run(kills)
                    load.stop()
                report(f"{len(load.accepted)} messages accepted; waiting until all are final")
                tally = await judge([gateway.port], gateway.key, http_port, load, killer.away, told)
                code, _ = await gateway.terminate()
                if code != 0:
                    killer.bad_stops.append(f"exit code {code} at the end")
        finally:
            await gateway.kill()
    is_sound = _integrity(home / "cascade.db") == "ok"
    return [
        *figures(load, killer, tally, told),
        {"figure": "broken_store", "value": int(not is_sound), "unit": "stores"},
    ]


def _integrity(store: Path) -> str:
    connection = sqlite3.connect(store)
    try:
        (said,) = connection.execute("PRAGMA integrity_check").fetchone()
        return str(said)
    finally:
        connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.chaos")
    parser.add_argument("--kills", type=int, help="of gateways; 50, or with several nodes 200")
    parser.add_argument("--nodes", type=int, default=1, help="more than one: on one PostgreSQL")
    parser.add_argument("--store-kills", type=int, default=10, help="of PostgreSQL itself")
    parser.add_argument("--cuts", type=int, default=3, help="of the network between a node and PostgreSQL")
    parser.add_argument("--messages", type=int, default=100_000, help="so many at least, with several nodes")
    parser.add_argument("--untold", action="store_true", help="no webhook: then answers are written another way")
    parser.add_argument("--home", type=Path, help="where store and logs lie and stay; without it they are removed")
    given = parser.parse_args()
    require_command()
    seed = int(os.environ.get("CASCADE_SEED") or secrets.randbelow(2**31))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that every `finally` ends its process
    with tempfile.TemporaryDirectory(prefix="cascade-chaos-", ignore_cleanup_errors=True) as temporary:
        home = given.home or Path(temporary)
        home.mkdir(parents=True, exist_ok=True)
        print(json.dumps({"machine": machine(home), "seed": seed}), flush=True)
        report(f"seed {seed}; CASCADE_SEED={seed} repeats it")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            if given.nodes > 1:
                plan = nodes.Plan(
                    ["all"] * given.nodes,
                    given.kills or 200,
                    given.store_kills,
                    given.cuts,
                    given.messages,
                    is_told=not given.untold,
                )
                said = runner.run(nodes.chaos(home, plan, seed))
            else:
                said = runner.run(chaos(home, given.kills or 50, seed, is_told=not given.untold))
    for figure in said:
        print(json.dumps(figure | {"seed": seed}))
    if any(figure["value"] for figure in said if figure["figure"].startswith("broken_")):
        sys.exit(1)


if __name__ == "__main__":
    main()
