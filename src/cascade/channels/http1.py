"""HTTP/1.1 as a client: connections that carry one request at a time, and no task for any of them.

The parser is llhttp (httptools), the one behind our own doors. Redirects, cookies, proxies and unpacking, which a
general client brings along, are wanted nowhere here (docs/decisions/0024-own-http-client.md).
"""

import asyncio
import re
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from socket import AF_INET, AF_INET6, IPPROTO_TCP, SOCK_STREAM
from typing import NamedTuple, cast
from urllib.parse import urlsplit

import httptools

from cascade.channels.dialling import AddressInfo, connect
from cascade.core.errors import CascadeError

MOST_HEAD_BYTES = 65_536
PLAIN = re.compile(r"[!-~]+\Z")

MOST_FRAMING = 8
"""How many octets may come for each of the body's: chunks of one octet take six, and trailers are bounded, too."""

Lookup = Callable[[str, int], Awaitable[Iterable[AddressInfo]]]
"""host, port -> its addresses, as `getaddrinfo` gives them; what it raises ends the request."""


class UnknownHostError(CascadeError):
    """The host's name does not resolve. Check it, and the resolver of this machine."""


class Origin(NamedTuple):
    host: str
    port: int
    is_tls: bool


class Place(NamedTuple):
    """Where a URL leads: `target` is what the request line names, `authority` what `Host` does."""

    origin: Origin
    authority: str
    target: str


class Response(NamedTuple):
    """`headers` as they came, their names in lower case. `is_whole` is False when the body was cut off, too slow or too
    long: then `body` is its beginning."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    is_whole: bool

    def header(self, name: bytes) -> str | None:
        """By its name in lower case; the first, of several."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), None)


class Fault(NamedTuple):
    """No status came. `has_left`: the request, or a part of it, may have reached the other side."""

    error: Exception
    has_left: bool


Done = Callable[[Response | Fault], None]


def place(url: str) -> Place:
    """Of an absolute http(s) URL that is encoded as it goes over the wire; else raises `ValueError`."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or not PLAIN.match(url):
        raise ValueError("no http(s) URL in ASCII, without user and password")
    is_tls = parts.scheme == "https"
    origin = Origin(parts.hostname, parts.port or (443 if is_tls else 80), is_tls)
    return Place(origin, parts.netloc, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def address_info(address: str, port: int) -> AddressInfo:
    """Of an address in numbers, as `getaddrinfo` would give it."""
    if ":" in address:
        return (AF_INET6, SOCK_STREAM, IPPROTO_TCP, "", (address, port, 0, 0))
    return (AF_INET, SOCK_STREAM, IPPROTO_TCP, "", (address, port))


def head(method: str, where: Place, headers: Mapping[str, str]) -> bytes:
    """How a request begins; `whole` completes it. Raises `ValueError` when a header holds what would end its line."""
    return f"{method} {where.target} HTTP/1.1\r\nHost: {where.authority}\r\n".encode() + lines(headers)


def lines(headers: Mapping[str, str]) -> bytes:
    """More headers, to be added to a head."""
    for name, value in headers.items():
        if not (name.isprintable() and value.isprintable()):
            raise ValueError(f"the header {name!r} holds what would end its line")
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode()


def whole(start: bytes, body: bytes | None) -> bytes:
    """The request of that head; `body` None: it has none."""
    if body is None:
        return start + b"\r\n"
    return b"%bContent-Length: %d\r\n\r\n%b" % (start, len(body), body)


def retry_after_s(value: str | None) -> int | None:
    """`Retry-After` in seconds, from seconds or a date (RFC 9110, 10.2.3); None when it is missing or neither."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return int(value[:9])
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # a year, an hour or an offset of twenty digits
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(round((at - datetime.now(UTC)).total_seconds()), 0)


class Exchange:
    """One request that is under way."""

    __slots__ = ("connection", "deadline_s", "done", "request")

    def __init__(self, request: bytes, done: Done, deadline_s: float) -> None:
        self.request = request
        self.done = done
        self.deadline_s = deadline_s
        self.connection: _Connection | None = None


