"""Flash calls to make, with what does not matter filled in, and the engine's side of whatever makes them."""

import asyncio
from collections.abc import Callable

from cascade.channels.base import Heard, Transport
from cascade.core.attempt import Attempt, Outcome
from cascade.core.content import Content
from cascade.core.words import MessageType

PHONE = "+380501112233"
CALLER = "+380441234567"
PATIENCE_S = 20.0


def attempt(
    phone: str = PHONE,
    *,
    sender: str = CALLER,
    number: int = 1,
    type: MessageType = MessageType.FLASHCALL,  # noqa: A002 - the word of the house
) -> Attempt:
    return Attempt(
        account_id=1,
        message_id=number.to_bytes(16),
        number=number,
        address=phone,
        sender=sender,
        type=type,
        content=Content(""),
        window_s=300,
    )


class Engine:
    """`settled` holds each attempt's outcome by its number; one settled twice fails at once."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.settled: dict[int, Outcome] = {}
        self.heard: list[Heard] = []
        self._told = asyncio.Event()

    async def __aenter__(self) -> "Engine":
        self.transport.start(self._told.set, self._take)
        await self.until(lambda: self.transport.room() > 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.transport.stop(0)

    def send(self, *attempts: Attempt) -> None:
        self.transport.send(attempts, self._settle)

    async def outcome(self, number: int = 1) -> Outcome:
        await self.until(lambda: number in self.settled)
        return self.settled[number]

    async def call(self, one: Attempt) -> Outcome:
        self.send(one)
        return await self.outcome(one.number)

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not is_so():
                self._told.clear()
                await self._told.wait()

    def _settle(self, one: Attempt, outcome: Outcome) -> None:
        assert one.number not in self.settled
        self.settled[one.number] = outcome
        self._told.set()

    async def _take(self, heard: Heard) -> None:
        self.heard.append(heard)
        self._told.set()


async def polled(is_so: Callable[[], bool]) -> None:
    """Wait for what nobody tells us, such as what reached a phone of the sandbox."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
