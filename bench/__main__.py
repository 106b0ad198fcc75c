"""`make bench`: JSON lines on standard output, the machine first and then one a figure; a table on standard error.

The gateway is the real `cascade serve`; the providers, and this process with the load, are processes of their own.
`--quick` measures once and less, to see that all of it works. `--runs 12 --only nodes` asks a noisy machine often.
"""

import argparse
import asyncio
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from bench import accept, delivery, latency, million, nodes
from bench.figures import REPOSITORY, Figure, Sample, machine, summary
from bench.gateway import require_command
from bench.scale import FULL, QUICK, Scale

Scenario = Callable[[Scale, Path], Awaitable[list[Sample]]]

SCENARIOS: dict[str, Scenario] = {
    "latency": latency.once,
    "accept": accept.once,
    "smpp": delivery.through_smpp,
    "webhooks": delivery.through_webhooks,
    "webhooks_postgres": delivery.through_webhooks_on_postgres,
    "slow_smsc": delivery.behind_a_slow_smsc,
    "telegram": delivery.through_telegram,
    "http_channels": delivery.over_http,
    "million": million.once,
    "nodes": nodes.engines,
}
PARTS = {  # apart, in their own processes: what one layer costs, and what the providers of the bench can take
    "bench.validation": (),
    "bench.accept_path": (),
    "bench.smpp_codec": (),
    "bench.http_send": (),
    "bench.smsc_load": ("--count", "100000"),
}
LONGEST_PART_S = 120
TABLE_WIDTH = 110


async def measure(scale: Scale, names: list[str], home: Path) -> list[Figure]:
    """Every scenario `scale.runs` times, each run with a new gateway on a new store in `home`."""
    samples = []
    for run in range(scale.runs):
        for name in names:
            print(f"run {run + 1} of {scale.runs}: {name}", file=sys.stderr)
            place = home / f"{name}-{run}"
            samples += await SCENARIOS[name](scale, place)
            shutil.rmtree(place)
    return summary(samples)


def measure_parts() -> Iterator[Figure]:
    """What the benches of single parts say; each takes the best, the median or the total of many rounds itself."""
    for module, arguments in PARTS.items():
        print(module, file=sys.stderr)
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=LONGEST_PART_S,
        )
        for line in done.stdout.splitlines():
            yield from _figures(json.loads(line))


def _figures(said: dict[str, Any]) -> Iterator[Figure]:
    if "spread" in said:
        yield Figure(**said)
        return
    if "figure" in said:
        named = [(said["figure"], said["value"], said["unit"])]
    else:
        name = said["bench"]
        named = [(name, said["sends_per_s"], "sends/s"), (f"{name}_cpu", said["cpu_us_per_send"], "us/send")]
    for figure, value, unit in named:
        yield Figure(figure, value, unit, (value, value), 1)


def show(figures: list[Figure]) -> None:
    table = Table(title="median of the runs")
    table.add_column("figure", no_wrap=True)
    for column in ("value", "lowest", "highest", "runs"):
        table.add_column(column, justify="right")
    table.add_column("unit")
    for name, value, unit, (low, high), runs in figures:
        table.add_row(name, *(f"{number:,.6g}" for number in (value, low, high)), str(runs), unit)
    Console(stderr=True, width=TABLE_WIDTH).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench")
    parser.add_argument("--quick", action="store_true", help="one short run of everything")
    parser.add_argument("--only", choices=SCENARIOS, action="append", help="this scenario, and no parts; repeatable")
    parser.add_argument("--runs", type=int, choices=range(1, 101), metavar="N", help="how often each scenario is run")
    given = parser.parse_args()
    require_command()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that every `finally` ends its process
    with tempfile.TemporaryDirectory(prefix="cascade-bench-", ignore_cleanup_errors=True) as home:
        print(json.dumps({"machine": machine(Path(home))}), flush=True)
        scale = QUICK if given.quick else FULL
        scale = scale._replace(runs=given.runs or scale.runs)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            figures = runner.run(measure(scale, given.only or list(SCENARIOS), Path(home)))
        if not given.only:
            figures += measure_parts()
    for figure in figures:
        print(json.dumps(figure._asdict()))
    show(figures)


if __name__ == "__main__":
    main()
