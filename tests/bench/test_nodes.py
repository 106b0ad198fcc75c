"""The chaos run of several nodes, in small: real processes, a real PostgreSQL, and all of them die."""

import asyncio
import os
from pathlib import Path

import pytest

from bench.chaos import nodes, people
from bench.chaos.nodes import Plan
from bench.chaos.relay import Relay
from bench.http_client import HOST
from cascade.sandbox.people import Behaviour

WILLING = {
    people.TELEGRAM_BOT: {Behaviour.ABSENT: 1, Behaviour.DELIVERS: 1},
    people.VIBER_BOT: {Behaviour.ABSENT: 1, Behaviour.DELIVERS: 1},
    people.SMS: {Behaviour.DELIVERS: 1},
}
SEED = int(os.environ.get("CASCADE_SEED", "7"))


@pytest.mark.proof
@pytest.mark.timeout(240)
async def test_nodes_die_and_their_store_dies_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "SHARES", WILLING)  # so that nothing waits for its window to close
    plan = Plan(("api", "engine", "engine"), kills=2, store_kills=1, cuts=0, messages=300, late_s=0.0)
    figures = await nodes.chaos(tmp_path, plan, SEED)
    said = {figure["figure"]: figure["value"] for figure in figures}
    assert said["accepted"] >= plan.messages
    assert said["status_delivered"] == said["accepted"]
    assert {name: value for name, value in said.items() if name.startswith("broken_") and value} == {}


async def test_a_cut_wire_is_silent_and_says_all_when_it_is_mended() -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            heard.put_nowait(data)
            writer.write(data.upper())
        writer.close()

    server = await asyncio.start_server(echo, HOST, 0)
    wire = Relay(lambda: [1, server.sockets[0].getsockname()[1]])  # nobody answers at the first
    await wire.start()
    reader, writer = await asyncio.open_connection(HOST, wire.port)
    writer.write(b"one")
    assert await reader.read(100) == b"ONE"
    heard.get_nowait()
    wire.cut()
    writer.write(b"two")
    await asyncio.sleep(0.05)
    assert heard.empty()
    assert not reader.at_eof()
    wire.mend()
    assert await reader.read(100) == b"TWO"
    writer.close()
    await wire.stop()
    server.close()
