"""How many requests an account may make: a bucket for sending and one for reading, each refilling by the second.

A single node keeps the buckets itself. Several share those in the store: each takes a few tokens out of them at a time,
so that most requests cost nothing more, and all nodes together never let more through than one would. With a Redis they
share those in it, and are exact: each request is asked for, those that come at once together.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cascade.core.directory import Rate
from cascade.core.errors import BucketsAwayError
from cascade.store import rates
from cascade.store.database import Database
from cascade.store.rates import Taken, Wanted

log = structlog.get_logger()

HEADERS = "rate_headers"
PURSE_MS = 1_000
"""How long tokens taken out of a shared bucket are good: who takes them and has no more requests wastes the rest."""
DRY_MS = 20
"""How often an empty shared bucket is looked into at most."""
LOOK_S = 1.0
"""How often it is tried whether a Redis that was away is back."""


@dataclass(slots=True)
class Bucket:
    tokens: float
    filled_at_ms: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """`retry_after_s` None: go ahead. `headers` tell the caller where it stands."""

    headers: dict[str, str]
    retry_after_s: int | None


class Rates(Protocol):
    async def check(self, account_id: int, kind: str, rate: Rate, now_ms: int) -> Verdict:
        """Called once for each request."""
        ...

    async def close(self) -> None: ...


class OwnRates:
    """The buckets of one process."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[int, str], Bucket] = {}

    async def check(self, account_id: int, kind: str, rate: Rate, now_ms: int) -> Verdict:
        if rate.per_s == 0:
            return Verdict({}, None)
        key = (account_id, kind)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(rate.burst, now_ms)
        gained = max(now_ms - bucket.filled_at_ms, 0) * rate.per_s / 1000
        bucket.tokens = min(bucket.tokens + gained, rate.burst)
        bucket.filled_at_ms = now_ms
        is_allowed = bucket.tokens >= 1
        if is_allowed:
            bucket.tokens -= 1
        return _verdict(rate, bucket.tokens, is_allowed)

    async def close(self) -> None:
        pass


@dataclass(slots=True)
class Purse:
    """What a node has taken out of a shared bucket. `left` is what was in that then; there is no use in asking again
    before `dry_until_ms`."""

    tokens: int = 0
    taken_at_ms: int = 0
    left: float = 0.0
    dry_until_ms: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def needs(self, now_ms: int) -> bool:
        is_empty = self.tokens == 0 or not 0 <= now_ms - self.taken_at_ms < PURSE_MS
        return is_empty and now_ms >= self.dry_until_ms


