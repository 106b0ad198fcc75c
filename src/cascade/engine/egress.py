"""HTTP to addresses that clients name: never into the operator's own network, whatever a name resolves to.

What is checked is what is connected to: the addresses that the resolver here has checked are the ones that aiohttp
gets, with no second look-up in which a name could change its mind (DNS rebinding).
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from cascade.core.targets import TargetRefusedError, Targets

CONNECT_S = 5.0
MOST_TARGETS = 10_000
MOST_ANSWER_BYTES = 4_096
HEADERS = {"User-Agent": "cascade", "Accept-Encoding": "identity"}
Lookup = Callable[[str, int], Awaitable[list[str]]]
"""host, port -> its addresses; raises `OSError`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` None: no answer came, and `error` says why. `body` is its beginning. `retry_after_s` None: not said."""

    status: int | None
    error: str | None = None
    body: bytes = field(default=b"", repr=False)
    retry_after_s: int | None = None
    duration_ms: int = 0


async def look_up(host: str, port: int) -> list[str]:
    """Ask the system's resolver; a name that it takes for a number is resolved to what it means."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class _CheckedResolver(AbstractResolver):
    def __init__(self, targets: Targets, lookup: Lookup) -> None:
        self._targets = targets
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = await self._lookup(host, port)
        self._targets.check_addresses(host, addresses)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing is held open."""


class Egress:
    """Open within a running loop. Connections have no common limit: a slow address must not take them from others."""

    def __init__(self, targets: Targets, timeout_s: float, lookup: Lookup = look_up) -> None:
        self._targets = targets
        self._timeout_s = timeout_s
        self._lookup = lookup
        self._good: dict[str, URL] = {}
        self._session: aiohttp.ClientSession

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                resolver=_CheckedResolver(self._targets, self._lookup),
                use_dns_cache=False,
                keepalive_timeout=4,
            ),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s, connect=min(CONNECT_S, self._timeout_s)),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=HEADERS,
        )

    async def close(self) -> None:
        await self._session.close()

    async def check(self, url: str) -> None:
        """Whether it may be called, as far as can be told now; raises `TargetRefusedError`."""
        target = self._targets.check_url(url)
        try:
            async with asyncio.timeout(CONNECT_S):
                addresses = await self._lookup(target.host, target.port)
        except (OSError, UnicodeError, TimeoutError):
            raise TargetRefusedError("The host's name does not resolve") from None
        self._targets.check_addresses(target.host, addresses)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send these bytes. No redirect is followed; of the answer a few kilobytes are read. Raises nothing."""
        begun_s = time.monotonic()
        answer = await self._post(url, headers, body)
        return Answer(
            answer.status,
            answer.error,
            answer.body,
            answer.retry_after_s,
            round((time.monotonic() - begun_s) * 1000),
        )

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        try:
            target = self._target(url)
            async with self._session.post(target, headers=headers, data=body, allow_redirects=False) as answer:
                beginning = await self._beginning(answer)
                return Answer(answer.status, None, beginning, retry_after_s(answer.headers.get("Retry-After")))
        except TargetRefusedError as refusal:
            return Answer(None, str(refusal))
        except TimeoutError:
            return Answer(None, f"No answer within {self._timeout_s:g} s")
        except aiohttp.ClientConnectorDNSError:
            return Answer(None, "The host's name does not resolve")
        except aiohttp.ClientConnectorCertificateError:
            return Answer(None, "The certificate is not valid for this host")
        except aiohttp.ClientConnectorError:
            return Answer(None, "No connection")
        except Exception as fault:  # only its type: its text may hold the URL
            return Answer(None, f"The connection broke ({type(fault).__name__})")

    def _target(self, url: str) -> URL:
        """Of the few URLs that are called again and again, what is always true is found once: to which addresses a name
        leads is checked with each connection."""
        target = self._good.get(url)
        if target is None:
            target = URL(self._targets.check_url(url).url, encoded=True)
            if len(self._good) >= MOST_TARGETS:
                self._good.clear()
            self._good[url] = target
        return target

    async def _beginning(self, answer: aiohttp.ClientResponse) -> bytes:
        """The body's first kilobytes. The status has come, and that is what counts: a body cut off is no failure."""
        parts = bytearray()
        try:
            while len(parts) < MOST_ANSWER_BYTES and (
                part := await answer.content.read(MOST_ANSWER_BYTES - len(parts))
            ):
                parts += part
            if not answer.content.at_eof():
                answer.close()
        except (aiohttp.ClientError, TimeoutError):
            answer.close()
        return bytes(parts)


def retry_after_s(value: str | None) -> int | None:
    """`Retry-After` in seconds, from seconds or a date (RFC 9110, 10.2.3); None when it is missing or neither."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return int(value[:9])
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(round((at - datetime.now(UTC)).total_seconds()), 0)
