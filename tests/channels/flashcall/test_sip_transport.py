"""The trunk of the sandbox and scripted ones, over real sockets: what a call comes to, and what the wire survives."""

import asyncio
import ipaddress
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs

from cascade.channels.base import Health
from cascade.channels.flashcall.sip.message import Request, Response, decode
from cascade.channels.flashcall.sip.settings import Carrier, SipSettings
from cascade.channels.flashcall.sip.transport import SipTransport
from cascade.core.attempt import AnswerLost, Delivered, NotSent, Outcome, Rejected, Retry
from cascade.core.errors import ConfigError
from cascade.core.secret import Secret
from cascade.core.words import MessageType, Reason
from cascade.sandbox.people import Behaviour, People
from cascade.sandbox.sip_trunk import SipTrunk

from .attempts import CALLER, PHONE, Engine, attempt, polled

SECRET = "a-trunk-secret"
ACCOUNTS = {"gw": SECRET}
QUICK: dict[str, Any] = {
    "username": "gw",
    "password": Secret(SECRET),
    "ring_s": 0.05,
    "no_ring_s": 2,
    "trunk_s": 1.5,
    "window": 32,
    "reconnect_min_s": 0.02,
    "reconnect_max_s": 0.1,
}
LATE_S = 0.2


@asynccontextmanager
async def trunk(**options: Any) -> AsyncIterator[SipTrunk]:
    twin = SipTrunk(People(), "127.0.0.1", **{"accounts": ACCOUNTS, "late_s": LATE_S, **options})
    await twin.start()
    try:
        yield twin
    finally:
        await twin.stop()


def transport(port: int, **settings: Any) -> SipTransport:
    return SipTransport(SipSettings("127.0.0.1", port, **{**QUICK, **settings}))


def kind(outcome: Outcome) -> tuple[type[Outcome], Reason | None]:
    return type(outcome), getattr(outcome, "reason", None)


COMES_TO: dict[Behaviour, tuple[type[Outcome], Reason | None]] = {
    Behaviour.DELIVERS: (Delivered, None),
    Behaviour.READS: (Delivered, None),
    Behaviour.ABSENT: (Rejected, Reason.UNKNOWN_RECIPIENT),
    Behaviour.BLOCKED: (Rejected, Reason.BLOCKED),
    Behaviour.REJECTS: (Rejected, Reason.INVALID_SENDER),
    Behaviour.SILENT: (Rejected, Reason.UNDELIVERABLE),
    Behaviour.LATE: (Delivered, None),
    Behaviour.REPEATED: (Delivered, None),
    Behaviour.THROTTLED: (Retry, Reason.THROTTLED),
    Behaviour.DOWN: (Retry, Reason.PROVIDER_DOWN),
    Behaviour.ANSWER_LOST: (AnswerLost, None),
}
REACHED = {Behaviour.DELIVERS, Behaviour.READS, Behaviour.LATE, Behaviour.REPEATED, Behaviour.ANSWER_LOST}


@pytest.mark.parametrize(("carrier", "algorithm"), [("udp", "SHA-256"), ("tcp", "MD5")])
async def test_all_kinds_of_phones_at_once(carrier: str, algorithm: str) -> None:
    async with trunk(algorithm=algorithm) as twin, Engine(transport(twin.port, carrier=Carrier(carrier))) as engine:
        phones = {behaviour: f"+38050000{number:04}" for number, behaviour in enumerate(Behaviour)}
        for behaviour, phone in phones.items():
            twin.people.get(phone).behave({"flashcall": behaviour})
        with capture_logs() as logs:
            engine.send(*(attempt(phone, number=place) for place, phone in enumerate(phones.values())))
            came = {behaviour: kind(await engine.outcome(place)) for place, behaviour in enumerate(phones)}
        assert came == COMES_TO
        assert {behaviour for behaviour, phone in phones.items() if twin.people.look(phone).inbox} == REACHED
        (missed,) = twin.people.look(phones[Behaviour.DELIVERS]).inbox
        assert (missed.channel, missed.sender, missed.text) == ("flashcall", CALLER, f"Missed call from {CALLER}")
        await engine.until(lambda: engine.transport.room() == QUICK["window"])  # on a new wire: the trunk was silent
        said = json.dumps(logs, default=str)
        for hidden in (SECRET, *phones.values(), CALLER):
            assert hidden.removeprefix("+") not in said


