"""200 means stored: not even `kill -9` right after the answer loses a message."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from aiohttp import ClientSession

from .doors import PATIENCE_S, SEND, message

CASCADE = (sys.executable, "-c", "from cascade.cli.main import main; main()")


@pytest.fixture
def environment(store_url: str, tmp_path: Path) -> dict[str, str]:
    key_file = str(tmp_path / "cascade.key")
    ours = {"CASCADE_STORE__URL": store_url, "CASCADE_SECRETS__KEY_FILE": key_file, "CASCADE_HTTP__PORT": "0"}
    return dict(os.environ) | ours


@asynccontextmanager
async def serving(environment: dict[str, str]) -> AsyncIterator[tuple[Process, str]]:
    """A gateway in a process of its own, and its URL; killed in the end if it still runs."""
    process = await asyncio.create_subprocess_exec(*CASCADE, "serve", env=environment, stderr=PIPE)
    assert process.stderr is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            async for line in process.stderr:
                if b'"gateway_ready"' in line:
                    yield process, orjson.loads(line)["url"]
                    break
            else:
                pytest.fail("the gateway ended before it was ready")
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_process_killed_right_after_its_answer_has_the_message_when_it_is_back(
    environment: dict[str, str],
) -> None:
    adding = await asyncio.create_subprocess_exec(*CASCADE, "account", "add", "acme", env=environment, stdout=PIPE)
    output, _ = await adding.communicate()
    headers = {"X-Authorization-Key": output.decode().split()[-1]}
    batch = [message(), message()]
    async with ClientSession(headers=headers) as session:
        async with serving(environment) as (process, url), session.post(url + SEND, json=batch) as answer:
            assert answer.status == 200
            sent = await answer.json()
            process.send_signal(signal.SIGKILL)
            await process.wait()
        async with serving(environment) as (_, url):
            for one in sent:
                async with session.get(f"{url}/bat/message/{one['messageId']}") as answer:
                    assert (answer.status, (await answer.json())["trackinId"]) == (200, one["trackinId"])
