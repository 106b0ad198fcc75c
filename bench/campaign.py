"""`python -m bench.campaign`: a campaign from a file of 100,000 rows, killed and resumed, and what reached the phones.

The command, the gateway and the sandbox are real processes. Printed as JSON lines: how fast rows are checked and sent,
how much memory the command takes, whether its bar told the truth, and how many phones got none or two. Exit code 1 when
a promise was broken. `CASCADE_SEED` repeats the moments of the kills.
"""

import argparse
import asyncio
import json
import os
import pty
import random
import re
import secrets
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import uvloop

from bench.chaos.trial import report, sandbox
from bench.figures import machine
from bench.gateway import COMMAND, Gateway, child_environment, require_command
from bench.http_client import HOST, ask_each, request

TEXT = "Dear {Name|customer}, your code is {Code}."
TAG = "bench"
SETTINGS = """
[smpp]
host = "{host}"
port = {smsc_port}
system_id = "bench"
window = 100
[log]
level = "warning"
"""
SHOWN = re.compile(r"(checking|sending): ([0-9,]+) of ([0-9,]+) \w+(?:, [0-9,]+/s, (\d+):(\d\d):(\d\d) left)?")
SAMPLE_S = 0.05
WINDOW = 1_000
LONGEST_S = 1_800.0
CONNECTIONS = 4


def phone(number: int) -> str:
    return f"+38067{number:07d}"