class SharedRates:
    """The buckets of all nodes with doors, of which there are `doors()` now."""

    def __init__(self, database: Database, doors: Callable[[], int]) -> None:
        self._database = database
        self._doors = doors
        self._own = OwnRates()
        self._purses: dict[tuple[int, str], Purse] = {}

    async def check(self, account_id: int, kind: str, rate: Rate, now_ms: int) -> Verdict:
        if rate.per_s == 0 or self._doors() <= 1:
            return await self._own.check(account_id, kind, rate, now_ms)
        purse = self._purses.setdefault((account_id, kind), Purse())
        if purse.needs(now_ms):
            async with purse.turn:
                if purse.needs(now_ms):  # nobody else has filled it meanwhile
                    await self._fill(purse, account_id, kind, rate, now_ms)
        is_allowed = purse.tokens > 0
        if is_allowed:
            purse.tokens -= 1
        return _verdict(rate, purse.tokens + purse.left, is_allowed)

    async def _fill(self, purse: Purse, account_id: int, kind: str, rate: Rate, now_ms: int) -> None:
        wanted = max(min(rate.per_s // 10, rate.burst // 4), 1)
        async with self._database.transaction() as tx:
            purse.tokens, purse.left = await rates.take(tx, account_id, kind, rate, wanted)
        purse.taken_at_ms = now_ms
        if purse.tokens == 0:
            purse.dry_until_ms = now_ms + max(round((1 - purse.left) * 1000 / rate.per_s), DRY_MS)

    async def close(self) -> None:
        pass


class Buckets(Protocol):
    """Buckets that nodes share (store/redis_buckets)."""

    shown: str

    async def take(self, wanted: Sequence[Wanted]) -> list[Taken]: ...

    async def look(self) -> None: ...

    async def close(self) -> None: ...


class _Asked(NamedTuple):
    account_id: int
    kind: str
    rate: Rate
    answer: asyncio.Future[Taken]


class RedisRates:
    """The buckets in `buckets`; while that is away, those of `beside`. `is_alone` says that no other node has doors."""

    def __init__(self, buckets: Buckets, beside: Rates, is_alone: Callable[[], bool]) -> None:
        self._buckets = buckets
        self._beside = beside
        self._is_alone = is_alone
        self._waiting: list[_Asked] = []
        self._news = asyncio.Event()
        self._is_away = False
        self._asking: asyncio.Task[None] | None = None

    async def check(self, account_id: int, kind: str, rate: Rate, now_ms: int) -> Verdict:
        if rate.per_s == 0 or self._is_away or self._is_alone():
            return await self._beside.check(account_id, kind, rate, now_ms)
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(_Asked(account_id, kind, rate, answer))
        self._news.set()
        try:
            taken = await answer
        except BucketsAwayError:
            return await self._beside.check(account_id, kind, rate, now_ms)
        return _verdict(rate, taken.left, taken.tokens == 1)

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        _refuse(self._waiting, BucketsAwayError("the gateway stops"))
        await self._buckets.close()

    async def _ask(self) -> None:
        """One question at a time: what comes meanwhile goes with the next."""
        while True:
            await self._news.wait()
            self._news.clear()
            asked, self._waiting = self._waiting, []
            try:
                await self._answer(asked)
            except Exception as error:  # whatever it is: nobody shall wait for ever, nor be answered 500 for it
                self._is_away = True
                log.warning("redis_away", redis=self._buckets.shown, error=str(error))
                _refuse(asked + self._waiting, error)
                self._waiting = []
                await self._return()

    async def _answer(self, asked: Sequence[_Asked]) -> None:
        by_bucket: dict[tuple[int, str], list[_Asked]] = {}
        for one in asked:
            by_bucket.setdefault((one.account_id, one.kind), []).append(one)
        wanted = [Wanted(*key, some[-1].rate, len(some)) for key, some in by_bucket.items()]
        for some, (tokens, left) in zip(by_bucket.values(), await self._buckets.take(wanted), strict=True):
            for place, one in enumerate(some):
                if not one.answer.done():  # its request may be gone
                    one.answer.set_result(Taken(int(place < tokens), left + max(tokens - place - 1, 0)))

    async def _return(self) -> None:
        while self._is_away:
            await asyncio.sleep(LOOK_S)
            try:
                await self._buckets.look()
            except BucketsAwayError:
                continue
            self._is_away = False
            log.info("redis_back", redis=self._buckets.shown)


def _refuse(asked: Sequence[_Asked], error: Exception) -> None:
    for one in asked:
        if not one.answer.done():
            one.answer.set_exception(error if isinstance(error, BucketsAwayError) else BucketsAwayError(str(error)))


def _verdict(rate: Rate, tokens: float, is_allowed: bool) -> Verdict:
    headers = {
        "RateLimit-Limit": str(rate.burst),
        "RateLimit-Remaining": str(int(tokens)),
        "RateLimit-Reset": str(_seconds_until(rate.burst, tokens, rate)),
    }
    return Verdict(headers, None if is_allowed else max(_seconds_until(1, tokens, rate), 1))


def _seconds_until(wanted: float, tokens: float, rate: Rate) -> int:
    """Whole seconds, rounded up, until the bucket holds `wanted`."""
    return max(-int((tokens - wanted) // rate.per_s), 0)


class RateHeaders:
    """ASGI middleware: puts what `check` found on the answer, whoever makes it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                found = scope.get("state", {}).get(HEADERS)
                if found:
                    MutableHeaders(scope=message).update(found)
            await send(message)

        await self._app(scope, receive, send_with_headers)
