"""What the trunk keeps, and for how long, of callers who do not speak as they should."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import cast

import pytest

from cascade.sandbox import sip_trunk
from cascade.sandbox.people import Behaviour, People
from cascade.sandbox.sip_trunk import SipTrunk
from sandbox.conftest import PATIENCE_S, PHONE

FROM = "From: <sip:+380445550101@here>;tag=1\r\n"
SDP = "m=audio 4000 RTP/AVP 8\r\n"
MALFORMED = {  # what stands in place of what
    "no From": (FROM, ""),
    "no To": ("To: ", "X-To: "),
    "no Call-ID": ("Call-ID: ", "X-Call-ID: "),
    "a CSeq of no digits": ("CSeq: 1 ", "CSeq: ² "),
    "a length of no digits": ("Content-Length: ", "Content-Length: ²"),
    "a length of 5,000 digits": ("Content-Length: ", f"Content-Length: {'9' * 5000}"),
}


def invite(branch: str = "z9hG4bK1") -> str:
    return (
        f"INVITE sip:{PHONE}@there SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch={branch}\r\n"
        f"{FROM}To: <sip:{PHONE}@there>\r\nCall-ID: {branch}\r\nCSeq: 1 INVITE\r\n"
        f"Content-Length: {len(SDP)}\r\n\r\n{SDP}"
    )


@dataclass
class Caller(asyncio.DatagramProtocol):
    heard: "asyncio.Queue[bytes]" = field(default_factory=asyncio.Queue)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.heard.put_nowait(data)

    def say(self, words: str) -> None:
        self.transport.sendto(words.encode())

    async def hear(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self.heard.get()


@pytest.fixture
async def trunk() -> AsyncIterator[SipTrunk]:
    trunk = SipTrunk(People(), "127.0.0.1")
    await trunk.start()
    yield trunk
    await trunk.stop()


@pytest.fixture
async def caller(trunk: SipTrunk) -> AsyncIterator[Caller]:
    loop = asyncio.get_running_loop()
    transport, caller = await loop.create_datagram_endpoint(Caller, remote_addr=("127.0.0.1", trunk.port))
    yield caller
    transport.close()


@pytest.mark.parametrize("case", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_call_is_not_kept_and_the_next_one_is_taken(
    trunk: SipTrunk, caller: Caller, case: tuple[str, str]
) -> None:
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context))
    caller.say(invite("z9hG4bKbad").replace(*case))
    caller.say(invite())
    assert b"branch=z9hG4bK1\r\n" in await caller.hear()
    assert list(trunk._calls) == ["z9hG4bK1"]
    assert faults == []


async def test_an_answer_that_nobody_acknowledges_is_repeated_for_a_while(
    trunk: SipTrunk, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sip_trunk, "T1_S", 0.01)
    monkeypatch.setattr(sip_trunk, "T2_S", 0.01)
    monkeypatch.setattr(sip_trunk, "KEPT_S", 0.1)
    trunk.people.get(PHONE).behave({"flashcall": Behaviour.ABSENT})
    caller.say(invite())
    heard = [await caller.hear(), await caller.hear()]
    assert all(answer.startswith(b"SIP/2.0 404") for answer in heard)
    (call,) = trunk._calls.values()
    async with asyncio.timeout(PATIENCE_S):
        while trunk._calls:  # noqa: ASYNC110 - it ends by its own clock
            await asyncio.sleep(0.01)
    assert call._repeat is not None
    assert call._repeat.cancelled()
