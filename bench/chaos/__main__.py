"""`make chaos`: kills a gateway under load, restarts it, and holds its word against what reached the phones.

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
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import uvloop

from bench.chaos.killer import Killer
from bench.chaos.load import TELEGRAM_TOKEN, VIBER_TOKEN, Load
from bench.chaos.people import TELEGRAM_BOT, VIBER_BOT
from bench.chaos.verdict import Broken, Reached, Tally
from bench.figures import machine
from bench.gateway import COMMAND, POLL_S, READY_S, Gateway, child_environment, free_port, require_command
from bench.http_client import HOST, ask_each, request

RATE_PER_S = 200.0
TTL_S = 60
LATE_S = 15.0
"""The sandbox's late receipts come after 10 s, and a receipt whose answer was lost is adopted 2 s later."""
STUCK_S = 30.0
CONNECTIONS = 4
SETTINGS = """
[engine]
drain_s = 3
[telegram_bot]
base_url = "http://{host}:{http_port}"
rate_per_s = 1000
[viber_bot]
base_url = "http://{host}:{http_port}"
[smpp]
host = "{host}"
port = {smsc_port}
system_id = "chaos"
window = 50
response_timeout_s = 5
reconnect_min_s = 0.1
reconnect_max_s = 0.5
throttle_min_s = 0.1
throttle_max_s = 0.5
[routes]
standard = [
  {{ channel = "telegram_bot", window_s = 4 }}, {{ channel = "viber_bot", window_s = 4 }}, {{ channel = "sms" }},
]
tg-viber = [
  {{ channel = "telegram_bot", window_s = 3 }}, {{ channel = "viber_bot", window_s = 3 }}, {{ channel = "sms" }},
]
"""


