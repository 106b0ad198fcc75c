"""How many requests an account may make: a bucket for sending and one for reading, each refilling by the second."""

from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cascade.core.directory import Rate

HEADERS = "rate_headers"


@dataclass(slots=True)
class Bucket:
    tokens: float
    filled_at_ms: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """`retry_after_s` None: go ahead. `headers` tell the caller where it stands."""

    headers: dict[str, str]
    retry_after_s: int | None


class Rates:
    """The buckets of one process. `check` is called once for each request."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[int, str], Bucket] = {}

    def check(self, account_id: int, kind: str, rate: Rate, now_ms: int) -> Verdict:
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
        headers = {
            "RateLimit-Limit": str(rate.burst),
            "RateLimit-Remaining": str(int(bucket.tokens)),
            "RateLimit-Reset": str(_seconds_until(rate.burst, bucket.tokens, rate)),
        }
        return Verdict(headers, None if is_allowed else max(_seconds_until(1, bucket.tokens, rate), 1))


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