async def test_a_throttled_phone_is_reached_by_the_second_try() -> None:
    async with trunk() as twin, Engine(transport(twin.port)) as engine:
        twin.people.get(PHONE).behave({"flashcall": Behaviour.THROTTLED})
        assert await engine.call(attempt(number=1)) == Retry(Reason.THROTTLED, 1.0, "503 Service Unavailable")
        assert kind(await engine.call(attempt(number=2))) == (Delivered, None)


async def test_wrong_credentials_are_told_to_the_operator() -> None:
    async with trunk() as twin, Engine(transport(twin.port, password=Secret("wrong"))) as engine:
        with capture_logs() as logs:
            assert kind(await engine.call(attempt())) == (Rejected, Reason.MISCONFIGURED)
        assert [(line["event"], line["log_level"]) for line in logs] == [("attempt_rejected", "error")]


async def test_no_more_calls_than_the_window_at_once() -> None:
    async with trunk() as twin, Engine(transport(twin.port, window=2)) as engine:
        engine.send(*(attempt(number=number) for number in (1, 2, 3)))
        assert engine.settled == {3: NotSent()}
        assert engine.transport.room() == 0
        await engine.outcome(1)
        await engine.outcome(2)
        assert engine.transport.room() == 2


UNFIT = {
    "a text": (attempt(type=MessageType.TRANSACTION), Reason.CONTENT_UNFIT),
    "no number to call from": (attempt(sender="Shop"), Reason.INVALID_SENDER),
}


@pytest.mark.parametrize(("one", "reason"), UNFIT.values(), ids=UNFIT)
async def test_what_is_no_flash_call_never_leaves_us(one: Any, reason: Reason) -> None:
    async with trunk() as twin, Engine(transport(twin.port)) as engine:
        outcome = await engine.call(one)
        assert isinstance(outcome, Rejected)
        assert (outcome.reason, outcome.is_ours) == (reason, True)
        assert twin.counters.requests == 0


async def test_stopping_ends_the_ringing_first() -> None:
    async with trunk() as twin:
        ours = transport(twin.port, ring_s=5)
        async with Engine(ours) as engine:
            engine.send(attempt())
            await polled(lambda: bool(twin.people.look(PHONE).inbox))
            await ours.stop(5)
            assert kind(engine.settled[1]) == (Delivered, None)
            assert twin.acknowledged == 2  # of the challenge, and of the 487


async def test_stopping_without_grace_says_what_is_known() -> None:
    async with trunk(late_s=30) as twin:
        ours = transport(twin.port, no_ring_s=10, trunk_s=10)
        twin.people.get(PHONE).behave({"flashcall": Behaviour.LATE})
        async with Engine(ours) as engine:
            engine.send(attempt())
            await polled(lambda: twin.counters.accepted == 1)
            await ours.stop(0)
            assert engine.settled[1] == AnswerLost("stopped during the call")
            assert ours.room() == 0


async def test_a_link_that_another_node_had_meanwhile_begins_anew() -> None:
    async with trunk() as twin:
        ours = transport(twin.port)
        for number in (1, 2):
            async with Engine(ours) as engine:
                assert kind(await engine.call(attempt(number=number))) == (Delivered, None)
            assert ours.room() == 0


# -- the wire ---------------------------------------------------------------------------------------------------------


async def test_a_udp_port_where_nobody_listens_is_down_at_once_and_comes_back() -> None:
    async with trunk() as twin:
        port = twin.port
    async with Engine(transport(port, no_ring_s=10, trunk_s=10)) as engine:
        outcome = await engine.call(attempt(number=1))
        assert outcome == Retry(Reason.PROVIDER_DOWN, None, "nobody listens there")
        async with trunk(port=port):
            assert kind(await engine.call(attempt(number=2))) == (Delivered, None)


async def test_a_tcp_connection_is_made_again_and_the_phone_is_not_left_ringing() -> None:
    async with trunk() as twin, Engine(transport(twin.port, carrier=Carrier.TCP, ring_s=0.3)) as engine:
        engine.send(attempt(number=1))
        await polled(lambda: bool(twin.people.look(PHONE).inbox))
        for stream in list(twin.streams):
            stream.abort()
        assert kind(await engine.outcome(1)) == (Delivered, None)


async def test_without_a_connection_there_is_no_room() -> None:
    async with trunk() as twin:
        port = twin.port
    ours = transport(port, carrier=Carrier.TCP)
    ours.start(lambda: None, _no_receipts)
    with capture_logs() as logs:
        await polled(lambda: bool(logs))
    assert (ours.room(), logs[0]["event"]) == (0, "connect_failed")
    assert ours.trouble() == (Reason.PROVIDER_DOWN, "ConnectionRefusedError")
    await ours.stop(0)