@asynccontextmanager
async def sandbox(home: Path) -> AsyncIterator[tuple[int, int]]:
    """The real `cascade sandbox` in a process of its own; its HTTP and SMPP ports."""
    http_port, smsc_port = free_port(), free_port()
    arguments = ("--port", str(http_port), "--smsc-port", str(smsc_port), "--sip-port", "0")
    tokens = ("--telegram-token", TELEGRAM_TOKEN, "--viber-token", VIBER_TOKEN)
    with (home / "sandbox.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            COMMAND,
            "sandbox",
            *arguments,
            *tokens,
            stdout=log,
            stderr=log,
            env=child_environment(),
            start_new_session=True,
        )
    try:
        async with asyncio.timeout(READY_S):
            while True:
                try:
                    await ask_each(http_port, [request("GET", "/counters")], 1)
                    break
                except OSError:
                    await asyncio.sleep(POLL_S)
        yield http_port, smsc_port
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def report(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


async def chaos(home: Path, kills: int, seed: int) -> list[dict[str, Any]]:
    """Do it all; the figures."""
    async with sandbox(home) as (http_port, smsc_port):
        gateway = Gateway(home, SETTINGS.format(host=HOST, http_port=http_port, smsc_port=smsc_port))
        await gateway.prepare({TELEGRAM_BOT: TELEGRAM_TOKEN, VIBER_BOT: VIBER_TOKEN})
        await gateway.start()
        load = Load(gateway, http_port, seed, RATE_PER_S, TTL_S)
        killer = Killer(gateway, seed, report)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(load.run())
                await killer.run(kills)
                load.stop()
            report(f"{len(load.accepted)} messages accepted; waiting until all are final")
            tally = await _judge(gateway, http_port, load, killer)
            code, _ = await gateway.terminate()
            if code != 0:
                killer.bad_stops.append(f"exit code {code} at the end")
        finally:
            await gateway.kill()
    return _figures(load, killer, tally, _integrity(home / "cascade.db"))


async def _judge(gateway: Gateway, sandbox_port: int, load: Load, killer: Killer) -> Tally:
    ids = list(load.accepted)
    statuses = await _until_final(gateway, ids)
    await asyncio.sleep(LATE_S)
    statuses |= await _statuses(gateway, ids)
    reached = await _inboxes(sandbox_port, [load.accepted[id_].phone for id_ in ids])
    tally = Tally()
    for id_, things in zip(ids, reached, strict=True):
        tally.add(load.accepted[id_], statuses[id_], things, killer.away)
    return tally


async def _until_final(gateway: Gateway, ids: Sequence[str]) -> dict[str, Any]:
    """The status of each message when all are final, or when time is up; None where it is missing."""
    statuses: dict[str, Any] = {}
    waiting = ids
    deadline_s = time.monotonic() + TTL_S + STUCK_S
    while waiting and time.monotonic() < deadline_s:
        statuses |= await _statuses(gateway, waiting)
        waiting = [id_ for id_ in waiting if statuses[id_] is not None and statuses[id_]["finishedAt"] is None]
        await asyncio.sleep(1.0)
    return statuses


async def _statuses(gateway: Gateway, ids: Sequence[str]) -> dict[str, Any]:
    requests = [request("GET", f"/bat/message/{id_}", gateway.key) for id_ in ids]
    answers = await ask_each(gateway.port, requests, CONNECTIONS)
    return {
        id_: orjson.loads(answer.body) if answer.status == 200 else None
        for id_, answer in zip(ids, answers, strict=True)
    }


async def _inboxes(sandbox_port: int, phones: Sequence[str]) -> list[list[Reached]]:
    answers = await ask_each(sandbox_port, [request("GET", f"/people/{phone}/inbox") for phone in phones], CONNECTIONS)
    return [[Reached(one["channel"], one["text"]) for one in orjson.loads(answer.body)] for answer in answers]


def _integrity(store: Path) -> str:
    connection = sqlite3.connect(store)
    try:
        (said,) = connection.execute("PRAGMA integrity_check").fetchone()
        return str(said)
    finally:
        connection.close()


def _figures(load: Load, killer: Killer, tally: Tally, integrity: str) -> list[dict[str, Any]]:
    figures: list[dict[str, Any]] = [
        {"figure": "kills", "value": killer.kills, "unit": "kill -9"},
        {"figure": "drains", "value": len(killer.drains_s), "unit": "SIGTERM"},
        {"figure": "longest_drain", "value": round(max(killer.drains_s, default=0.0), 2), "unit": "s"},
        {"figure": "restart", "value": round(statistics.median(killer.restarts_s or [0.0]), 2), "unit": "s"},
        {"figure": "accepted", "value": len(load.accepted), "unit": "messages"},
        {"figure": "unanswered", "value": load.unanswered, "unit": "messages"},
    ]
    for status, count in sorted(tally.statuses.items()):
        figures.append({"figure": f"status_{status}", "value": count, "unit": "messages"})
    for excuse, count in sorted(tally.excuses.items()):
        figures.append({"figure": excuse.value, "value": count, "unit": "messages"})
    figures.append({"figure": "people_with_doubles", "value": tally.people_with_doubles, "unit": "people"})
    for double, count in sorted(tally.doubles.items(), key=lambda item: (item[0].cause or "", item[0].channel)):
        cause = double.cause.value if double.cause else "unexplained"
        figures.append(
            {"figure": "doubles", "value": count, "unit": "messages", "cause": cause, "channel": double.channel}
        )
    for broken in Broken:
        figures.append({"figure": f"broken_{broken.value}", "value": tally.broken[broken], "unit": "messages"})
    figures.append({"figure": "broken_drains", "value": len(killer.bad_stops), "unit": "SIGTERM"})
    figures.append({"figure": "broken_store", "value": int(integrity != "ok"), "unit": "stores"})
    for example in tally.examples:
        report(f"broken: {json.dumps(example)}")
    for stop in killer.bad_stops:
        report(f"broken: {stop}")
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.chaos")
    parser.add_argument("--kills", type=int, default=50)
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
            figures = runner.run(chaos(home, given.kills, seed))
    for figure in figures:
        print(json.dumps(figure | {"seed": seed}))
    if any(figure["value"] for figure in figures if figure["figure"].startswith("broken_")):
        sys.exit(1)


if __name__ == "__main__":
    main()
