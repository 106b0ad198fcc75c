"""How many requests an account may make: a bucket for sending and one for reading, each refilling by the second.

A single node keeps the buckets itself. Several share those in the store: each takes a few tokens out of them at a time,
so that most requests cost nothing more, and all nodes together never let more through than one would.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cascade.core.directory import Rate
from cascade.store import rates
from cascade.store.database import Database

HEADERS = "rate_headers"
PURSE_MS = 1_000
"""How long tokens taken out of a shared bucket are good: who takes them and has no more requests wastes the rest."""
DRY_MS = 20
"""How often an empty shared bucket is looked into at most."""


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