def write_people(path: Path, rows: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write("Name,Phone,Code\n")
        file.writelines(f"Олена {number},{phone(number)},{number:06d}\n" for number in range(rows))


def resident_bytes(pid: int) -> int | None:
    """None: the process has ended. Linux only."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else None


class Seen(NamedTuple):
    """The bar at a moment. `left_s` None: it did not say."""

    at_s: float
    label: str
    done: int
    left_s: int | None


class Run:
    """One start of the command, in a terminal of its own, watched to its end."""

    def __init__(self, home: Path, gateway: Gateway) -> None:
        self._home = home
        self._gateway = gateway
        self.seen: list[Seen] = []
        self.rss_bytes: list[int] = []
        self.accepted: list[tuple[float, int]] = []
        self.output = ""
        self.code: int | None = None
        self.began_s = 0.0
        self.took_s = 0.0

    async def go(self, kill_at_row: int | None) -> None:
        """To its end, or until the bar has come to that row: then killed, a random moment later."""
        ours, theirs = pty.openpty()
        loop = asyncio.get_running_loop()
        self.began_s = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *(COMMAND, "send", "--csv", "people.csv", TEXT, "--from", "Bench", "--campaign", TAG, "--yes", "--json"),
            cwd=self._home,
            env=child_environment()
            | {"CASCADE_URL": self._gateway.url, "CASCADE_KEY": self._gateway.key, "TERM": "xterm", "COLUMNS": "160"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=theirs,
        )
        os.close(theirs)
        loop.add_reader(ours, self._read, ours)
        output = asyncio.create_task(process.communicate())
        try:
            async with asyncio.timeout(LONGEST_S):
                while process.returncode is None:
                    await self._sample(process.pid)
                    if kill_at_row is not None and self._sent() >= kill_at_row:
                        await asyncio.sleep(random.random() * 0.3)
                        if process.returncode is None:
                            process.kill()
                        break
                    await asyncio.sleep(SAMPLE_S)
                told, _ = await output
        finally:
            loop.remove_reader(ours)
            os.close(ours)
            if process.returncode is None:
                process.kill()
        self.took_s = time.monotonic() - self.began_s
        self.output, self.code = told.decode(), process.returncode

    def _read(self, pipe: int) -> None:
        try:
            text = os.read(pipe, 65_536).decode(errors="replace")
        except OSError:  # the command has ended
            asyncio.get_running_loop().remove_reader(pipe)
            return
        for label, done, _, *left in SHOWN.findall(text):
            hours, minutes, seconds = (int(one) if one else None for one in left)
            left_s = None if hours is None else hours * 3600 + (minutes or 0) * 60 + (seconds or 0)
            self.seen.append(Seen(time.monotonic(), label, int(done.replace(",", "")), left_s))

    def _sent(self) -> int:
        return max((seen.done for seen in self.seen if seen.label == "sending"), default=0)

    async def _sample(self, pid: int) -> None:
        if rss_bytes := resident_bytes(pid):
            self.rss_bytes.append(rss_bytes)
        self.accepted.append((time.monotonic(), int(await self._gateway.metric("cascade_messages_accepted_total"))))


def untrue(run: Run) -> int:
    """How often the bar said more than the gateway had accepted a moment later, or much less than a moment before."""
    wrong = 0
    for seen in (seen for seen in run.seen if seen.label == "sending"):
        later = next((accepted for at_s, accepted in run.accepted if at_s > seen.at_s), None)
        before = [accepted for at_s, accepted in run.accepted if at_s < seen.at_s - 0.5]
        wrong += later is not None and seen.done > later
        wrong += bool(before) and seen.done < before[-1] - 2 * WINDOW
    return wrong


def halfway_error(run: Run, rows: int) -> float | None:
    """By which share the time left, as the bar told it halfway, was wrong. None: too little was left to tell."""
    halfway = next(
        (seen for seen in run.seen if seen.label == "sending" and seen.done >= rows // 2 and seen.left_s), None
    )
    if halfway is None or halfway.left_s is None:
        return None
    really_s = run.began_s + run.took_s - halfway.at_s
    return abs(halfway.left_s - really_s) / really_s if really_s > 3 else None


async def campaign(home: Path, rows: int, kills: int, seed: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Do it all; the figures, and the promises that were broken."""
    random.seed(seed)
    broken = []
    async with sandbox(home) as (http_port, smsc_port):
        gateway = Gateway(home, SETTINGS.format(host=HOST, smsc_port=smsc_port))
        await gateway.prepare({})
        await gateway.start()
        try:
            write_people(home / "people.csv", rows)
            killed_at = sorted(random.sample(range(WINDOW, rows - WINDOW), kills))
            runs = []
            for row in [*killed_at, None]:
                run = Run(home, gateway)
                await run.go(row)
                report(f"{'killed' if row else 'ended'} after {run.took_s:.1f} s, exit code {run.code}")
                runs.append(run)
            last = runs[-1]
            if last.code != 0:
                broken.append(f"the last run ended with {last.code}: {last.output}")
            told = json.loads(last.output or "{}")
            if told.get("accepted") != rows:
                broken.append(f"it said that {told.get('accepted')} were accepted")
            delivered = {"status": "delivered"}
            await gateway.until_metric("cascade_messages_finished_total", rows, LONGEST_S, **delivered)
            received = await _received(http_port, rows)
        finally:
            await gateway.kill()
    missing, doubles = received.count(0), sum(count - 1 for count in received if count > 1)
    wrong = sum(untrue(run) for run in runs)
    broken += [f"{missing} phones got nothing"] * bool(missing) + [f"{doubles} doubles"] * bool(doubles)
    broken += [f"the bar was wrong {wrong} times"] * bool(wrong)
    return _figures(runs, rows, missing, doubles, wrong), broken


async def _received(sandbox_port: int, rows: int) -> list[int]:
    """How many messages each phone got."""
    answers = await ask_each(
        sandbox_port, [request("GET", f"/people/{phone(number)}/inbox") for number in range(rows)], CONNECTIONS
    )
    return [len(orjson.loads(answer.body)) for answer in answers]


def _figures(runs: list[Run], rows: int, missing: int, doubles: int, wrong: int) -> list[dict[str, Any]]:
    last = runs[-1]
    sending = [seen for run in runs for seen in run.seen if seen.label == "sending"]
    begun = {id(run): next((seen.at_s for seen in run.seen if seen.label == "sending"), run.began_s) for run in runs}
    checked_s = begun[id(runs[0])] - runs[0].began_s
    sent_s = sum(run.began_s + run.took_s - begun[id(run)] for run in runs)
    rss = [max(run.rss_bytes) / 2**20 for run in runs if run.rss_bytes]
    third = len(last.rss_bytes) // 3
    grown = (max(last.rss_bytes[-third:]) - max(last.rss_bytes[third : 2 * third])) / 2**20 if third else 0.0
    error = next((error for run in runs if run.code == 0 and (error := halfway_error(run, rows)) is not None), None)
    figures = [
        ("campaign_rows", rows, "rows"),
        ("campaign_kills", len(runs) - 1, "kills"),
        ("campaign_checked", rows / checked_s, "rows/s"),
        ("campaign_sent", rows / sent_s, "rows/s"),
        ("campaign_rss_most", max(rss), "MiB"),
        ("campaign_rss_grown_in_last_third", grown, "MiB"),
        ("campaign_bar_told", len(sending), "times"),
        ("campaign_bar_wrong", wrong, "times"),
        ("campaign_missing", missing, "messages"),
        ("campaign_doubles", doubles, "messages"),
    ]
    figures += [] if error is None else [("campaign_time_left_wrong_by", error * 100, "%")]
    return [{"figure": name, "value": round(value, 2), "unit": unit} for name, value, unit in figures]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.campaign")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=3)
    given = parser.parse_args()
    require_command()
    seed = int(os.environ.get("CASCADE_SEED", secrets.randbelow(2**32)))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="cascade-campaign-", ignore_cleanup_errors=True) as home:
        print(json.dumps({"machine": machine(Path(home)), "seed": seed}), flush=True)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            figures, broken = runner.run(campaign(Path(home), given.rows, given.kills, seed))
    for figure in figures:
        print(json.dumps(figure | {"seed": seed}))
    for promise in broken:
        print(json.dumps({"broken": promise, "seed": seed}))
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