class Client:
    """Open within a running loop. Each request under way has a connection: how many there are is the caller's to bound.

    `total_s` bounds everything from the send to the answer's last byte; `connect_s` name look-up, TCP and TLS together.
    `keep_alive_s` is how long an unused connection is kept.
    """

    def __init__(
        self, lookup: Lookup, *, total_s: float, connect_s: float, keep_alive_s: float, most_body_bytes: int
    ) -> None:
        self.most_body_bytes = most_body_bytes
        self._lookup = lookup
        self._total_s = total_s
        self._connect_s = connect_s
        self._keep_alive_s = keep_alive_s
        self._loop = asyncio.get_running_loop()
        self._idle: dict[Origin, deque[_Connection]] = {}  # of each the one unused for longest first
        self._connecting: set[asyncio.Task[None]] = set()
        self._connections: set[_Connection] = set()
        self._asked: set[asyncio.Future[Response | Fault]] = set()
        self._under_way: dict[Exchange, None] = {}  # in the order of their deadlines
        self._deadline: asyncio.TimerHandle | None = None
        self._sweep: asyncio.TimerHandle | None = None

    def send(self, origin: Origin, request: bytes, done: Done) -> Exchange:
        """`done` is called once, later, and must not raise. Neither HEAD nor CONNECT, whose answers are framed
        otherwise."""
        now_s = self._loop.time()
        exchange = Exchange(request, done, now_s + self._total_s)
        self._under_way[exchange] = None
        if self._deadline is None:
            self._deadline = self._loop.call_at(exchange.deadline_s, self._expire)
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if now_s - connection.idle_since_s < self._keep_alive_s and not connection.transport.is_closing():
                connection.begin(exchange)
                return exchange
            connection.transport.abort()
        task = self._loop.create_task(self._connect(origin, exchange))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return exchange

    async def ask(self, origin: Origin, request: bytes) -> Response | Fault:
        """The same, to be awaited."""
        answered: asyncio.Future[Response | Fault] = self._loop.create_future()

        def done(answer: Response | Fault) -> None:
            if not answered.done():  # it may have been cancelled a moment ago
                answered.set_result(answer)

        exchange = self.send(origin, request, done)
        self._asked.add(answered)
        try:
            return await answered
        finally:
            self._asked.discard(answered)
            self.abandon(exchange)

    def abandon(self, exchange: Exchange) -> None:
        """Nobody waits for it any more: `done` will not be called."""
        if exchange in self._under_way:
            del self._under_way[exchange]
            if exchange.connection is not None:
                exchange.connection.abandon()

    async def close(self) -> None:
        """What is under way is abandoned; who awaits an answer gets a `Fault`."""
        for answered in self._asked:
            if not answered.done():
                answered.set_result(Fault(ConnectionAbortedError(), has_left=True))
        for exchange in list(self._under_way):
            self.abandon(exchange)
        for task in self._connecting:
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for connection in self._connections:
            connection.transport.abort()
        for timer in (self._deadline, self._sweep):
            if timer is not None:
                timer.cancel()
        self._deadline = self._sweep = None
        await asyncio.sleep(0)  # the loop closes now what was aborted

    def opened(self, connection: "_Connection") -> None:
        self._connections.add(connection)

    def closed(self, connection: "_Connection") -> None:
        self._connections.discard(connection)

    def keep(self, connection: "_Connection") -> None:
        """It is free for the next request."""
        connection.idle_since_s = self._loop.time()
        self._idle.setdefault(connection.origin, deque()).append(connection)
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._keep_alive_s, self._close_idle)

    def settle(self, exchange: Exchange, answer: Response | Fault) -> None:
        if exchange in self._under_way:
            del self._under_way[exchange]
            exchange.done(answer)

    async def _connect(self, origin: Origin, exchange: Exchange) -> None:
        try:
            async with asyncio.timeout(self._connect_s):
                connection = await self._connected(origin)
        except Exception as error:
            self.settle(exchange, Fault(error, has_left=False))
            return
        if exchange in self._under_way:
            connection.begin(exchange)
        else:  # it came too late for this one
            self.keep(connection)

    async def _connected(self, origin: Origin) -> "_Connection":
        host, port, is_tls = origin
        try:
            addresses = await self._lookup(host, port)
        except (OSError, UnicodeError) as error:
            raise UnknownHostError(str(error)) from error
        return await connect(lambda: _Connection(self, origin), addresses, _tls() if is_tls else None, host)

    def _expire(self) -> None:
        """End those whose time is over, and look again when it is for the next."""
        self._deadline = None
        now_s = self._loop.time()
        for exchange in list(self._under_way):
            if exchange.deadline_s > now_s:
                self._deadline = self._loop.call_at(exchange.deadline_s, self._expire)
                return
            if exchange.connection is None:
                self.settle(exchange, Fault(TimeoutError(), has_left=False))
            else:
                exchange.connection.end(TimeoutError())

    def _close_idle(self) -> None:
        """Those that were unused for too long; the others when their time comes."""
        self._sweep = None
        now_s = self._loop.time()
        for origin, idle in list(self._idle.items()):
            while idle and now_s - idle[0].idle_since_s >= self._keep_alive_s:
                idle.popleft().transport.abort()
            if not idle:
                del self._idle[origin]
        if self._idle:
            oldest_s = min(idle[0].idle_since_s for idle in self._idle.values())
            self._sweep = self._loop.call_at(oldest_s + self._keep_alive_s, self._close_idle)


