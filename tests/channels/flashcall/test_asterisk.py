"""Calls by Asterisk: what each event means, with a clock that is a value; and the sandbox's one over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, web
from structlog.testing import capture_logs

from cascade.channels.base import Health
from cascade.channels.flashcall.asterisk.call import HANG_UP_S, Call, Do, told
from cascade.channels.flashcall.asterisk.settings import AsteriskSettings
from cascade.channels.flashcall.asterisk.transport import AsteriskTransport
from cascade.channels.http import basic
from cascade.core.attempt import AnswerLost, Delivered, NotSent, Outcome, Rejected, Retry
from cascade.core.errors import ConfigError
from cascade.core.secret import Secret
from cascade.core.words import MessageType, Reason
from cascade.sandbox.asterisk import Asterisk
from cascade.sandbox.people import Behaviour, People

from .attempts import CALLER, PHONE, Engine, attempt, polled

PASSWORD = "an-ari-secret"
SETTINGS = AsteriskSettings("cascade", Secret(PASSWORD))
QUICK: dict[str, Any] = {"ring_s": 0.05, "no_ring_s": 2, "timeout_s": 5, "reconnect_min_s": 0.02, "window": 32}


# -- one call ---------------------------------------------------------------------------------------------------------


class Talk:
    """A call at 100 s, and what it asked for."""

    def __init__(self, *, is_first: bool = True, **settings: Any) -> None:
        given = {"username": "cascade", "password": Secret(PASSWORD), **settings}
        self.call = Call("name", AsteriskSettings(**given), is_first=is_first)
        self.now_s = 100.0
        assert self.call.begin(self.now_s) == [Do.ORIGINATE]

    def hear(self, type_: str, **fields: Any) -> list[Do]:
        return told(self.call, {"type": type_, **fields}, self.now_s)

    def ring(self) -> list[Do]:
        return self.hear("ChannelStateChange", channel={"state": "Ringing"})

    def end(self, cause: int) -> Outcome | None:
        self.hear("ChannelDestroyed", cause=cause, cause_txt="words")
        return self.call.outcome

    def wait(self, seconds: float) -> list[Do]:
        self.now_s += seconds
        return self.call.passed(self.now_s)


REACHED = Delivered("name")


@pytest.mark.parametrize("how", ["ChannelStateChange", "Dial"])
def test_it_rings_for_as_long_as_set_and_is_hung_up(how: str) -> None:
    talk = Talk()
    talk.call.originated(200, "", talk.now_s)
    assert talk.hear(how, channel={"state": "Ringing"}, dialstatus="RINGING") == []
    assert talk.wait(1.9) == []
    assert talk.wait(0.2) == [Do.HANG_UP]
    assert talk.call.outcome is None
    assert talk.end(16) == REACHED
    assert talk.call.next_at_s is None


ENDS = {  # it rang, the cause, the outcome
    "rings, and the person pushes it away": (True, 21, REACHED),
    "rings, and the phone turns busy": (True, 17, REACHED),
    "no such number, though it rang": (True, 1, Rejected(Reason.UNKNOWN_RECIPIENT, "Q.850 1 words")),
    "busy": (False, 17, Retry(Reason.BUSY, 20.0, "Q.850 17 words")),
    "no such number": (False, 1, Rejected(Reason.UNKNOWN_RECIPIENT, "Q.850 1 words")),
    "an incomplete number": (False, 28, Rejected(Reason.UNKNOWN_RECIPIENT, "Q.850 28 words")),
    "off": (False, 20, Rejected(Reason.UNDELIVERABLE, "Q.850 20 words")),
    "no answer": (False, 19, Rejected(Reason.UNDELIVERABLE, "Q.850 19 words")),
    "declined": (False, 21, Rejected(Reason.BLOCKED, "Q.850 21 words")),
    "no circuit": (False, 34, Retry(Reason.PROVIDER_DOWN, None, "Q.850 34 words")),
    "congestion": (False, 42, Retry(Reason.THROTTLED, None, "Q.850 42 words")),
    "our offer does not please": (False, 58, Rejected(Reason.MISCONFIGURED, "Q.850 58 words")),
    "a cause that nobody knows": (False, 99, Rejected(Reason.PROVIDER_REFUSED, "Q.850 99 words")),
}


@pytest.mark.parametrize(("rang", "cause", "outcome"), ENDS.values(), ids=ENDS)
def test_each_cause_has_its_meaning(rang: bool, cause: int, outcome: Outcome) -> None:
    talk = Talk()
    if rang:
        talk.ring()
    assert talk.end(cause) == outcome


CAUSES = {  # every cause that the table knows, where nothing rang
    Reason.UNKNOWN_RECIPIENT: (1, 2, 3, 22, 28),
    Reason.UNDELIVERABLE: (16, 18, 19, 20, 27, 31),
    Reason.BUSY: (17,),
    Reason.BLOCKED: (21,),
    Reason.PROVIDER_DOWN: (34, 38, 41, 44, 47, 102),
    Reason.THROTTLED: (42,),
    Reason.MISCONFIGURED: (50, 57, 58, 65, 88),
    Reason.PROVIDER_REFUSED: (0, 29, 127),
}
RANG_ALL_THE_SAME = {0, 16, 17, 18, 19, 21, 31, 127}


@pytest.mark.parametrize(("cause", "reason"), [(cause, reason) for reason, some in CAUSES.items() for cause in some])
def test_each_cause_has_its_reason(cause: int, reason: Reason) -> None:
    outcome = Talk().end(cause)
    assert isinstance(outcome, Rejected | Retry)
    is_passing = reason in (Reason.THROTTLED, Reason.PROVIDER_DOWN, Reason.BUSY)
    assert (outcome.reason, isinstance(outcome, Retry)) == (reason, is_passing)
    rang = Talk()
    rang.ring()
    assert isinstance(rang.end(cause), Delivered) == (cause in RANG_ALL_THE_SAME)


def test_a_busy_phone_is_called_once_more_and_no_more() -> None:
    assert Talk(is_first=False).end(17) == Rejected(Reason.BUSY, "Q.850 17 words")


ANSWERS: dict[str, tuple[str, dict[str, Any]]] = {
    "it enters the app": ("StasisStart", {}),
    "its state": ("ChannelStateChange", {"channel": {"state": "Up"}}),
    "the dial": ("Dial", {"dialstatus": "ANSWER"}),
}


@pytest.mark.parametrize(("type_", "fields"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_hung_up_and_means_nothing(type_: str, fields: dict[str, Any]) -> None:
    talk = Talk()
    assert talk.hear(type_, **fields) == [Do.HANG_UP]
    assert talk.hear(type_, **fields) == []
    assert talk.end(16) == Rejected(Reason.ANSWERED, "answered, by a voicemail perhaps")


def test_early_media_is_ringing_only_where_that_is_set() -> None:
    for setting, rang in ((False, False), (True, True)):
        talk = Talk(early_media_is_ringing=setting)
        talk.hear("Dial", dialstatus="PROGRESS")
        assert talk.call.rang is rang


def test_what_never_rings_is_given_up() -> None:
    talk = Talk()
    talk.call.originated(200, "", talk.now_s)
    assert talk.wait(12) == [Do.HANG_UP]
    assert talk.end(16) == Rejected(Reason.UNDELIVERABLE, "no ringing within 12 s")


def test_ringing_that_crosses_the_hang_up_counts() -> None:
    talk = Talk()
    talk.wait(12)
    talk.ring()
    assert talk.end(16) == REACHED


def test_a_hang_up_of_which_nothing_is_heard_counts() -> None:
    talk = Talk()
    talk.ring()
    assert talk.wait(2) == [Do.HANG_UP]
    assert talk.wait(HANG_UP_S) == []
    assert talk.call.outcome == REACHED


REFUSALS = {
    "bad parameters": (400, Rejected(Reason.MISCONFIGURED, "HTTP 400 words")),
    "wrong password": (401, Rejected(Reason.MISCONFIGURED, "HTTP 401 words")),
    "its own fault": (500, Retry(Reason.PROVIDER_DOWN, None, "HTTP 500 words")),
    "too many": (429, Retry(Reason.THROTTLED, None, "HTTP 429 words")),
}


@pytest.mark.parametrize(("status", "outcome"), REFUSALS.values(), ids=REFUSALS)
def test_a_refused_wish_ends_it(status: int, outcome: Outcome) -> None:
    talk = Talk()
    talk.call.originated(status, "words", talk.now_s)
    assert talk.call.outcome == outcome


def test_a_wish_made_twice_is_one_call() -> None:
    talk = Talk()
    talk.call.originated(409, "Channel with given unique ID already exists", talk.now_s)
    assert talk.call.outcome is None
    talk.ring()
    assert talk.end(16) == REACHED


def test_after_a_lost_answer_the_channel_is_looked_for() -> None:
    talk = Talk()
    assert talk.call.unanswered(talk.now_s, has_left=True) == [Do.LOOK]
    talk.call.gone()
    assert talk.call.outcome == AnswerLost("Asterisk said nothing of it")


def test_a_wish_that_never_left_is_made_again() -> None:
    talk = Talk()
    talk.call.unanswered(talk.now_s, has_left=False)
    assert talk.call.outcome == Retry(Reason.PROVIDER_DOWN, None, "no connection")


def test_an_event_that_nobody_knows_changes_nothing() -> None:
    talk = Talk()
    assert talk.hear("ChannelVarset", variable="X") == []
    assert talk.call.outcome is None


# -- the sandbox's Asterisk -------------------------------------------------------------------------------------------


class City:
    """The twin, where it listens, and how to stop and start that."""

    def __init__(self, late_s: float) -> None:
        self.people = People()
        self.twin = Asterisk(self.people, {"cascade": PASSWORD}, late_s=late_s)
        self.port = 0

    async def start(self) -> None:
        app = web.Application()
        app.add_routes(self.twin.routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self.twin.stop()
        await self._runner.cleanup()

    def transport(self, **settings: Any) -> AsteriskTransport:
        given = {"username": "cascade", "password": Secret(PASSWORD), **QUICK, **settings}
        return AsteriskTransport(AsteriskSettings(base_url=f"http://127.0.0.1:{self.port}", **given))


@asynccontextmanager
async def sandbox(late_s: float = 0.2) -> AsyncIterator[City]:
    city = City(late_s)
    await city.start()
    try:
        yield city
    finally:
        await city.stop()


def kind(outcome: Outcome) -> tuple[type[Outcome], Reason | None]:
    return type(outcome), getattr(outcome, "reason", None)


COMES_TO: dict[Behaviour, tuple[type[Outcome], Reason | None]] = {
    Behaviour.DELIVERS: (Delivered, None),
    Behaviour.READS: (Delivered, None),
    Behaviour.ABSENT: (Rejected, Reason.UNKNOWN_RECIPIENT),
    Behaviour.BLOCKED: (Rejected, Reason.BLOCKED),
    Behaviour.REJECTS: (Rejected, Reason.MISCONFIGURED),
    Behaviour.SILENT: (Rejected, Reason.UNDELIVERABLE),
    Behaviour.LATE: (Delivered, None),
    Behaviour.REPEATED: (Delivered, None),
    Behaviour.THROTTLED: (Retry, Reason.THROTTLED),
    Behaviour.DOWN: (Retry, Reason.PROVIDER_DOWN),
    Behaviour.ANSWER_LOST: (Delivered, None),  # the events tell: the channel's name is ours
}
REACHED_BY = {Behaviour.DELIVERS, Behaviour.READS, Behaviour.LATE, Behaviour.REPEATED, Behaviour.ANSWER_LOST}


async def test_all_kinds_of_phones_at_once() -> None:
    async with sandbox() as city, Engine(city.transport()) as engine:
        phones = {behaviour: f"+38050000{number:04}" for number, behaviour in enumerate(Behaviour)}
        for behaviour, phone in phones.items():
            city.people.get(phone).behave({"flashcall": behaviour})
        with capture_logs() as logs:
            engine.send(*(attempt(phone, number=place) for place, phone in enumerate(phones.values())))
            came = {behaviour: kind(await engine.outcome(place)) for place, behaviour in enumerate(phones)}
        assert came == COMES_TO
        assert {behaviour for behaviour, phone in phones.items() if city.people.look(phone).inbox} == REACHED_BY
        (missed,) = city.people.look(phones[Behaviour.DELIVERS]).inbox
        assert (missed.channel, missed.sender, missed.text) == ("flashcall", CALLER, f"Missed call from {CALLER}")
        said = json.dumps(logs, default=str)
        for hidden in (PASSWORD, *phones.values(), CALLER):
            assert hidden.removeprefix("+") not in said


async def test_a_voicemail_is_hung_up_at_once() -> None:
    async with sandbox() as city, Engine(city.transport(ring_s=5)) as engine:
        engine.send(attempt())
        await polled(lambda: bool(city.people.look(PHONE).inbox))
        city.twin.answer(PHONE)
        assert await engine.outcome() == Rejected(Reason.ANSWERED, "answered while it rang")
        assert len(city.twin.hung_up) == 1


async def test_the_numbers_and_variables_go_out_as_set() -> None:
    async with sandbox() as city:
        settings = {"plus": False, "variables": {"PJSIP_HEADER(add,P-Asserted-Identity)": "<sip:{caller}@gw>"}}
        async with Engine(city.transport(**settings)) as engine:
            assert kind(await engine.call(attempt())) == (Delivered, None)
            (channel,) = city.twin.originated
            assert (channel["endpoint"], channel["callerId"]) == ("PJSIP/380501112233@trunk", CALLER[1:])
            assert channel["variables"] == {"PJSIP_HEADER(add,P-Asserted-Identity)": f"<sip:{CALLER[1:]}@gw>"}
            assert channel["timeout"] == 7  # seconds: Asterisk's own end, should we die


async def test_events_missed_while_the_connection_was_away_are_made_up_for() -> None:
    async with sandbox() as city, Engine(city.transport(no_ring_s=5)) as engine:
        city.people.get(PHONE).behave({"flashcall": Behaviour.LATE})
        engine.send(attempt())
        await polled(lambda: city.twin.counters.accepted == 1)
        await city.twin.drop()
        await polled(lambda: bool(city.people.look(PHONE).inbox))
        assert kind(await engine.outcome()) == (Delivered, None)


async def test_without_events_there_is_no_room_and_it_comes_back() -> None:
    async with sandbox() as city, Engine(city.transport()) as engine:
        await city.stop()
        await polled(lambda: engine.transport.room() == 0)
        engine.send(attempt(number=1))
        assert engine.settled[1] == NotSent()
        await city.start()
        await polled(lambda: engine.transport.room() > 0)
        assert kind(await engine.call(attempt(number=2))) == (Delivered, None)


async def test_a_host_that_can_be_none_is_told_and_tried_again() -> None:
    ours = AsteriskTransport(AsteriskSettings("cascade", Secret(PASSWORD), "http://no..host:8088", **QUICK))
    with capture_logs() as logs:
        ours.start(lambda: None, _nothing)
        await polled(lambda: len(logs) > 1)
    assert [(line["event"], line["error"]) for line in logs[:2]] == [("connect_failed", "UnicodeError")] * 2
    assert ours.trouble() == (Reason.PROVIDER_DOWN, "UnicodeError")
    await ours.stop(0)


async def test_an_answer_in_pieces_is_read_whole() -> None:
    body = b'{"id": "cascade-1", "state": "Ringing"}'

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body[:9], body[9:]):
            await asyncio.sleep(0.01)  # so that it arrives as a piece
            writer.write(piece)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        settings = AsteriskSettings("cascade", Secret("s"), f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        transport = AsteriskTransport(settings)
        transport._session = transport._new_session()
        assert await transport._ask("GET", "cascade-1") == (200, {"id": "cascade-1", "state": "Ringing"})
        await transport._session.close()


async def test_a_wrong_password_is_told_to_the_operator() -> None:
    async with sandbox() as city:
        ours = city.transport(password=Secret("wrong"))
        with capture_logs() as logs:
            ours.start(lambda: None, _nothing)
            await polled(lambda: bool(logs))
        assert (logs[0]["event"], logs[0]["status"], logs[0]["log_level"]) == ("connect_refused", 401, "error")
        assert (ours.room(), "wrong" in str(logs)) == (0, False)
        assert ours.trouble() == (Reason.MISCONFIGURED, "HTTP 401")
        await ours.stop(0)


async def test_a_look_tells_who_it_is_and_whether_it_knows_us() -> None:
    async with sandbox() as city:
        assert await city.transport().check() == Health(True, "Asterisk 20.9.3 as cascade")
        stranger = await city.transport(password=Secret("wrong")).check()
        assert stranger == Health(False, "it does not take our credentials: HTTP 401")
    assert await city.transport().check() == Health(False, "it cannot be reached: ClientConnectorError")


async def test_a_call_of_ours_that_nobody_knows_any_more_is_hung_up() -> None:
    async with sandbox() as city:
        city.people.get(PHONE).behave({"flashcall": Behaviour.LATE})
        async with Engine(city.transport()), ClientSession() as predecessor:
            for name in ("other-1", "cascade-1"):
                async with predecessor.post(
                    f"http://127.0.0.1:{city.port}/ari/channels/{name}",
                    json={"endpoint": f"PJSIP/{PHONE}@trunk", "app": "cascade", "callerId": CALLER},
                    headers={"Authorization": basic("cascade", Secret(PASSWORD))},
                ) as answer:
                    assert answer.status == 200
            await polled(lambda: len(city.people.look(PHONE).inbox) == 2)
            await polled(lambda: bool(city.twin.hung_up))
            assert city.twin.hung_up == ["cascade-1"]


async def test_stopping_ends_the_ringing_first() -> None:
    async with sandbox() as city:
        ours = city.transport(ring_s=5)
        async with Engine(ours) as engine:
            engine.send(attempt())
            await polled(lambda: bool(city.people.look(PHONE).inbox))
            await ours.stop(5)
            assert kind(engine.settled[1]) == (Delivered, None)
            assert len(city.twin.hung_up) == 1


async def test_a_link_that_another_node_had_meanwhile_begins_anew() -> None:
    async with sandbox() as city:
        ours = city.transport()
        for number in (1, 2):
            async with Engine(ours) as engine:
                assert kind(await engine.call(attempt(number=number))) == (Delivered, None)
            assert ours.room() == 0


async def test_what_is_no_flash_call_never_leaves_us() -> None:
    async with sandbox() as city, Engine(city.transport()) as engine:
        outcome = await engine.call(attempt(type=MessageType.PROMO))
        assert isinstance(outcome, Rejected)
        assert (outcome.reason, outcome.is_ours, city.twin.counters.requests) == (Reason.CONTENT_UNFIT, True, 0)


async def _nothing(_: object) -> None: ...


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no URL": ({"base_url": "asterisk:8088"}, "base_url"),
    "a URL of half an address": ({"base_url": "http://[::1"}, "base_url"),
    "a URL with a port that is none": ({"base_url": "http://asterisk:99999"}, "base_url"),
    "a URL with a password": ({"base_url": "http://a:b@asterisk:8088"}, "base_url"),
    "an app with a space": ({"app": "my app"}, "app"),
    "an endpoint without a phone": ({"endpoint": "PJSIP/trunk"}, "endpoint"),
    "a variable with something else": ({"variables": {"A": "{text}"}}, "variables"),
    "a caller that is a name": ({"callers": ("Shop",)}, "callers"),
    "no window": ({"window": 0}, "window"),
    "ringing for too long": ({"ring_s": 6}, "ring_s"),
    "a request for too long": ({"timeout_s": 16}, "timeout_s"),
}


@pytest.mark.parametrize(("settings", "name"), WRONG.values(), ids=WRONG)
def test_a_wrong_setting_is_named(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigError) as refused:
        AsteriskSettings("cascade", Secret(PASSWORD), **settings)
    assert refused.value.setting == f"asterisk.{name}"
