"""Our own HTTP/1.1 client against servers that say anything: what each answer is, and which connections live on."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cascade.channels import http1
from cascade.channels.dialling import AddressInfo
from cascade.channels.http1 import Client, Exchange, Fault, Place, Response

HOST = "127.0.0.1"
LIMIT = 1_000
PATIENCE_S = 10.0
CLOSE = None
"""In a script: the server ends the connection."""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def numbers(host: str, port: int) -> list[AddressInfo]:
    return [http1.address_info(host, port)]


@asynccontextmanager
async def client(
    total_s: float = PATIENCE_S, keep_alive_s: float = 4.0, lookup: http1.Lookup = numbers
) -> AsyncIterator[Client]:
    opened = Client(
        lookup, total_s=total_s, connect_s=min(total_s, 5.0), keep_alive_s=keep_alive_s, most_body_bytes=LIMIT
    )
    yield opened
    await opened.close()


@dataclass
class Server:
    """Says its script, a piece a request (`CLOSE` ends the connection), and remembers what it was asked."""

    script: list[Sequence[bytes | None]]
    asked: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                self.asked.append(head + await reader.readexactly(length))
                for piece in self.script.pop(0):
                    if piece is CLOSE:
                        return
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.001)  # so that it arrives as a piece
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    @property
    def place(self) -> Place:
        return http1.place(f"http://{HOST}:{self.port}/events")


@asynccontextmanager
async def serving(*script: Sequence[bytes | None]) -> AsyncIterator[Server]:
    server = Server(list(script))
    listening = await asyncio.start_server(server.serve, HOST, 0)
    server.port = listening.sockets[0].getsockname()[1]
    yield server
    listening.close()


async def ask(client: Client, server: Server, body: bytes = b"{}") -> Response | Fault:
    async with asyncio.timeout(2 * PATIENCE_S):
        return await client.ask(server.place.origin, http1.whole(http1.head("POST", server.place, {}), body))


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TO_THE_END = b"HTTP/1.1 200 OK\r\n\r\n"
ANSWERS: dict[str, tuple[Sequence[bytes | None], tuple[int, bytes, bool] | bool, int]] = {
    # what the server says, (status, body, whole) or whether a fault left, connections after a second request
    "a length": ([OK], (200, b"ok", True), 1),
    "in pieces": ([OK[:9], OK[9:30], OK[30:-1], OK[-1:]], (200, b"ok", True), 1),
    "no content": ([b"HTTP/1.1 204 No Content\r\n\r\n"], (204, b"", True), 1),
    "chunks and a trailer": ([CHUNKED, b"1\r\no\r\n1\r\nk\r\n0\r\nX-Sum: 1\r\n\r\n"], (200, b"ok", True), 1),
    "until the end": ([TO_THE_END, b"o", b"k", CLOSE], (200, b"ok", True), 2),
    "the end of an older version": ([b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"], (200, b"ok", True), 2),
    "it wants to close": ([b"HTTP/1.1 500 Oh\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"], (500, b"", True), 2),
    "an offer to upgrade": (
        [b"HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nok"],
        (200, b"ok", True),
        1,
    ),
    "news before the answer": (
        [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", OK],
        (200, b"ok", True),
        1,
    ),
    "more than the answer": ([OK + OK], (200, b"ok", True), 2),
    "too long a body": (
        [b"HTTP/1.1 200 OK\r\nContent-Length: 99000\r\n\r\n", b"x" * 9_000],
        (200, b"x" * LIMIT, False),
        2,
    ),
    "too long a body in chunks": ([CHUNKED, b"400\r\n" + b"x" * 1_024 + b"\r\n"], (200, b"x" * LIMIT, False), 2),
    "too long a body to the end": ([TO_THE_END + b"x" * 2_000, CLOSE], (200, b"x" * LIMIT, False), 2),
    "trailers without end": ([CHUNKED, b"0\r\n", *[b"X-More: " + b"x" * 9_000 + b"\r\n"] * 20], (200, b"", False), 2),
    "a body cut off": ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", CLOSE], (200, b"ok", False), 2),
    "chunks cut off": ([CHUNKED, b"2\r\nok\r\n", CLOSE], (200, b"ok", False), 2),
    "broken chunks": ([CHUNKED, b"2\r\nok\r\nzzz\r\n"], (200, b"ok", False), 2),
    "no answer": ([CLOSE], True, 2),
    "half a head": ([b"HTTP/1.1 200 OK\r\nContent-", CLOSE], True, 2),
    "no HTTP": ([b"220 mail.example ESMTP\r\n"], True, 2),
    "a switch to another protocol": ([b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"], True, 2),
    "two lengths": ([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"], True, 2),
    "a length and chunks": (
        [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
        True,
        2,
    ),
    "a head without end": ([*[b"HTTP/1.1 200 OK\r\nX: "], *[b"x" * 9_000] * 20], True, 2),
    "news without end": ([b"HTTP/1.1 100 Continue\r\n\r\n" * 9_000], True, 2),
}


@pytest.mark.parametrize(("script", "expected", "connections"), ANSWERS.values(), ids=ANSWERS)
async def test_each_answer_is_told_as_it_came(
    script: Sequence[bytes | None], expected: tuple[int, bytes, bool] | bool, connections: int
) -> None:
    async with serving(script, [OK]) as server, client() as http:
        came = await ask(http, server)
        if isinstance(came, Fault):
            assert came.has_left == expected
        else:
            assert (came.status, came.body, came.is_whole) == expected
        again = await ask(http, server)
        assert isinstance(again, Response), again
        assert (again.status, again.body, again.is_whole) == (200, b"ok", True)
        assert server.connections == connections


async def test_headers_are_found_in_any_case() -> None:
    async with (
        serving([b"HTTP/1.1 429 Slow\r\nRETRY-After: 7\r\nContent-Length: 0\r\n\r\n"]) as server,
        client() as http,
    ):
        came = await ask(http, server)
        assert isinstance(came, Response)
        assert (came.header(b"retry-after"), came.header(b"x-other")) == ("7", None)


def test_retry_after_may_be_a_date() -> None:
    """In each of the three forms that HTTP has known."""
    assert http1.retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    for far in ("Wed, 21 Oct 2099 07:28:00 GMT", "Wed Oct 21 07:28:00 2099"):
        assert (http1.retry_after_s(far) or 0) > 365 * 86_400
    assert http1.retry_after_s("Wednesday, 21-Oct-15 07:28:00 GMT") == 0
    assert http1.retry_after_s("Wed, 99 Oct 2099") is None


async def test_the_request_is_on_the_wire_as_it_was_said() -> None:
    place = http1.place("http://shop.example:8080/a%20b?c=%2F&d")
    start = http1.head("POST", place, {"User-Agent": "cascade"})
    async with serving([OK]) as server, client() as http:
        await http.ask(server.place.origin, http1.whole(start + http1.lines({"X-Id": "1"}), "é".encode()))
    assert server.asked == [
        b"POST /a%20b?c=%2F&d HTTP/1.1\r\nHost: shop.example:8080\r\nUser-Agent: cascade\r\nX-Id: 1\r\n"
        b"Content-Length: 2\r\n\r\n\xc3\xa9"
    ]
    assert http1.whole(b"GET / HTTP/1.1\r\n", None) == b"GET / HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize("value", ["a\r\nX-Other: 1", "a\nb", "a\0b"])
def test_a_header_cannot_smuggle_another(value: str) -> None:
    with pytest.raises(ValueError, match="end its line"):
        http1.lines({"X-Id": value})
    with pytest.raises(ValueError, match="end its line"):
        http1.head("GET", http1.place("http://shop.example/"), {value: "1"})


NO_URLS = [
    "shop.example",
    "ftp://shop.example/",
    "http:///a",
    "http://a b/",
    "http://shop.example/a\r\nX: 1",
    "http://é/",
]


@pytest.mark.parametrize("url", [*NO_URLS, "http://user:word@shop.example/"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="no http"):
        http1.place(url)


async def test_as_many_connections_as_requests_at_once_and_then_the_same_again() -> None:
    async with serving(*[[OK]] * 9) as server, client() as http:
        for _ in range(3):
            assert len(await asyncio.gather(*(ask(http, server) for _ in range(3)))) == 3
        assert server.connections == 3


async def test_a_connection_is_not_used_after_its_time_and_closed_then() -> None:
    async with serving([OK], [OK]) as server, client(keep_alive_s=0.02) as http:
        await ask(http, server)
        async with asyncio.timeout(PATIENCE_S):
            while http._connections:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert not http._idle
        await ask(http, server)
        assert server.connections == 2


async def test_a_connection_that_the_server_closed_meanwhile_is_not_used() -> None:
    async with serving([OK, CLOSE], [OK]) as server, client() as http:
        await ask(http, server)
        async with asyncio.timeout(PATIENCE_S):
            while http._connections:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert isinstance(await ask(http, server), Response)


LATE: dict[str, tuple[Sequence[bytes | None], Callable[[Response | Fault], bool]]] = {
    "no answer": ([], lambda came: isinstance(came, Fault) and came.has_left and isinstance(came.error, TimeoutError)),
    "half of one": (
        [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"],
        lambda came: isinstance(came, Response) and (came.status, came.body, came.is_whole) == (200, b"ok", False),
    ),
}


@pytest.mark.parametrize(("script", "is_right"), LATE.values(), ids=LATE)
async def test_all_of_it_has_one_limit_of_time(
    script: Sequence[bytes | None], is_right: Callable[[Response | Fault], bool]
) -> None:
    async with serving(script, script, [OK]) as server, client(total_s=0.1) as http:
        came = await asyncio.gather(ask(http, server), ask(http, server))
        assert [is_right(one) for one in came] == [True, True], came
        assert isinstance(await ask(http, server), Response)
        assert server.connections == 3


async def test_nothing_left_where_no_connection_was_made() -> None:
    with socket.create_server((HOST, 0)) as listener:
        closed = Server([], port=listener.getsockname()[1])
    async with client() as http:
        came = await ask(http, closed)
        assert isinstance(came, Fault)
        assert (came.has_left, isinstance(came.error, OSError)) == (False, True)


async def test_a_name_that_does_not_resolve() -> None:
    async def nobody(host: str, port: int) -> list[AddressInfo]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    async with client(lookup=nobody) as http:
        came = await ask(http, Server([], port=1))
        assert isinstance(came, Fault)
        assert (came.has_left, type(came.error)) == (False, http1.UnknownHostError)


async def test_an_address_that_answers_stands_in_for_one_that_does_not() -> None:
    async def two(host: str, port: int) -> list[AddressInfo]:
        return [http1.address_info("127.0.0.2", 1), http1.address_info(HOST, port)]

    async with serving([OK]) as server, client(lookup=two) as http:
        assert isinstance(await ask(http, server), Response)


async def test_what_is_abandoned_is_never_told_of() -> None:
    told: list[Response | Fault] = []
    async with serving([], [OK]) as server, client(total_s=0.2) as http:
        exchange: Exchange = http.send(server.place.origin, b"GET / HTTP/1.1\r\n\r\n", told.append)
        async with asyncio.timeout(PATIENCE_S):
            while not server.asked:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        http.abandon(exchange)
        connecting = http.send(server.place.origin, b"GET / HTTP/1.1\r\n\r\n", told.append)
        http.abandon(connecting)
        http.abandon(connecting)
        asking = asyncio.create_task(ask(http, server))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert isinstance(await ask(http, server), Response)
        await asyncio.sleep(0.25)
    assert told == []


async def test_to_close_ends_what_is_under_way_and_every_connection() -> None:
    told: list[Response | Fault] = []
    async with serving([OK], []) as server:
        async with client() as http:
            await ask(http, server)
            for _ in range(2):
                http.send(server.place.origin, b"GET / HTTP/1.1\r\n\r\n", told.append)
        assert told == []
        assert not http._connections


def certificate_of(host: str, folder: Path) -> Path:
    """A key with its certificate, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return pem


async def test_only_a_certificate_of_this_host_is_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pem = certificate_of("shop.example", tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    trusting = ssl.create_default_context(cafile=pem)
    monkeypatch.setattr(http1, "_tls", lambda: trusting)

    async def here(host: str, port: int) -> list[AddressInfo]:
        return [http1.address_info(HOST, port)]

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(text=request.host)

    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0, ssl_context=context)
    await site.start()
    try:
        async with client(lookup=here) as http:
            for name, expected in (("shop.example", Response), ("other.example", Fault)):
                place = http1.place(f"https://{name}:{runner.addresses[0][1]}/")
                for _ in range(2):
                    came = await http.ask(place.origin, http1.whole(http1.head("POST", place, {}), b"x"))
                    assert type(came) is expected, came
                if isinstance(came, Fault):
                    assert (type(came.error), came.has_left) == (ssl.SSLCertVerificationError, False)
                else:
                    assert came.body == place.authority.encode()
            assert len(http._connections) == 1
    finally:
        await runner.cleanup()
