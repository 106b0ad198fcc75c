"""A call with a clock that is a value: what it says to which answer, and how it ends."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.channels.flashcall.sip.call import PATIENCE_S, Call, Order, Place
from cascade.channels.flashcall.sip.message import (
    Headers,
    Request,
    Response,
    call_id_of,
    cseq_of,
    decode,
    tag_of,
    via_of,
)
from cascade.channels.flashcall.sip.settings import Codec, Identity, SipSettings
from cascade.core.attempt import AnswerLost, Delivered, Outcome, Rejected, Retry
from cascade.core.secret import Secret
from cascade.core.words import Reason

SETTINGS = SipSettings("trunk.example", username="gw", password=Secret("secret"), ring_s=2, no_ring_s=12, trunk_s=6)
UDP, TCP = Place("UDP", "10.0.0.1", 5060), Place("TCP", "10.0.0.1", 40000)
ORDER = Order("id-1", "+380441234567", "+380501112233", is_first=True)
CHALLENGE = ("WWW-Authenticate", 'Digest realm="trunk", nonce="n1", algorithm=SHA-256, qop="auth"')


class Talk:
    """One call and its trunk. `said` is all that the call wrote."""

    def __init__(self, place: Place = UDP, order: Order = ORDER, **settings: Any) -> None:
        words: Iterator[int] = count(1)
        self.now_s = 100.0
        self.said: list[Request] = []
        self.call = Call(order, replace(SETTINGS, **settings), place, lambda: f"w{next(words)}")
        self._take(self.call.begin(self.now_s))

    def hear(
        self, status: int, *extra: tuple[str, str], to: Request | None = None, tag: str = "t", reason: str = ""
    ) -> list[str]:
        """The trunk answers a request, the latest INVITE if none is named; the methods said to that."""
        request = self.last("INVITE") if to is None else to
        kept = [(name, value) for name, value in request.headers if name in ("Via", "From", "Call-ID", "CSeq")]
        remote = request.headers.first("to") or ""
        if status > 100 and tag_of(remote) is None:
            remote = f"{remote};tag={tag}"
        return self._take(
            self.call.heard(Response(status, reason, Headers([*kept, ("To", remote), *extra])), self.now_s)
        )

    def wait(self, seconds: float) -> list[str]:
        until_s = self.now_s + seconds
        methods = []
        while (at_s := self.call.next_at_s) is not None and at_s <= until_s:
            self.now_s = at_s
            methods += self._take(self.call.passed(at_s))
        self.now_s = until_s
        return methods

    def last(self, method: str) -> Request:
        return next(request for request in reversed(self.said) if request.method == method)

    @property
    def methods(self) -> list[str]:
        return [request.method for request in self.said]

    @property
    def outcome(self) -> Outcome | None:
        return self.call.outcome

    def _take(self, written: list[bytes]) -> list[str]:
        messages = [decode(data) for data in written]
        requests = [message for message in messages if isinstance(message, Request)]
        assert len(requests) == len(messages)
        self.said += requests
        return [request.method for request in requests]


def branch(request: Request) -> str:
    return via_of(request).params["branch"]


# -- the usual course -------------------------------------------------------------------------------------------------


def test_it_rings_for_as_long_as_set_and_is_cancelled() -> None:
    talk = Talk()
    assert talk.methods == ["INVITE"]
    assert talk.hear(100) == talk.hear(180) == []
    assert talk.wait(1.9) == []
    assert talk.wait(0.2) == ["CANCEL"]
    invite, cancel = talk.last("INVITE"), talk.last("CANCEL")
    for name in ("from", "to", "call-id"):
        assert cancel.headers.first(name) == invite.headers.first(name)
    assert (branch(cancel), cancel.uri, cseq_of(cancel)) == (branch(invite), invite.uri, (1, "CANCEL"))
    assert talk.hear(200, to=cancel) == []
    assert talk.outcome is None
    assert talk.hear(487) == ["ACK"]
    ack = talk.last("ACK")
    assert (branch(ack), ack.uri, cseq_of(ack)) == (branch(invite), invite.uri, (1, "ACK"))
    assert tag_of(ack.headers.first("to") or "") == "t"
    assert talk.outcome == Delivered("id-1")
    assert talk.hear(487) == ["ACK"]  # said again: ours was lost
    talk.wait(PATIENCE_S)
    assert talk.call.next_at_s is None


def test_the_invite_says_what_a_trunk_needs() -> None:
    invite = Talk(domain="gw.example", codec=Codec.PCMU).last("INVITE")
    assert invite.uri == "sip:+380501112233@gw.example"
    assert (invite.headers.first("from") or "").startswith("<sip:+380441234567@gw.example>;tag=")
    assert invite.headers.first("contact") == "<sip:+380441234567@10.0.0.1:5060>"
    assert invite.headers.first("content-type") == "application/sdp"
    assert b"m=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n" in invite.body
    assert invite.headers.first("p-asserted-identity") is None
    assert via_of(invite).params["rport"] == ""


def test_the_number_is_written_and_asserted_as_the_trunk_wants_it() -> None:
    invite = Talk(TCP, plus=False, identity=Identity.ASSERTED).last("INVITE")
    assert invite.uri == "sip:380501112233@trunk.example"
    assert invite.headers.first("p-asserted-identity") == "<sip:380441234567@trunk.example>"
    assert invite.headers.first("privacy") == "none"
    assert invite.headers.first("contact") == "<sip:380441234567@10.0.0.1:40000;transport=tcp>"
    preferred = Talk(identity=Identity.PREFERRED).last("INVITE")
    assert preferred.headers.first("p-preferred-identity") == "<sip:+380441234567@trunk.example>"


# -- how calls end ----------------------------------------------------------------------------------------------------

REACHED = Delivered("id-1")
ENDS = {  # what is heard, in order, and the outcome
    "rings, and the person pushes it away": ([180, 603], REACHED),
    "rings, and the phone turns busy": ([180, 486], REACHED),
    "rings, and the trunk says so twice": ([180, 180, 480], REACHED),
    "busy": ([100, 486], Retry(Reason.BUSY, 20.0, "486")),
    "busy everywhere": ([600], Retry(Reason.BUSY, 20.0, "600")),
    "off": ([100, 480], Rejected(Reason.UNDELIVERABLE, "480")),
    "unreachable": ([408], Rejected(Reason.UNDELIVERABLE, "408")),
    "no such number": ([404], Rejected(Reason.UNKNOWN_RECIPIENT, "404")),
    "an incomplete number": ([484], Rejected(Reason.UNKNOWN_RECIPIENT, "484")),
    "no such number anywhere": ([604], Rejected(Reason.UNKNOWN_RECIPIENT, "604")),
    "no such number, though it rang": ([180, 404], Rejected(Reason.UNKNOWN_RECIPIENT, "404")),
    "the caller is not allowed": ([403], Rejected(Reason.INVALID_SENDER, "403")),
    "declined": ([603], Rejected(Reason.BLOCKED, "603")),
    "unwanted": ([607], Rejected(Reason.BLOCKED, "607")),
    "taken for a nuisance": ([608], Rejected(Reason.BLOCKED, "608")),
    "the trunk fails": ([500], Retry(Reason.PROVIDER_DOWN, None, "500")),
    "the trunk is away": ([503], Retry(Reason.PROVIDER_DOWN, None, "503")),
    "the trunk's gateway is slow": ([504], Retry(Reason.PROVIDER_DOWN, None, "504")),
    "our offer does not please": ([488], Rejected(Reason.MISCONFIGURED, "488")),
    "moved": ([302], Rejected(Reason.MISCONFIGURED, "302")),
    "a word that nobody knows": ([499], Rejected(Reason.PROVIDER_REFUSED, "499")),
    "early media is no ringing": ([183, 480], Rejected(Reason.UNDELIVERABLE, "480")),
}


@pytest.mark.parametrize("place", [UDP, TCP], ids=["udp", "tcp"])
@pytest.mark.parametrize(("heard", "outcome"), ENDS.values(), ids=ENDS)
def test_each_end_has_its_meaning_and_every_final_is_acknowledged(
    heard: list[int], outcome: Outcome, place: Place
) -> None:
    talk = Talk(place)
    for status in heard:
        talk.hear(status)
    assert talk.methods == ["INVITE", "ACK"]
    assert talk.outcome == outcome


FINALS = {  # every final that the table knows, where nothing rang
    Reason.MISCONFIGURED: (300, 305, 400, 401, 407, 415, 488, 501, 505, 513, 606),
    Reason.INVALID_SENDER: (403,),
    Reason.UNKNOWN_RECIPIENT: (404, 410, 484, 604),
    Reason.UNDELIVERABLE: (408, 480, 487),
    Reason.THROTTLED: (429,),
    Reason.PROVIDER_DOWN: (491, 500, 502, 503, 504, 580),
    Reason.BUSY: (486, 600),
    Reason.BLOCKED: (603, 607, 608),
    Reason.PROVIDER_REFUSED: (402, 405, 481, 482, 483, 699),
}
RANG_ALL_THE_SAME = {408, 480, 486, 487, 600, 603}


@pytest.mark.parametrize(("status", "reason"), [(status, reason) for reason, some in FINALS.items() for status in some])
def test_each_final_has_its_reason(status: int, reason: Reason) -> None:
    talk = Talk()
    talk.hear(status)
    assert isinstance(talk.outcome, Rejected | Retry)
    assert (talk.outcome.reason, isinstance(talk.outcome, Retry)) == (
        reason,
        reason in (Reason.THROTTLED, Reason.PROVIDER_DOWN, Reason.BUSY),
    )
    rang = Talk()
    rang.hear(180)
    rang.hear(status)
    assert isinstance(rang.outcome, Delivered) == (status in RANG_ALL_THE_SAME)


def test_a_busy_phone_is_called_once_more_and_no_more() -> None:
    talk = Talk(order=ORDER._replace(is_first=False))
    talk.hear(486)
    assert talk.outcome == Rejected(Reason.BUSY, "486")


def test_an_overloaded_trunk_says_when_to_come_back() -> None:
    talk = Talk()
    talk.hear(503, ("Retry-After", "7 (maintenance);duration=60"), reason="Too many calls from +380441234567")
    assert talk.outcome == Retry(Reason.THROTTLED, 7.0, "503 Too many calls from ***")


def test_early_media_is_ringing_where_the_trunk_knows_no_other() -> None:
    talk = Talk(early_media_is_ringing=True)
    talk.hear(183)
    assert talk.wait(2) == ["CANCEL"]
    talk.hear(487)
    assert talk.outcome == REACHED


def test_what_never_rings_is_given_up() -> None:
    talk = Talk()
    talk.hear(100)
    assert talk.wait(12) == ["CANCEL"]
    talk.hear(487)
    assert talk.outcome == Rejected(Reason.UNDELIVERABLE, "no ringing within 12 s")


def test_ringing_that_crosses_the_cancel_counts() -> None:
    talk = Talk()
    talk.hear(100)
    talk.wait(12)
    assert talk.hear(180) == []
    talk.hear(487)
    assert talk.outcome == REACHED


def test_a_cancel_that_nobody_answers_counts_as_cancelled_in_the_end() -> None:
    talk = Talk()
    talk.hear(180)
    assert talk.wait(2) == ["CANCEL"]
    assert talk.wait(PATIENCE_S - 0.1) == ["CANCEL"] * 10
    assert talk.outcome is None
    talk.wait(0.2)
    assert talk.outcome == REACHED
    assert talk.call.next_at_s is None


# -- an answer --------------------------------------------------------------------------------------------------------

ROUTE = (
    ("Contact", "<sip:media@10.9.9.9:5080;transport=udp>"),
    ("Record-Route", "<sip:p2;lr>, <sip:p1;lr>"),
)


@pytest.mark.parametrize("is_crossing", [False, True], ids=["before the CANCEL", "crossing the CANCEL"])
def test_an_answer_is_acknowledged_ended_and_means_nothing(is_crossing: bool) -> None:
    talk = Talk()
    talk.hear(180)
    if is_crossing:
        assert talk.wait(2) == ["CANCEL"]
        talk.hear(200, to=talk.last("CANCEL"))
    assert talk.hear(200, *ROUTE) == ["ACK", "BYE"]
    assert talk.outcome == Rejected(Reason.ANSWERED, "answered while it rang")
    ack, bye = talk.last("ACK"), talk.last("BYE")
    assert (cseq_of(ack), cseq_of(bye)) == ((1, "ACK"), (2, "BYE"))
    assert len({branch(talk.last("INVITE")), branch(ack), branch(bye)}) == 3
    for request in (ack, bye):
        assert request.uri == "sip:media@10.9.9.9:5080;transport=udp"
        assert request.headers.all("route") == ["<sip:p1;lr>", "<sip:p2;lr>"]
        assert tag_of(request.headers.first("to") or "") == "t"
    assert talk.hear(200, *ROUTE) == ["ACK"]  # said again: our ACK was lost
    talk.hear(200, to=bye)
    assert talk.wait(PATIENCE_S) == []
    assert talk.call.next_at_s is None


def test_an_answer_without_ringing_is_a_voicemail_perhaps() -> None:
    talk = Talk()
    talk.hear(200)
    assert talk.outcome == Rejected(Reason.ANSWERED, "answered, by a voicemail perhaps")


def test_a_call_that_two_phones_answer_is_ended_at_both() -> None:
    talk = Talk()
    assert talk.hear(200, tag="one") == ["ACK", "BYE"]
    assert talk.hear(200, tag="two") == ["ACK", "BYE"]
    assert talk.wait(0.6) == ["BYE", "BYE"]


def test_a_bye_is_said_until_it_is_answered_and_with_credentials_where_they_are_wanted() -> None:
    talk = Talk()
    talk.hear(200)
    assert talk.wait(1.5) == ["BYE", "BYE"]
    assert talk.hear(407, ("Proxy-Authenticate", CHALLENGE[1]), to=talk.last("BYE")) == ["BYE"]
    bye = talk.last("BYE")
    assert cseq_of(bye) == (3, "BYE")
    assert 'username="gw"' in (bye.headers.first("proxy-authorization") or "")
    talk.hear(481, to=bye)
    assert talk.wait(5) == []


# -- credentials ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "asks", "answers"), [(401, "WWW", ""), (407, "Proxy", "Proxy-")])
def test_a_challenge_is_acknowledged_first_and_answered_with_a_new_transaction(
    status: int, asks: str, answers: str
) -> None:
    talk = Talk()
    first = talk.last("INVITE")
    assert talk.hear(status, (f"{asks}-Authenticate", CHALLENGE[1])) == ["ACK", "INVITE"]
    second = talk.last("INVITE")
    assert cseq_of(talk.last("ACK")) == (1, "ACK")
    assert (branch(talk.last("ACK")), cseq_of(second)) == (branch(first), (2, "INVITE"))
    assert branch(second) != branch(first)
    assert call_id_of(second) == call_id_of(first)
    assert second.headers.first("from") == first.headers.first("from")
    assert tag_of(second.headers.first("to") or "") is None
    header = second.headers.first(f"{answers}authorization".lower()) or ""
    assert 'username="gw", realm="trunk"' in header
    assert 'uri="sip:+380501112233@trunk.example"' in header
    assert "secret" not in header
    assert talk.hear(status, (f"{asks}-Authenticate", CHALLENGE[1]), to=first) == ["ACK"]  # the first one, again
    talk.hear(180)
    assert talk.wait(2) == ["CANCEL"]
    assert (branch(talk.last("CANCEL")), cseq_of(talk.last("CANCEL"))) == (branch(second), (2, "CANCEL"))


def test_wrong_credentials_are_not_tried_again() -> None:
    talk = Talk()
    talk.hear(401, CHALLENGE)
    assert talk.hear(401, CHALLENGE) == ["ACK"]
    assert talk.outcome == Rejected(Reason.MISCONFIGURED, "401")


def test_a_nonce_that_has_aged_is_answered_once_more() -> None:
    talk = Talk()
    stale = (CHALLENGE[0], CHALLENGE[1] + ", stale=true")
    talk.hear(401, CHALLENGE)
    assert talk.hear(401, stale) == ["ACK", "INVITE"]
    assert talk.hear(401, stale) == ["ACK"]


NO_ANSWER_TO = {
    "no user name": ({"username": ""}, CHALLENGE),
    "a scheme that nobody knows": ({}, ("WWW-Authenticate", 'Bearer realm="a"')),
}


@pytest.mark.parametrize(("settings", "challenge"), NO_ANSWER_TO.values(), ids=NO_ANSWER_TO)
def test_a_challenge_that_cannot_be_answered_is_the_operators(
    settings: dict[str, Any], challenge: tuple[str, str]
) -> None:
    talk = Talk(**settings)
    assert talk.hear(401, challenge) == ["ACK"]
    assert talk.outcome == Rejected(Reason.MISCONFIGURED, "401")


# -- silence and loss -------------------------------------------------------------------------------------------------


def test_over_udp_an_invite_is_said_again_until_something_is_heard() -> None:
    talk = Talk()
    talk.wait(4)
    assert talk.methods == ["INVITE"] * 4  # after 0.5, 1.5 and 3.5 s
    assert len({branch(request) for request in talk.said}) == 1
    talk.hear(100)
    assert talk.wait(5) == []


def test_over_tcp_nothing_is_said_twice() -> None:
    talk = Talk(TCP)
    talk.wait(5)
    talk.hear(180)
    talk.wait(20)
    assert talk.methods == ["INVITE", "CANCEL"]


def test_a_silent_trunk_is_an_answer_lost() -> None:
    talk = Talk()
    talk.wait(6)
    assert talk.outcome == AnswerLost("the trunk said nothing")


LATE = {"rings": (180, ["CANCEL"]), "is answered": (200, ["ACK", "BYE"]), "fails": (404, ["ACK"])}


@pytest.mark.parametrize(("status", "said"), LATE.values(), ids=LATE)
def test_a_call_given_up_that_comes_to_life_is_still_ended(status: int, said: list[str]) -> None:
    talk = Talk()
    talk.wait(7)
    assert talk.hear(status) == said
    assert talk.outcome == AnswerLost("the trunk said nothing")


def test_nothing_can_be_cancelled_before_something_was_heard() -> None:
    talk = Talk()
    assert talk.call.hang_up(talk.now_s) == []
    assert talk.hear(100) == ["CANCEL"]


def test_a_port_where_nobody_listens_is_a_trunk_that_is_down() -> None:
    talk = Talk()
    talk.call.refused()
    assert talk.outcome == Retry(Reason.PROVIDER_DOWN, None, "nobody listens there")
    assert talk.wait(PATIENCE_S) == []


def test_a_call_that_was_heard_is_not_down() -> None:
    talk = Talk()
    talk.hear(180)
    talk.call.refused()
    assert talk.outcome is None


def test_after_a_broken_connection_the_last_word_is_said_again() -> None:
    talk = Talk(TCP)
    assert [decode(data) for data in talk.call.again()] == [talk.last("INVITE")]
    talk.hear(180)
    assert talk.call.again() == []
    talk.wait(2)
    assert [decode(data) for data in talk.call.again()] == [talk.last("CANCEL")]


STRANGE: dict[str, Callable[[Talk], Response]] = {
    "no Via": lambda talk: Response(180, "", Headers([("CSeq", "1 INVITE")])),
    "no CSeq": lambda talk: Response(180, "", Headers([("Via", "SIP/2.0/UDP a;branch=z9hG4bKw2")])),
    "another branch": lambda talk: Response(
        180, "", Headers([("Via", "SIP/2.0/UDP a;branch=z9hG4bKother"), ("CSeq", "1 INVITE")])
    ),
    "another method": lambda talk: Response(
        200, "", Headers([("Via", f"SIP/2.0/UDP a;branch={branch(talk.last('INVITE'))}"), ("CSeq", "1 INFO")])
    ),
}


@pytest.mark.parametrize("made", STRANGE.values(), ids=STRANGE)
def test_what_does_not_belong_to_it_changes_nothing(made: Callable[[Talk], Response]) -> None:
    talk = Talk()
    assert talk.call.heard(made(talk), talk.now_s) == []
    assert not talk.call.rang


STEP = st.tuples(st.sampled_from([100, 180, 183, 200, 401, 404, 480, 486, 487, 500, 603]), st.floats(0, 9))


@given(st.lists(STEP, max_size=12), st.sampled_from([UDP, TCP]), st.booleans())
def test_whatever_a_trunk_says_it_ends_in_time_with_one_outcome(
    steps: list[tuple[int, float]], place: Place, hangs_up: bool
) -> None:
    """Within the lease of 60 s, and nothing is left to wait for soon after; no answer stays without its ACK."""
    talk = Talk(place)
    begun_s = talk.now_s
    outcomes = set()
    for status, pause_s in steps:
        finals = len([method for method in talk.methods if method == "ACK"])
        talk.hear(status, CHALLENGE)
        assert len([method for method in talk.methods if method == "ACK"]) >= finals
        talk.wait(pause_s)
        outcomes |= {talk.outcome} - {None}
        if talk.now_s - begun_s > 40:
            break
    if hangs_up:
        talk.call.hang_up(talk.now_s)
    talk.wait(begun_s + 60 - talk.now_s)
    assert talk.outcome is not None
    assert len(outcomes | {talk.outcome}) == 1
    talk.wait(3 * PATIENCE_S)
    assert talk.call.next_at_s is None
