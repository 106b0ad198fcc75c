"""Buckets of requests in a Redis that all nodes share, counted by its clock: what `store/rates.py` keeps in PostgreSQL,
without a row to lock and a commit to wait for.

Source: https://redis.io/docs/latest/develop/programmability/eval-intro/
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from cascade.core.errors import BucketsAwayError, ConfigError
from cascade.store.rates import Taken, Wanted

ANSWER_S = 0.25
"""As long as a request waits for it. Then the store's buckets are asked."""
CLIENT = "cascade"

# A bucket that nobody has touched for as long as it takes to fill is full, and so is one that is not there.
TAKE = """
local rate, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('HMGET', KEYS[1], 'tokens', 'filled_at_ms')
local tokens = burst
if held[1] then
    tokens = math.min(held[1] + math.max(now_ms - held[2], 0) * rate / 1000, burst)
end
local taken = math.min(wanted, math.floor(tokens))
local left = string.format('%.6f', tokens - taken)
redis.call('HSET', KEYS[1], 'tokens', left, 'filled_at_ms', string.format('%d', now_ms))
redis.call('PEXPIRE', KEYS[1], math.ceil(burst * 1000 / rate) + 1000)
return {taken, left}
"""
LOOK = "return redis.call('TIME')"


class RedisBuckets:
    """`ConfigError` when the URL names no Redis. It connects when it is first asked."""

    def __init__(self, url: str) -> None:
        self.shown = shown(url)
        try:
            self._redis: Any = Redis.from_url(
                url,
                client_name=CLIENT,
                socket_connect_timeout=ANSWER_S,
                socket_timeout=ANSWER_S,
                retry=Retry(NoBackoff(), 1),  # once, at once: it may have closed a connection that was idle
            )
        except ValueError as error:
            raise ConfigError(
                "limits.redis_url", "it names no Redis", "Write redis://:password@host:6379/0, rediss://… or unix://…"
            ) from error

    async def take(self, wanted: Sequence[Wanted]) -> list[Taken]:
        """Take tokens out of buckets, each asked for once, by one question. `BucketsAwayError` when there is no answer:
        then what was asked for may be taken all the same."""
        asked = self._redis.pipeline(transaction=False)
        for account_id, kind, rate, tokens in wanted:
            asked.eval(TAKE, 1, f"{CLIENT}:rate:{account_id}:{kind}", rate.per_s, rate.burst, tokens)
        try:
            return [Taken(taken, float(left)) for taken, left in await asked.execute()]
        except (RedisError, OSError, TimeoutError) as error:
            raise BucketsAwayError(_said(error)) from error

    async def look(self) -> None:
        """`BucketsAwayError` when it does not answer, or lets us run no script."""
        try:
            await self._redis.eval(LOOK, 0)
        except (RedisError, OSError, TimeoutError) as error:
            raise BucketsAwayError(_said(error)) from error

    async def close(self) -> None:
        await self._redis.aclose()


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(".")


def shown(url: str) -> str:
    """The URL as it may be shown: without user, password and options."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