class _Connection(asyncio.Protocol):
    """The methods `on_…` are the parser's calls: it has them from `data_received` alone."""

    def __init__(self, client: Client, origin: Origin) -> None:
        self.origin = origin
        self.idle_since_s = 0.0
        self.transport: asyncio.Transport
        self._client = client
        self._parser = httptools.HttpResponseParser(self)
        self._exchange: Exchange | None = None
        self._received = 0
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._room = 0
        self._is_complete = False
        self._may_stay = False
        self._has_more = False

    def begin(self, exchange: Exchange) -> None:
        self._exchange = exchange
        exchange.connection = self
        self._received = 0
        self._status = 0
        self._headers = []
        self._parts = []
        self._room = self._client.most_body_bytes
        self._is_complete = False
        self.transport.write(exchange.request)

    def end(self, error: Exception) -> None:
        """Before the answer is complete, unless its length was left to the connection's end."""
        exchange = self.abandon()
        if exchange is None:
            return
        if not self._status:
            self._client.settle(exchange, Fault(error, has_left=True))
            return
        is_until_end = not any(name in (b"content-length", b"transfer-encoding") for name, _ in self._headers)
        self._client.settle(exchange, self._response(is_whole=is_until_end and isinstance(error, EOFError)))

    def abandon(self) -> Exchange | None:
        """Close it, whatever is under way; that."""
        exchange, self._exchange = self._exchange, None
        self.transport.abort()
        return exchange

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own is none by inheritance
        self._client.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._client.closed(self)
        self.end(error or EOFError())

    def eof_received(self) -> None:
        """Let the transport close: `connection_lost` follows."""

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:  # nobody asked
            self.transport.abort()
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._is_complete:
                self.end(error)
                return
            self._has_more = True
        if self._is_complete:
            self._exchange = None
            if self._may_stay and not self._has_more:
                self._client.keep(self)
            else:
                self.transport.abort()
            self._client.settle(exchange, self._response(is_whole=True))
        elif self._room < 0 or self._received > MOST_HEAD_BYTES + MOST_FRAMING * self._client.most_body_bytes:
            self.end(ValueError("too long an answer"))

    def on_message_begin(self) -> None:
        if self._is_complete:
            self._has_more = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._has_more:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200 and not self._has_more:
            self._status = status

    def on_body(self, body: bytes) -> None:
        if not self._has_more:
            self._parts.append(body)
            self._room -= len(body)

    def on_message_complete(self) -> None:
        if self._has_more:
            return
        if self._status:
            self._is_complete = True
            self._may_stay = self._parser.should_keep_alive()
        else:  # 100 or 103: the answer is still to come
            self._headers.clear()

    def _response(self, *, is_whole: bool) -> Response:
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        most = self._client.most_body_bytes
        if len(body) > most:
            return Response(self._status, self._headers, body[:most], is_whole=False)
        return Response(self._status, self._headers, body, is_whole)


@cache
def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
