"""A provider in the hand of the test: it writes down what is sent through it and answers when it is told to."""

import asyncio
from collections.abc import Callable, Sequence

from cascade.channels.base import Capabilities, Settle, TakeHeard
from cascade.core.attempt import Accepted, AnswerLost, Attempt, Outcome
from cascade.core.words import Channel

Answer = Callable[[Attempt], Outcome]


def accept(attempt: Attempt) -> Outcome:
    """As an SMSC does: with an id that names the message and the attempt."""
    return Accepted((provider_id(attempt.message_id, attempt.number),))


def provider_id(message_id: bytes, attempt: int) -> str:
    return f"{int.from_bytes(message_id, 'big')}.{attempt}"


class FakeTransport:
    """`window` bounds what is unanswered, 0: not connected; so many more as `spare` may wait behind it. `answer` None:
    only `settle` answers. `parts`: in how many an attempt goes out.

    It keeps to the protocol of `channels.base.Transport`; `faults` says where the engine did not, `late` how many
    attempts came after it was stopped.
    """

    def __init__(
        self,
        channel: Channel = Channel.SMS,
        *,
        window: int = 1_000,
        spare: int = 0,
        answer: Answer | None = None,
        has_receipts: bool = True,
        takes_our_id: bool = False,
        parts: int = 1,
    ) -> None:
        self.capabilities = Capabilities(channel, has_receipts, takes_our_id)
        self.answer = answer
        self._parts = parts
        self.attempts: list[Attempt] = []
        self.sets: list[int] = []
        self.sent_at_ms: list[int] = []
        self.now_ms: Callable[[], int] = lambda: 0
        self.faults: list[str] = []
        self.late = 0
        self.is_started = self.is_stopped = False
        self.take: TakeHeard
        self._window = window
        self._spare = spare
        self._open: dict[tuple[bytes, int], tuple[Attempt, Settle]] = {}
        self._on_room: Callable[[], None] = lambda: None
        self._answered = asyncio.Event()

    @property
    def open(self) -> list[Attempt]:
        """Sent and not answered, in the order they were sent."""
        return [attempt for attempt, _ in self._open.values()]

    @property
    def numbers(self) -> list[int]:
        """The messages of all attempts, in the order they were sent."""
        return [int.from_bytes(attempt.message_id, "big") for attempt in self.attempts]

    def has_sent(self, least: int) -> bool:
        return len(self.attempts) >= least

    def widen(self, window: int) -> None:
        self._window = window
        self._on_room()

    def start(self, on_room: Callable[[], None], take: TakeHeard) -> None:
        self._on_room = on_room
        self.take = take
        self.is_started, self.is_stopped = True, False

    def receipts_of(self, attempt: Attempt) -> int:
        return self._parts

    def wake(self) -> None:
        self._on_room()

    def room(self) -> int:
        return 0 if self.is_stopped else max(self._window - len(self._open), 0)

    def spare(self) -> int:
        if self.is_stopped or self._window == 0:
            return 0
        return max(self._window + self._spare - len(self._open), 0) - self.room()

    def send(self, attempts: Sequence[Attempt], settle: Settle) -> None:
        if self.is_stopped:
            self.late += len(attempts)
        elif len(attempts) > self.room() + self.spare():
            self.faults.append(f"{len(attempts)} sent into room for {self.room()} and {self.spare()}")
        self.sets.append(len(attempts))
        self.attempts += attempts
        self.sent_at_ms += [self.now_ms()] * len(attempts)
        for attempt in attempts:
            self._open[attempt.message_id, attempt.number] = (attempt, settle)
            if self.answer is not None:
                asyncio.get_running_loop().call_soon(self.settle, attempt, self.answer(attempt))

    def settle(self, attempt: Attempt, outcome: Outcome) -> None:
        kept = self._open.pop((attempt.message_id, attempt.number), None)
        if kept is None:
            return  # it was cut off by `stop`
        _, settle = kept
        settle(attempt, outcome)
        self._answered.set()
        self._on_room()

    def settle_all(self, answer: Answer) -> None:
        for attempt in self.open:
            self.settle(attempt, answer(attempt))

    async def stop(self, grace_s: float) -> None:
        self.is_started, self.is_stopped = False, True
        try:
            async with asyncio.timeout(grace_s):
                while self._open:
                    self._answered.clear()
                    await self._answered.wait()
        except TimeoutError:
            self.settle_all(lambda attempt: AnswerLost())