async def test_a_call_given_up_that_rings_after_all_is_ended_where_it_was_begun() -> None:
    """Meanwhile others go another way, for the trunk's name may lead elsewhere by now."""
    async with scripted() as peer, Engine(transport(peer.port, trunk_s=0.1)) as engine:
        assert kind(await engine.call(attempt(number=1))) == (AnswerLost, None)
        invite, first_address = await peer.heard.get(), peer.addr
        await polled(lambda: engine.transport.room() > 0)
        engine.send(attempt(number=2))
        await polled(lambda: peer.addr != first_address)
        kept = "".join(f"{name}: {value}\n" for name, value in invite.headers if name in ("Via", "Call-ID", "CSeq"))
        ringing = f"SIP/2.0 180 Ringing\n{kept}Content-Length: 0\n\n".replace("\n", "\r\n")
        peer.transport.sendto(ringing.encode(), first_address)
        async with asyncio.timeout(10):
            while not (isinstance(said := await peer.heard.get(), Request) and said.method == "CANCEL"):
                continue
        assert said.headers.first("call-id") == invite.headers.first("call-id")


class Scripted(asyncio.DatagramProtocol):
    """A UDP trunk that says nothing by itself."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[Request | Response] = asyncio.Queue()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.addr = addr
        self.heard.put_nowait(decode(data))

    def say(self, text: str) -> None:
        self.transport.sendto(text.replace("\n", "\r\n").encode(), self.addr)


@asynccontextmanager
async def scripted() -> AsyncIterator[Scripted]:
    made, peer = await asyncio.get_running_loop().create_datagram_endpoint(Scripted, ("127.0.0.1", 0))
    try:
        yield peer
    finally:
        made.close()


ASKED = {  # a request of the trunk's, and our answer
    "whether we live": ("OPTIONS", 200),
    "to end a call that is none": ("BYE", 481),
    "to take a call": ("INVITE", 405),
}
REQUEST = """{method} sip:gw@127.0.0.1 SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK-a
Via: SIP/2.0/UDP 127.0.0.2:9;branch=z9hG4bK-b
From: <sip:t@t>;tag=1
To: <sip:gw@t>
Call-ID: theirs
CSeq: 7 {method}
Content-Length: 0

"""


@pytest.mark.parametrize(("method", "status"), ASKED.values(), ids=ASKED)
async def test_a_trunk_that_asks_is_answered(method: str, status: int) -> None:
    async with scripted() as peer, Engine(transport(peer.port, no_ring_s=5, trunk_s=5)) as engine:
        engine.send(attempt())
        await peer.heard.get()
        peer.say("\n\n")  # a keep-alive
        peer.say("no SIP at all\n\n")
        peer.say(REQUEST.format(method="ACK"))
        peer.say(REQUEST.replace("Call-ID: theirs\n", "").format(method=method))
        peer.say(REQUEST.format(method=method))
        answer = await _response(peer)
        assert answer.status == status
        assert [via.rpartition("-")[2] for via in answer.headers.all("via")] == ["a", "b"]
        assert (answer.headers.first("to") or "").startswith("<sip:gw@t>;tag=")
        assert answer.headers.first("cseq") == f"7 {method}"


async def test_a_trunk_that_only_asks_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks and asks and reads no answer: what we hold for it is bounded."""
    monkeypatch.setattr("cascade.channels.flashcall.sip.wire.MOST_UNREAD_OCTETS", 100_000)
    lines = ("OPTIONS sip:gw SIP/2.0", "Via: SIP/2.0/TCP a;branch=z9hG4bK1", "From: <sip:t@a>;tag=1", "To: <sip:gw@a>")
    asks = "\r\n".join((*lines, "Call-ID: 1", "CSeq: 1 OPTIONS", "Content-Length: 0", "", "")).encode()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(asks * 1_000)
                await writer.drain()
        except ConnectionError:
            writer.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        server = await asyncio.start_server(talk, sock=listener, limit=1_000)
        with capture_logs() as logs:
            async with server, Engine(transport(listener.getsockname()[1], carrier=Carrier.TCP)):
                await polled(lambda: {"peer_does_not_read", "connection_lost"} <= {line["event"] for line in logs})


async def _response(peer: Scripted) -> Response:
    async with asyncio.timeout(10):
        while not isinstance(message := await peer.heard.get(), Response):
            continue
        return message


# -- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "trunk")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "trunk.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(pem) + private)
    return path


