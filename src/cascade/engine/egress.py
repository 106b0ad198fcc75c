"""HTTP to addresses that clients name: never into the operator's own network, whatever a name resolves to.

What is checked is what is connected to: the addresses that were checked here are the ones that a connection gets, with
no second look-up in which a name could change its mind (DNS rebinding).
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from cascade.channels import http1
from cascade.channels.dialling import AddressInfo
from cascade.channels.http1 import Fault, Origin, Response
from cascade.core.targets import TargetRefusedError, Targets

CONNECT_S = 5.0
MOST_TARGETS = 10_000
MOST_ANSWER_BYTES = 4_096
KEEP_ALIVE_S = 4.0
HEADERS = {
    "User-Agent": "cascade",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
}
Lookup = Callable[[str, int], Awaitable[list[str]]]
"""host, port -> its addresses; raises `OSError`."""


class Answer(NamedTuple):
    """`status` None: no answer came, and `error` says why. `body` is its beginning. `retry_after_s` None: not said."""

    status: int | None
    error: str | None = None
    body: bytes = b""
    retry_after_s: int | None = None
    duration_ms: int = 0


async def look_up(host: str, port: int) -> list[str]:
    """Ask the system's resolver; a name that it takes for a number is resolved to what it means."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Egress:
    """Open within a running loop. Connections have no common limit: a slow address must not take them from others."""

    def __init__(self, targets: Targets, timeout_s: float, lookup: Lookup = look_up) -> None:
        self._targets = targets
        self._timeout_s = timeout_s
        self._lookup = lookup
        self._good: dict[str, tuple[Origin, bytes]] = {}
        self._client: http1.Client

    async def open(self) -> None:
        self._client = http1.Client(
            self._checked_addresses,
            total_s=self._timeout_s,
            connect_s=min(CONNECT_S, self._timeout_s),
            keep_alive_s=KEEP_ALIVE_S,
            most_body_bytes=MOST_ANSWER_BYTES,
        )

    async def close(self) -> None:
        await self._client.close()

    async def check(self, url: str) -> None:
        """Whether it may be called, as far as can be told now; raises `TargetRefusedError`."""
        target = self._targets.check_url(url)
        try:
            async with asyncio.timeout(CONNECT_S):
                addresses = await self._lookup(target.host, target.port)
        except (OSError, UnicodeError, TimeoutError):
            raise TargetRefusedError("The host's name does not resolve") from None
        self._targets.check_addresses(target.host, addresses)

    def send(self, url: str, headers: Mapping[str, str], body: bytes, done: Callable[[Answer], None]) -> None:
        """Post this JSON; `done` is called once, later, whatever comes of it, and must not raise. No redirect is
        followed; of the answer a few kilobytes are read."""
        loop = asyncio.get_running_loop()
        try:
            origin, start = self._target(url)
        except TargetRefusedError as refusal:
            loop.call_soon(done, Answer(None, str(refusal)))
            return
        begun_s = loop.time()

        def answered(came: Response | Fault) -> None:
            duration_ms = round((loop.time() - begun_s) * 1000)
            if isinstance(came, Fault):
                done(Answer(None, self._why(came), duration_ms=duration_ms))
            else:  # the status has come, and that is what counts: a body cut off is no failure
                after_s = http1.retry_after_s(came.header(b"retry-after"))
                done(Answer(came.status, None, came.body, after_s, duration_ms))

        self._client.send(origin, http1.whole(start + http1.lines(headers), body), answered)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """The same, to be awaited. Raises nothing."""
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.send(url, headers, body, lambda answer: None if answered.done() else answered.set_result(answer))
        return await answered

    def _why(self, fault: Fault) -> str:
        match fault.error:
            case TargetRefusedError() as refusal:
                return str(refusal)
            case http1.UnknownHostError():
                return "The host's name does not resolve"
            case ssl.SSLCertVerificationError():
                return "The certificate is not valid for this host"
            case _ if not fault.has_left:
                return "No connection"
            case TimeoutError():
                return f"No answer within {self._timeout_s:g} s"
        return f"The connection broke ({type(fault.error).__name__})"  # its text may hold the URL

    def _target(self, url: str) -> tuple[Origin, bytes]:
        """Of the few URLs that are called again and again, what is always true is found once: to which addresses a name
        leads is checked with each connection."""
        target = self._good.get(url)
        if target is None:
            where = http1.place(self._targets.check_url(url).url)
            target = where.origin, http1.head("POST", where, HEADERS)
            if len(self._good) >= MOST_TARGETS:
                self._good.clear()
            self._good[url] = target
        return target

    async def _checked_addresses(self, host: str, port: int) -> list[AddressInfo]:
        addresses = await self._lookup(host, port)
        self._targets.check_addresses(host, addresses)
        return [http1.address_info(address, port) for address in addresses]
