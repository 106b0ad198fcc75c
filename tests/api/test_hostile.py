"""Whatever bytes come, the answer is a clear refusal: never a crash, never a hang, and nothing is stored."""

import asyncio
import gzip

import orjson
import pytest

from cascade.api import body

from .doors import AUTH, HOST, KEY, PATIENCE_S, SEND, Doors, message

DOORS = [SEND, "/api/items", "/api/tg_bot/111111:first-telegram-of-acme", "/v1/messages/status", "/v1/webhooks"]
GOOD = orjson.dumps([message()])
HOSTILE = {
    "empty": b"",
    "not JSON": b"hello",
    "a JSON text": b'"hello"',
    "a JSON number": b"7",
    "null": b"null",
    "XML": b"<message/>",
    "nested 10,000 deep": b"[" * 10_000 + b"]" * 10_000,
    "objects nested 10,000 deep": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "a huge integer": b'[{"id": ' + b"9" * 5_000 + b"}]",
    "a huge exponent": b'[{"ttl": 1e999999}]',
    "a lone surrogate": b'[{"id": "\\ud800"}]',
    "NUL in a text": b'[{"id": "a\\u0000b"}]',
    "raw NUL": b"\0\0\0\0",
    "a byte order mark": b"\xef\xbb\xbf" + GOOD,
    "UTF-16": GOOD.decode().encode("utf-16"),
    "broken UTF-8": b'[{"id": "\xff\xfe"}]',
    "cut in the middle": GOOD[: len(GOOD) // 2],
    "two documents": GOOD + GOOD,
    "NaN": b'[{"ttl": NaN}]',
    "an array of arrays": b"[[[]]]",
    "an empty object": b"{}",
}


@pytest.mark.parametrize("path", DOORS)
async def test_bad_bodies_are_refused(doors: Doors, path: str) -> None:
    for name, raw in HOSTILE.items():
        async with asyncio.timeout(PATIENCE_S):
            answer = await doors.call("POST", path, raw=raw)
        assert answer.status == 400, f"{name}: {answer.status} {answer.body!r}"
        assert answer.error["code"], name
        assert answer.error["message"], name
    assert await doors.stored() == 0


async def test_a_key_given_twice_counts_with_its_last_value(doors: Doors) -> None:
    raw = GOOD.replace(b'"text":', b'"text":"first","text":', 1)
    answer = await doors.call("POST", SEND, raw=raw)
    assert answer.status == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "nonsense"])
async def test_another_content_type_with_good_json_is_taken(doors: Doors, kind: str) -> None:
    answer = await doors.call("POST", SEND, [message()], headers={**AUTH, "Content-Type": kind})
    assert answer.status == 200


async def test_a_compressed_body_is_refused_with_the_fix(doors: Doors) -> None:
    answer = await doors.call("POST", SEND, raw=gzip.compress(GOOD), headers={**AUTH, "Content-Encoding": "gzip"})
    assert (answer.status, answer.error["code"]) == (400, "INVALID_JSON")
    assert "send the body as it is" in answer.error["message"]


async def test_a_chunked_body_is_taken(doors: Doors) -> None:
    async def chunks() -> object:
        for start in range(0, len(GOOD), 7):
            yield GOOD[start : start + 7]

    url = f"http://{HOST}:{doors.port}{SEND}"
    async with doors.session.post(url, data=chunks(), headers=AUTH) as answer:
        assert answer.status == 200


async def test_a_body_cut_off_stores_nothing_and_harms_nobody(doors: Doors) -> None:
    _, writer = await asyncio.open_connection(HOST, doors.port)
    writer.write(
        f"POST {SEND} HTTP/1.1\r\nHost: c\r\nX-Authorization-Key: {KEY}\r\nContent-Length: 999\r\n\r\n[".encode()
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await doors.send(message())
    assert await doors.stored() == 1


async def test_a_body_that_never_ends_is_given_up(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "TIME_LIMIT_S", 0.05)
    reader, writer = await asyncio.open_connection(HOST, doors.port)
    writer.write(
        f"POST {SEND} HTTP/1.1\r\nHost: c\r\nX-Authorization-Key: {KEY}\r\nContent-Length: 999\r\n\r\n[".encode()
    )
    async with asyncio.timeout(PATIENCE_S):
        assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    "raw",
    [b"\0\0\0\0\r\n\r\n", b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"A" * 100_000],
)
async def test_what_is_no_http_is_answered_or_closed(doors: Doors, raw: bytes) -> None:
    reader, writer = await asyncio.open_connection(HOST, doors.port)
    writer.write(raw)
    writer.write_eof()
    async with asyncio.timeout(PATIENCE_S):
        answer = await reader.read()
    writer.close()
    assert not answer or answer.startswith(b"HTTP/1.1 4")
    assert (await doors.call("GET", "/health/live")).status == 200