def serving(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


TRUSTED: dict[str, Callable[[Path], dict[str, object]]] = {
    "by its authority": lambda path: {"tls_ca_file": str(path)},
    "by nobody, where that is allowed": lambda _: {"tls_verify": False},
}


@pytest.mark.parametrize("settings", TRUSTED.values(), ids=TRUSTED)
async def test_a_call_goes_by_tls(certificate: Path, settings: Callable[[Path], dict[str, object]]) -> None:
    async with trunk(tls=serving(certificate)) as twin:
        ours = transport(twin.port, carrier=Carrier.TLS, **settings(certificate))
        assert kind(await _called(ours)) == (Delivered, None)


async def _called(ours: SipTransport) -> Outcome:
    async with Engine(ours) as engine:
        return await engine.call(attempt())


async def test_an_untrusted_trunk_hears_nothing(certificate: Path) -> None:
    async with trunk(tls=serving(certificate)) as twin:
        ours = transport(twin.port, carrier=Carrier.TLS)
        ours.start(lambda: None, _no_receipts)
        with capture_logs() as logs:
            await polled(lambda: bool(logs))
        assert (logs[0]["event"], logs[0]["error"], ours.room()) == ("connect_failed", "SSLCertVerificationError", 0)
        await ours.stop(0)


async def _no_receipts(_: object) -> None: ...


# -- a look at the trunk ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("carrier", ["udp", "tcp"])
async def test_a_trunk_that_answers_is_well(carrier: str) -> None:
    async with trunk() as twin:
        found = await transport(twin.port, carrier=Carrier(carrier)).check()
        assert found == Health(True, f"127.0.0.1:{twin.port} ({carrier}) answers: 200 OK")


@pytest.mark.parametrize("carrier", ["udp", "tcp"])
async def test_nobody_at_the_port_is_not(carrier: str) -> None:
    async with trunk() as twin:
        port = twin.port
    found = await transport(port, carrier=Carrier(carrier), no_ring_s=5, trunk_s=5).check()
    assert found == Health(False, f"127.0.0.1:{port} ({carrier}): nobody listens there")


ANSWERED_BY = {  # what a scripted trunk says to OPTIONS, one after another, and what is made of it
    "it wants credentials, and takes them": ((401, 200), True),
    "it does not take them": ((401, 401), False),
    "it knows no OPTIONS, but it is there": ((405,), True),
}


@pytest.mark.parametrize(("statuses", "is_well"), ANSWERED_BY.values(), ids=ANSWERED_BY)
async def test_credentials_are_tried_where_they_are_wanted(statuses: tuple[int, ...], is_well: bool) -> None:
    async with scripted() as peer:
        looking = asyncio.create_task(transport(peer.port).check())
        for status in statuses:
            options = await peer.heard.get()
            assert isinstance(options, Request)
            assert (options.headers.first("authorization") is not None) == (
                options.headers.first("cseq") == "2 OPTIONS"
            )
            challenge = 'WWW-Authenticate: Digest realm="t", nonce="n"\n' if status == 401 else ""
            kept = "".join(
                f"{name}: {value}\n" for name, value in options.headers if name in ("Via", "Call-ID", "CSeq")
            )
            peer.say(f"SIP/2.0 {status} Words\n{kept}{challenge}Content-Length: 0\n\n")
        found = await looking
        assert (found.is_well, SECRET in found.detail) == (is_well, False)


async def test_a_silent_trunk_is_not_well() -> None:
    async with scripted() as peer:
        found = await transport(peer.port, trunk_s=0.1).check()
        assert found == Health(False, f"127.0.0.1:{peer.port} (udp) says nothing to OPTIONS")


# -- settings ---------------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a host with a scheme": ({"host": "sip:trunk"}, "host"),
    "a domain with a line break": ({"domain": "a\r\nb"}, "domain"),
    "a caller that is a name": ({"callers": ("Shop",)}, "callers"),
    "no window": ({"window": 0}, "window"),
    "ringing for too long": ({"ring_s": 6}, "ring_s"),
    "waiting for too long": ({"no_ring_s": 21}, "no_ring_s"),
    "a trunk slower than the phone": ({"trunk_s": 13}, "trunk_s"),
    "a user name with a tab": ({"username": "a\tb"}, "username"),
    "a CA file that is not there": ({"carrier": Carrier.TLS, "tls_ca_file": "/nowhere.pem"}, "tls_ca_file"),
}


@pytest.mark.parametrize(("settings", "name"), WRONG.values(), ids=WRONG)
def test_a_wrong_setting_is_named(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigError) as refused:
        SipTransport(SipSettings(**{"host": "trunk", **settings}))
    assert refused.value.setting == f"sip.{name}"
