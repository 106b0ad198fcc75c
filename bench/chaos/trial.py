"""What every chaos run is made of: the providers' twins, the last word on each message, and the figures."""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import orjson

from bench.chaos.load import TELEGRAM_TOKEN, VIBER_TOKEN, Load
from bench.chaos.told import Told
from bench.chaos.verdict import Away, Broken, Reached, Tally
from bench.gateway import COMMAND, POLL_S, READY_S, child_environment
from bench.http_client import HOST, ask_each, request
from bench.ports import free_port

RATE_PER_S = 200.0
TTL_S = 60
LATE_S = 15.0
"""The sandbox's late receipts come after 10 s, and a receipt whose answer was lost is adopted 2 s later."""
STUCK_S = 30.0
CONNECTIONS = 4
SMPP = """
[providers.{name}]
kind = "sms.smpp"
host = "{host}"
port = {smsc_port}
system_id = "chaos-{name}"
window = 50
response_timeout_s = 5
reconnect_min_s = 0.1
reconnect_max_s = 0.5
throttle_min_s = 0.1
throttle_max_s = 0.5
"""
SETTINGS = """
[engine]
drain_s = 3
[telegram_bot]
base_url = "http://{host}:{http_port}"
rate_per_s = 1000
chat_rate_per_s = 1000
[viber_bot]
base_url = "http://{host}:{http_port}"
{providers}
[webhooks]
allow = ["{host}"]
allow_http = true
ports = []
[routes]
standard = [
  {{ channel = "telegram_bot", window_s = 4 }}, {{ channel = "viber_bot", window_s = 4 }}, {{ channel = "sms" }},
]
tg-viber = [
  {{ channel = "telegram_bot", window_s = 3 }}, {{ channel = "viber_bot", window_s = 3 }}, {{ channel = "sms" }},
]
"""


def settings(http_port: int, smsc_port: int, smpp: Sequence[str] = ("smpp",)) -> str:
    """TOML of a gateway whose providers are the sandbox's, with an SMSC account for each of these names."""
    accounts = [SMPP.format(host=HOST, smsc_port=smsc_port, name=name) for name in smpp]
    return SETTINGS.format(host=HOST, http_port=http_port, providers="".join(accounts))


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


class Deaths(Protocol):
    """What a killer has done. `away`: when something was; `bad_stops` says which stops were not in order."""

    kills: int
    away: list[tuple[int, int]]
    restarts_s: list[float]
    drains_s: list[float]
    bad_stops: list[str]


async def judge(
    ports: Sequence[int],
    key: str,
    sandbox_port: int,
    load: Load,
    away: Away,
    told: Told | None,
    *,
    ttl_s: int = TTL_S,
    late_s: float = LATE_S,
) -> Tally:
    """What became of every message, when all are final or their time is up, and what was told of it, if somebody was.
    `ports` are gateways to ask."""
    ids = list(load.accepted)
    statuses = await _until_final(ports, key, ids, ttl_s)
    await asyncio.sleep(late_s)
    statuses |= await _statuses(ports, key, ids)
    if told is not None:
        await told.until_told(statuses, away)
    reached = await _inboxes(sandbox_port, [load.accepted[id_].phone for id_ in ids])
    tally = Tally()
    for id_, things in zip(ids, reached, strict=True):
        tally.add(load.accepted[id_], statuses[id_], things, away)
    return tally


async def _until_final(ports: Sequence[int], key: str, ids: Sequence[str], ttl_s: int) -> dict[str, Any]:
    """The status of each message when all are final, or when time is up; None where it is missing."""
    statuses: dict[str, Any] = {}
    waiting = ids
    deadline_s = time.monotonic() + ttl_s + STUCK_S
    while waiting and time.monotonic() < deadline_s:
        statuses |= await _statuses(ports, key, waiting)
        waiting = [id_ for id_ in waiting if statuses[id_] is not None and statuses[id_]["finishedAt"] is None]
        if waiting:
            report(f"{len(waiting)} are not final")
            await asyncio.sleep(1.0)
    return statuses


async def _statuses(ports: Sequence[int], key: str, ids: Sequence[str]) -> dict[str, Any]:
    shares = [ids[place :: len(ports)] for place in range(len(ports))]
    found = await asyncio.gather(*(_statuses_at(port, key, share) for port, share in zip(ports, shares, strict=True)))
    return {id_: status for statuses in found for id_, status in statuses.items()}


async def _statuses_at(port: int, key: str, ids: Sequence[str]) -> dict[str, Any]:
    requests = [request("GET", f"/bat/message/{id_}", key) for id_ in ids]
    answers = await ask_each(port, requests, CONNECTIONS)
    return {
        id_: orjson.loads(answer.body) if answer.status == 200 else None
        for id_, answer in zip(ids, answers, strict=True)
    }


async def _inboxes(sandbox_port: int, phones: Sequence[str]) -> list[list[Reached]]:
    answers = await ask_each(sandbox_port, [request("GET", f"/people/{phone}/inbox") for phone in phones], CONNECTIONS)
    return [[Reached(one["channel"], one["text"]) for one in orjson.loads(answer.body)] for answer in answers]


def figures(load: Load, deaths: Deaths, tally: Tally, told: Told | None) -> list[dict[str, Any]]:
    """What every run says."""
    said: list[dict[str, Any]] = [
        {"figure": "kills", "value": deaths.kills, "unit": "kill -9"},
        {"figure": "drains", "value": len(deaths.drains_s), "unit": "SIGTERM"},
        {"figure": "longest_drain", "value": round(max(deaths.drains_s, default=0.0), 2), "unit": "s"},
        {"figure": "restart", "value": round(statistics.median(deaths.restarts_s or [0.0]), 2), "unit": "s"},
        {"figure": "accepted", "value": len(load.accepted), "unit": "messages"},
        {"figure": "unanswered", "value": load.unanswered, "unit": "messages"},
    ]
    for status, count in sorted(tally.statuses.items()):
        said.append({"figure": f"status_{status}", "value": count, "unit": "messages"})
    for excuse, count in sorted(tally.excuses.items()):
        said.append({"figure": excuse.value, "value": count, "unit": "messages"})
    said.append({"figure": "people_with_doubles", "value": tally.people_with_doubles, "unit": "people"})
    for double, count in sorted(tally.doubles.items(), key=lambda item: (item[0].cause or "", item[0].channel)):
        cause = double.cause.value if double.cause else "unexplained"
        said.append(
            {"figure": "doubles", "value": count, "unit": "messages", "cause": cause, "channel": double.channel}
        )
    for broken in Broken:
        said.append({"figure": f"broken_{broken.value}", "value": tally.broken[broken], "unit": "messages"})
    said += [] if told is None else told.figures()
    said.append({"figure": "broken_drains", "value": len(deaths.bad_stops), "unit": "SIGTERM"})
    for example in (*tally.examples, *([] if told is None else told.examples)):
        report(f"broken: {json.dumps(example)}")
    for stop in deaths.bad_stops:
        report(f"broken: {stop}")
    return said
