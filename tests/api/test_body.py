"""A body beyond the limit is refused before it fills the memory, whether its length was announced or not."""

import asyncio

import orjson
import pytest

from .doors import AUTH, HOST, KEY, MAX_BODY_BYTES, PATIENCE_S, SEND, Doors, message

HEAD = f"POST {SEND} HTTP/1.1\r\nHost: cascade\r\nX-Authorization-Key: {KEY}\r\n"
CHUNK = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
TOO_LARGE = {
    "announced, and nothing of it sent": (f"Content-Length: {MAX_BODY_BYTES + 1}", b""),
    "in chunks without an end": ("Transfer-Encoding: chunked", CHUNK * (MAX_BODY_BYTES // 0x1000 + 1)),
}


@pytest.mark.parametrize("case", TOO_LARGE)
async def test_is_refused_at_once(doors: Doors, case: str) -> None:
    header, body = TOO_LARGE[case]
    reader, writer = await asyncio.open_connection(HOST, doors.port)
    async with asyncio.timeout(PATIENCE_S):
        writer.write(f"{HEAD}{header}\r\n\r\n".encode() + body)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.decode().lower().split("\r\n") if line.startswith("content-length:"))
        answer = orjson.loads(await reader.readexactly(int(length.partition(":")[2])))
    writer.close()
    await writer.wait_closed()
    assert head.startswith(b"HTTP/1.1 400 ")
    assert answer["error"]["code"] == "BODY_TOO_LARGE"


async def test_a_body_of_just_the_limit_is_read(doors: Doors) -> None:
    raw = orjson.dumps([message()])
    answer = await doors.call("POST", SEND, raw=raw + b" " * (MAX_BODY_BYTES - len(raw)), headers=AUTH)
    assert answer.status == 200
