"""The transport against an SMSC that does what SMSCs do on their bad days."""

import asyncio
import ipaddress
import socket
import ssl
import struct
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cascade.channels.base import Transport
from cascade.channels.smpp import SmppSettings, SmppTransport
from cascade.channels.smpp.settings import BindMode, IdForm, LongMessages, Receipts
from cascade.core.attempt import Accepted, AnswerLost, NotSent, Outcome, Rejected, Retry
from cascade.core.receipt import ReceiptState
from cascade.core.words import Channel, MessageType, Reason

from .attempts import attempt
from .gateway import Gateway, gateway, listening
from .smsc import (
    BIND_RX,
    BIND_TRX,
    BIND_TX,
    DELIVER_SM,
    DELIVER_SM_RESP,
    ENQUIRE_LINK,
    ENQUIRE_LINK_RESP,
    GENERIC_NACK,
    PATIENCE_S,
    RESPONSE,
    UNBIND,
    UNBIND_RESP,
    ScriptedSmsc,
    frame,
    receipt,
)

LONG = "a" * 400  # three parts


# -- sending ----------------------------------------------------------------------------------------------------------


async def test_a_message_is_accepted_under_the_smscs_id() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port) as ours:
        assert await ours.room() == 10
        ours.send(attempt())
        submit = await smsc.request()
        assert submit.submit.short_message == b"Hi"
        submit.peer.send(submit.answer("00A1"))
        assert await ours.outcome() == Accepted(("a1",))


ANSWERS = {  # command_status, outcome
    "a wrong number": (0x0B, Rejected(Reason.UNKNOWN_RECIPIENT, "ESME_RINVDSTADR (0x0000000B)")),
    "a refused sender": (0x0A, Rejected(Reason.INVALID_SENDER, "ESME_RINVSRCADR (0x0000000A)")),
    "throttled": (0x58, Retry(Reason.THROTTLED, detail="ESME_RTHROTTLED (0x00000058)")),
    "a fault of theirs": (0x08, Retry(Reason.PROVIDER_DOWN, detail="ESME_RSYSERR (0x00000008)")),
    "a vendor's own": (0x432, Rejected(Reason.NO_CREDIT, "status (0x00000432)")),
}


@pytest.mark.parametrize(("status", "outcome"), ANSWERS.values(), ids=ANSWERS)
async def test_a_refusal_is_said_in_our_words(status: int, outcome: Outcome) -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, statuses={0x432: Reason.NO_CREDIT}) as ours:
        await ours.room()
        ours.send(attempt())
        submit = await smsc.request()
        submit.peer.send(submit.answer(status=status))
        assert await ours.outcome() == outcome


async def test_answers_may_come_in_any_order_in_one_read() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port) as ours:
        await ours.room(3)
        ours.send(*(attempt(f"text {number}", number=number) for number in (1, 2, 3)))
        submits = await smsc.requests(3)
        submits[0].peer.send(*(submit.answer(submit.submit.short_message.decode()[-1]) for submit in submits[::-1]))
        assert await ours.outcomes(1, 2, 3) == [Accepted(("1",)), Accepted(("2",)), Accepted(("3",))]


async def test_a_generic_nack_is_an_answer_too() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port) as ours:
        await ours.room()
        ours.send(attempt())
        submit = await smsc.request()
        submit.peer.send(frame(GENERIC_NACK, submit.sequence, status=0x03))
        assert await ours.outcome() == Rejected(Reason.PROVIDER_REFUSED, "ESME_RINVCMDID (0x00000003)")


async def test_a_generic_nack_that_says_all_is_well_is_a_refusal() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port) as ours:
        await ours.room()
        ours.send(attempt())
        submit = await smsc.request()
        submit.peer.send(frame(GENERIC_NACK, submit.sequence))
        assert await ours.outcome() == Retry(Reason.PROVIDER_DOWN, detail="ESME_RUNKNOWNERR (0x000000FF)")


async def test_a_generic_nack_that_names_no_request_ends_none() -> None:
    """Which submit the SMSC could not read nobody knows: each keeps its own time."""
    async with ScriptedSmsc() as smsc, gateway(smsc.port, response_timeout_s=0.2) as ours:
        await ours.room()
        ours.send(attempt(number=1), attempt(number=2))
        first, second = await smsc.requests(2)
        second.peer.send(frame(GENERIC_NACK, 0, status=0x02), second.answer("2"))
        assert await ours.outcomes(1, 2) == [AnswerLost("no answer in time"), Accepted(("2",))]
        assert first.peer is second.peer


async def test_sequence_numbers_begin_anew_after_the_last() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port) as ours:
        await ours.room()
        session = ours.transport._submitting_session()
        assert session is not None
        session._sequence = 0x7FFFFFFE
        ours.send(attempt(number=1), attempt(number=2), attempt(number=3))
        submits = await smsc.requests(3)
        assert [submit.sequence for submit in submits] == [0x7FFFFFFF, 1, 2]
        submits[0].peer.send(*(submit.answer(str(submit.sequence)) for submit in submits[::-1]))
        assert await ours.outcomes(1, 2, 3) == [Accepted(("2147483647",)), Accepted(("1",)), Accepted(("2",))]


async def test_an_acceptance_without_an_id_is_an_acceptance() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port) as ours:
        await ours.room()
        ours.send(attempt())
        submit = await smsc.request()
        submit.peer.send(submit.answer(""))
        assert await ours.outcome() == Accepted(())


async def test_what_no_sms_can_be_is_settled_and_leaves_its_room() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port) as ours:
        room = await ours.room()
        told = ours.rooms
        ours.send(attempt(sender="Магазин"))
        outcome = await ours.outcome()
        assert isinstance(outcome, Rejected)
        assert outcome.is_ours
        assert await ours.room() == room
        await asyncio.sleep(0)
        assert ours.rooms == told + 1


# -- the window -------------------------------------------------------------------------------------------------------


async def test_no_more_is_unanswered_than_the_window() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, window=2) as ours:
        assert await ours.room(2) == 2
        ours.send(attempt(number=1), attempt(number=2))
        assert (ours.transport.room(), ours.transport.unanswered) == (0, 2)
        first, _ = await smsc.requests(2)
        first.peer.send(first.answer("1"))
        assert await ours.room() == 1
        assert ours.transport.unanswered == 1


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any SMSC counts as one that takes long to answer."""
    monkeypatch.setattr("cascade.channels.smpp.transport.AHEAD_FROM_S", 0.0)


async def test_a_quick_smsc_is_given_its_window_and_no_more() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, window=8) as ours:
        assert await ours.room() == 8
        ours.send(*(attempt(number=number) for number in range(8)))
        first, *_ = await smsc.requests(8)
        first.peer.send(first.answer("1"))
        assert await ours.room() == 1
        await asyncio.sleep(0)
        assert (ours.transport.room(), ours.transport.unanswered) == (1, 7)


async def test_a_quarter_of_the_window_waits_for_the_next_answers(slow: None) -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, window=8) as ours:
        assert await ours.room() == 10
        ours.send(*(attempt(number=number) for number in range(10)))
        first, second, *_ = await smsc.requests(8)
        assert (ours.transport.room(), ours.transport.unanswered, smsc.waiting) == (0, 8, 0)
        first.peer.send(first.answer("1"))
        ninth = await smsc.request()
        assert (ours.transport.room(), ours.transport.unanswered) == (0, 8)  # all of the quarter or none
        first.peer.send(second.answer("2"))
        await smsc.request()
        assert (ours.transport.room(), ours.transport.unanswered) == (2, 8)
        first.peer.send(ninth.answer("9"))
        assert await ours.outcome(8) == Accepted(("9",))


async def test_what_is_urgent_waits_before_the_rest(slow: None) -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, window=16) as ours:
        await ours.room(20)
        promo = [attempt(f"promo {number}", number=number, kind=MessageType.PROMO) for number in range(17)]
        ours.send(*promo)
        ours.send(attempt("code 1", number=20), attempt("code 2", number=21))
        first, *_ = submits = await smsc.requests(16)
        first.peer.send(*(submit.answer("1") for submit in submits[:3]))
        texts = [submit.submit.short_message for submit in await smsc.requests(3)]
        assert texts == [b"code 1", b"code 2", b"promo 16"]


async def test_what_waits_goes_back_when_no_answers_come(slow: None) -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, window=8, response_timeout_s=0.05) as ours:
        await ours.room(10)
        ours.send(*(attempt(number=number) for number in range(10)))
        assert await ours.outcomes(*range(10)) == [AnswerLost("no answer in time")] * 8 + [NotSent()] * 2
        await smsc.requests(8)
        assert smsc.waiting == 0


async def test_beyond_the_window_an_eighth_may_wait_for_the_next_answers() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, window=16) as ours:
        await ours.room(16)
        assert ours.transport.spare() == 2
        ours.send(*(attempt(number=number) for number in range(18)))
        first, *_ = await smsc.requests(16)
        assert (ours.transport.room(), ours.transport.spare(), ours.transport.unanswered) == (0, 0, 16)
        first.peer.send(first.answer("1"))
        await smsc.request()
        assert (ours.transport.room(), ours.transport.spare(), ours.transport.unanswered) == (0, 1, 16)


async def test_beyond_what_is_claimed_ahead_there_is_an_eighth(slow: None) -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, window=16) as ours:
        await ours.room(20)
        assert ours.transport.spare() == 2
        ours.send(*(attempt(number=number) for number in range(20)))
        assert (ours.transport.room(), ours.transport.spare()) == (0, 2)
        ours.send(attempt(number=20), attempt(number=21))
        assert (ours.transport.room(), ours.transport.spare()) == (0, 0)
        await smsc.requests(16)


async def test_who_is_not_connected_or_stops_holds_nothing() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port) as ours:
        assert ours.transport.spare() == 0
        await ours.room()
        assert ours.transport.spare() > 0
        await ours.transport.stop(0.1)
        assert ours.transport.spare() == 0


async def test_parts_over_the_window_wait_inside() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, window=2) as ours:
        await ours.room()
        ours.send(attempt(LONG))
        first, second = await smsc.requests(2)
        assert (ours.transport.room(), ours.transport.unanswered, smsc.waiting) == (0, 2, 0)
        first.peer.send(second.answer("2"))
        third = await smsc.request()
        first.peer.send(third.answer("3"), first.answer("1"))
        assert await ours.outcome() == Accepted(("1", "2", "3"))


async def test_long_messages_make_the_room_smaller() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, window=12) as ours:
        assert await ours.room() == 12
        for number in range(40):
            ours.send(attempt(LONG, number=number))
            parts = await smsc.requests(3)
            parts[0].peer.send(*(part.answer("1") for part in parts))
            await ours.outcome(number)
        assert 4 <= await ours.room() < 6


async def test_a_whole_window_is_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port) as ours:
        await ours.room()
        writes: list[bytes] = []
        session = ours.transport._submitting_session()
        assert session is not None
        write = session._write

        def note(data: bytes) -> None:
            writes.append(data)
            write(data)

        monkeypatch.setattr(session, "_write", note)
        ours.send(*(attempt(number=number) for number in range(10)))
        await smsc.requests(10)
        assert len(writes) == 1


async def test_a_peer_that_does_not_read_gets_no_more() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port) as ours:
        await ours.room()
        session = ours.transport._submitting_session()
        assert session is not None
        session.pause_writing()
        assert ours.transport.room() == 0
        ours.send(attempt())
        assert ours.transport.unanswered == 0
        session.resume_writing()
        submit = await smsc.request()
        submit.peer.send(submit.answer("1"))
        assert await ours.outcome() == Accepted(("1",))


# -- long messages ----------------------------------------------------------------------------------------------------

REFUSED, BUSY = 0x0B, 0x08
PARTS = {  # statuses of the three parts (None: no answer), outcome
    "all accepted": ((0, 0, 0), Accepted(("1", "2", "3"))),
    "one refused spoils the text": (
        (0, REFUSED, 0),
        Rejected(Reason.UNKNOWN_RECIPIENT, "ESME_RINVDSTADR (0x0000000B)", parts=3),
    ),
    "one refused for now: the whole is repeated": (
        (0, 0, BUSY),
        Retry(Reason.PROVIDER_DOWN, detail="ESME_RSYSERR (0x00000008)", parts=3),
    ),
    "refused for good is graver than for now": (
        (BUSY, REFUSED, 0),
        Rejected(Reason.UNKNOWN_RECIPIENT, "ESME_RINVDSTADR (0x0000000B)", parts=3),
    ),
    "one unanswered: it may have arrived": ((0, None, 0), AnswerLost("no answer in time", parts=3)),
    "one unanswered and one refused: it cannot have": (
        (None, BUSY, 0),
        Retry(Reason.PROVIDER_DOWN, detail="ESME_RSYSERR (0x00000008)", parts=3),
    ),
    "all refused: no receipt tells of it": (
        (BUSY, BUSY, BUSY),
        Retry(Reason.PROVIDER_DOWN, detail="ESME_RSYSERR (0x00000008)"),
    ),
}


@pytest.mark.parametrize(("statuses", "outcome"), PARTS.values(), ids=PARTS)
async def test_a_long_message_settles_once(statuses: tuple[int | None, ...], outcome: Outcome) -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, response_timeout_s=0.1) as ours:
        await ours.room()
        ours.send(attempt(LONG))
        for number, (part, status) in enumerate(zip(await smsc.requests(3), statuses, strict=True), 1):
            if status is not None:
                part.peer.send(part.answer(str(number), status))
        assert await ours.outcome() == outcome


async def test_after_a_refused_part_the_rest_is_not_sent() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, window=1) as ours:
        await ours.room()
        ours.send(attempt(LONG, number=1))
        part = await smsc.request()
        part.peer.send(part.answer(status=REFUSED))
        assert isinstance(await ours.outcome(1), Rejected)
        await ours.room()
        ours.send(attempt("next", number=2))
        assert (await smsc.request()).submit.short_message == b"next"


async def test_only_ids_that_a_receipt_will_name_are_reported() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, receipts=Receipts.LAST) as ours:
        await ours.room()
        ours.send(attempt(LONG))
        parts = await smsc.requests(3)
        parts[0].peer.send(*(part.answer(str(number)) for number, part in enumerate(parts, 1)))
        assert await ours.outcome() == Accepted(("3",))


RECEIPTS_OF = {  # settings, text, how many receipts say that all of it arrived
    "one part": ({}, "Hi", 1),
    "a receipt a part": ({}, LONG, 3),
    "a receipt of the last part": ({"receipts": Receipts.LAST}, LONG, 1),
    "no receipts": ({"receipts": Receipts.NONE}, LONG, 1),
    "one payload": ({"long_messages": LongMessages.PAYLOAD}, LONG, 1),
    "what no SMS can be": ({}, "", 1),
}


@pytest.mark.parametrize(("settings", "text", "count"), RECEIPTS_OF.values(), ids=RECEIPTS_OF.keys())
async def test_so_many_receipts_say_that_it_arrived(settings: dict[str, object], text: str, count: int) -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, **settings) as ours:
        assert ours.transport.receipts_of(attempt(text)) == count


async def test_a_payload_is_one_submit() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, long_messages=LongMessages.PAYLOAD) as ours:
        await ours.room()
        ours.send(attempt(LONG))
        submit = await smsc.request()
        assert submit.submit.tlvs[0].value == LONG.encode()
        submit.peer.send(submit.answer("1"))
        assert await ours.outcome() == Accepted(("1",))


# -- throttling -------------------------------------------------------------------------------------------------------


async def test_throttling_closes_the_room_for_a_while() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port) as ours:
        await ours.room()
        ours.send(attempt(number=1), attempt(number=2))
        first, second = await smsc.requests(2)
        first.peer.send(first.answer(status=0x58), second.answer(status=0x58))
        await ours.outcomes(1, 2)
        assert (ours.transport.room(), ours.transport.trouble()) == (0, (Reason.THROTTLED, None))
        assert await ours.room() == 5
        assert ours.transport.trouble() is None
        for start in (3, 8):
            ours.send(*(attempt(number=number) for number in range(start, start + 5)))
            first.peer.send(*(submit.answer("1") for submit in await smsc.requests(5)))
            await ours.outcomes(*range(start, start + 5))
        assert await ours.room() == 6


async def test_what_waits_goes_back_when_the_smsc_asks_for_less(slow: None) -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, window=8) as ours:
        await ours.room(9)
        ours.send(*(attempt(number=number) for number in range(9)))
        first, *_ = await smsc.requests(8)
        first.peer.send(first.answer(status=0x58))
        assert await ours.outcome(8) == NotSent()
        assert ours.transport.room() == 0


async def test_parts_wait_out_the_pause() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, window=2) as ours:
        await ours.room()
        ours.send(attempt("short", number=1), attempt(LONG, number=2))
        first, part = await smsc.requests(2)
        first.peer.send(first.answer(status=0x58), part.answer("1"))
        assert isinstance(await ours.outcome(1), Retry)
        for number in ("2", "3"):
            part = await smsc.request()
            part.peer.send(part.answer(number))
        assert await ours.outcome(2) == Accepted(("1", "2", "3"))


# -- lost answers and lost connections --------------------------------------------------------------------------------


async def test_a_connection_lost_loses_the_answers_and_gives_the_rest_back() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, window=2) as ours:
        await ours.room(2)
        ours.send(attempt(number=1), attempt(LONG, number=2), attempt(number=3))
        submits = await smsc.requests(2)
        submits[0].peer.close()
        lost, torn, unsent = await ours.outcomes(1, 2, 3)
        assert lost == AnswerLost("the connection ended")
        assert torn == Retry(Reason.PROVIDER_DOWN, detail="the connection ended between two parts", parts=3)
        assert unsent == NotSent()
        assert await ours.room() == 2


async def test_no_answer_in_time_is_lost_and_frees_its_place() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, window=1, response_timeout_s=0.05) as ours:
        await ours.room()
        ours.send(attempt(number=1))
        late = await smsc.request()
        assert await ours.outcome(1) == AnswerLost("no answer in time")
        await ours.room()
        ours.send(attempt(number=2))
        submit = await smsc.request()
        submit.peer.send(late.answer("1"), submit.answer("2"))
        assert await ours.outcome(2) == Accepted(("2",))


async def test_nothing_is_taken_while_not_bound() -> None:
    async with ScriptedSmsc() as smsc:
        unbound = Gateway(SmppSettings(port=smsc.port))
        assert (unbound.transport.room(), unbound.transport.connected) == (0, False)
        unbound.send(attempt())
        assert await unbound.outcome() == NotSent()
        await unbound.transport.stop(0)


# -- the link ---------------------------------------------------------------------------------------------------------


async def test_it_says_why_it_is_not_bound_until_it_is() -> None:
    slow = {"reconnect_min_s": 0.5, "reconnect_max_s": 0.5}
    async with ScriptedSmsc(bind_statuses=(0x0E,)) as smsc, gateway(smsc.port, **slow) as ours:
        assert ours.transport.trouble() is None
        with listening() as heard:
            await heard.until(event="bind_refused")
        assert ours.transport.trouble() == (Reason.MISCONFIGURED, "ESME_RINVPASWD (0x0000000E)")
        await ours.room()
        assert ours.transport.trouble() is None


REFUSED_BINDS = {  # command_status, what the operator is told
    "a wrong password": (0x0E, Reason.MISCONFIGURED),
    "the session before a crash still stands": (0x05, Reason.PROVIDER_DOWN),
    "a fault of theirs": (0x08, Reason.PROVIDER_DOWN),
    "too many binds at once": (0x58, Reason.THROTTLED),
    "a vendor's own": (0x432, Reason.MISCONFIGURED),
}


@pytest.mark.parametrize(("status", "reason"), REFUSED_BINDS.values(), ids=REFUSED_BINDS)
async def test_a_refused_bind_is_called_what_it_is(status: int, reason: Reason) -> None:
    slow = {"reconnect_min_s": 5.0, "reconnect_max_s": 5.0}
    async with ScriptedSmsc(bind_statuses=(status,)) as smsc, gateway(smsc.port, **slow) as ours:
        with listening() as heard:
            await heard.until(event="bind_refused")
        trouble = ours.transport.trouble()
        assert trouble is not None
        assert trouble[0] is reason


async def test_a_generic_nack_to_a_bind_is_a_refusal_whatever_it_says() -> None:
    async def nack(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(16)
        writer.write(frame(GENERIC_NACK, 0))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(nack, "127.0.0.1", 0)
    with listening() as heard:
        async with server, gateway(server.sockets[0].getsockname()[1]) as ours:
            await heard.until(event="bind_refused", status="ESME_RUNKNOWNERR (0x000000FF)")
            assert ours.transport.room() == 0


async def test_the_bind_carries_the_account() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, system_type="GW") as ours:
        await ours.room()
        [bind] = smsc.binds
        assert bind.command_id == BIND_TRX
        assert bind.octets[16:] == b"esme1\0secret08\0GW\0\x34\0\0\0"
        assert ours.transport.connected


async def test_refused_binds_are_tried_again() -> None:
    async with ScriptedSmsc(bind_statuses=(0x05, 0x0D, 0x0E)) as smsc, gateway(smsc.port) as ours:
        await ours.room()
        assert len(smsc.binds) == 4


async def test_pauses_between_binds_double_and_have_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    enough = asyncio.Event()

    async def note(pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) == 5:
            enough.set()
            await asyncio.Event().wait()

    monkeypatch.setattr("cascade.channels.smpp.transport.asyncio.sleep", note)
    async with ScriptedSmsc(bind_statuses=(0x0D,) * 9) as smsc:
        settings = SmppSettings(port=smsc.port, reconnect_min_s=1, reconnect_max_s=6)
        transport = SmppTransport(settings, random_unit=iter([1.0, 1.0, 0.0, 1.0, 0.5]).__next__)
        transport.start(lambda: None, Gateway(settings).take)
        async with asyncio.timeout(PATIENCE_S):
            await enough.wait()
        await transport.stop(0)
    assert pauses == [1, 2, 2, 6, 4.5]


@pytest.mark.parametrize(("is_taken", "pauses"), [(True, [1, 1, 1]), (False, [1, 2, 4])])
async def test_a_bind_that_took_a_message_is_made_anew_without_a_longer_pause(
    monkeypatch: pytest.MonkeyPatch, is_taken: bool, pauses: list[float]
) -> None:
    seen: list[float] = []
    sleep = asyncio.sleep

    async def note(pause_s: float) -> None:
        seen.append(pause_s)
        await sleep(0)

    async with ScriptedSmsc() as smsc:
        settings = SmppSettings(port=smsc.port, reconnect_min_s=1, reconnect_max_s=60)
        ours = Gateway(settings)
        ours.transport = SmppTransport(settings, random_unit=lambda: 1.0)
        monkeypatch.setattr("cascade.channels.smpp.transport.asyncio.sleep", note)
        ours.start()
        for number in (1, 2, 3):
            await smsc.peer()
            await ours.room()
            ours.send(attempt(number=number))
            submit = await smsc.request()
            if is_taken:
                submit.peer.send(submit.answer("1"))
                await ours.outcome(number)
            submit.peer.close()
            await ours.outcome(number)
        await smsc.peer()
        monkeypatch.undo()
        await ours.transport.stop(0)
    assert seen[:3] == pauses


async def test_an_smsc_that_is_not_there_is_tried_until_it_is() -> None:
    async with ScriptedSmsc() as smsc:
        port = smsc.port
    async with gateway(port) as ours:
        with listening() as heard:
            await heard.until(event="connect_failed")
        assert ours.transport.room() == 0
        assert ours.transport.trouble() == (Reason.PROVIDER_DOWN, "ConnectionRefusedError")


async def test_an_address_that_is_away_stands_in_front_of_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SMSC's name has two addresses, and the first takes no connection and says nothing."""
    with ExitStack() as open_, socket.create_server(("127.0.0.2", 0), backlog=0) as away:
        for _ in range(4):  # the queue is full then, and whoever comes waits
            filling = open_.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex(away.getsockname())
        async with ScriptedSmsc() as smsc:

            async def both(host: str, port: int, **_: object) -> list[object]:
                assert (host, port) == ("smsc.example", smsc.port)
                places = [away.getsockname(), ("127.0.0.1", smsc.port)]
                return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", place) for place in places]

            monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
            async with gateway(smsc.port, host="smsc.example", connect_timeout_s=2.0) as ours:
                assert await ours.room() == 10


async def test_a_host_that_can_be_none_is_logged_and_tried_again() -> None:
    with pytest.raises(UnicodeError) as refused:  # which of its kinds depends on Python's version
        "smsc..example".encode("idna")
    with listening() as heard:
        async with gateway(1, host="smsc..example") as ours:
            await heard.until(event="bind_failed", error=refused.typename)
            heard.entries.clear()
            await heard.until(event="bind_failed")
            assert ours.transport.room() == 0


async def test_after_the_peers_unbind_we_bind_again() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port) as ours:
        peer = await smsc.peer()
        await ours.room()
        ours.send(attempt())
        await smsc.request()
        peer.send(frame(UNBIND, 77))
        assert (await smsc.request(UNBIND_RESP)).sequence == 77
        assert await ours.outcome() == AnswerLost("the connection ended")
        await smsc.peer()
        assert await ours.room() == 10


@pytest.mark.parametrize("status", [0x04, 0x05, 0x0D])
async def test_not_bound_says_the_smsc_so_we_bind_again(status: int) -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port) as ours:
        peer = await smsc.peer()
        await ours.room()
        ours.send(attempt(number=1), attempt(number=2))
        first, second = await smsc.requests(2)
        peer.send(first.answer(status=status))
        assert isinstance(await ours.outcome(1), Retry)
        assert ours.transport.room() == 0
        peer.send(second.answer("2"))
        assert await ours.outcome(2) == Accepted(("2",))
        await peer.gone()
        await smsc.peer()


async def test_the_peers_enquiry_is_answered() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port):
        peer = await smsc.peer()
        peer.send(frame(ENQUIRE_LINK, 7)[:5])
        peer.send(frame(ENQUIRE_LINK, 7)[5:])
        assert (await smsc.request(ENQUIRE_LINK_RESP)).sequence == 7


async def test_a_silent_link_is_asked_and_kept_while_it_answers() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, enquire_link_s=0.02, enquire_timeout_s=0.02):
        peer = await smsc.peer()
        async with asyncio.timeout(PATIENCE_S):
            assert [await smsc.enquired.get() for _ in range(3)] == [peer] * 3
        assert not peer.is_gone.is_set()
        assert len(smsc.binds) == 1


async def test_a_link_silent_even_then_is_cut_and_made_anew() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, enquire_link_s=0.02, enquire_timeout_s=0.02) as ours:
        smsc.is_mute = True
        peer = await smsc.peer()
        await ours.room()
        ours.send(attempt())
        assert await ours.outcome() == AnswerLost("the connection ended")
        await peer.gone()
        await smsc.peer()


async def test_an_enquiry_during_our_unbind_is_answered() -> None:
    asked: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                length = int.from_bytes(await reader.readexactly(4), "big")
                command_id, _, sequence = struct.unpack(">III", (await reader.readexactly(length - 4))[:12])
                asked.append(command_id)
                if command_id == BIND_TRX:
                    writer.write(frame(BIND_TRX | RESPONSE, sequence, b"smsc\0"))
                elif command_id == UNBIND:
                    writer.write(frame(ENQUIRE_LINK, 9))
                elif command_id == ENQUIRE_LINK_RESP:
                    writer.write(frame(UNBIND_RESP, asked.index(UNBIND)))
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, gateway(server.sockets[0].getsockname()[1]) as ours:
        await ours.room()
    assert asked == [BIND_TRX, UNBIND, ENQUIRE_LINK_RESP]


async def test_a_peer_that_only_talks_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks and asks and reads no answer: what we hold for it is bounded."""
    monkeypatch.setattr("cascade.channels.smpp.session._MOST_OCTETS", 100_000)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(16)
        writer.write(frame(BIND_TRX | RESPONSE, 1, b"smsc\0"))
        try:
            while True:
                writer.write(frame(ENQUIRE_LINK, 7) * 10_000)
                await writer.drain()
        except ConnectionError:
            writer.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        server = await asyncio.start_server(talk, sock=listener, limit=1_000)
        with listening() as heard:
            async with server, gateway(listener.getsockname()[1]):
                await heard.until(event="peer_does_not_read")
                await heard.until(event="bind_lost")


async def test_an_unknown_request_is_named_unknown() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port):
        peer = await smsc.peer()
        peer.send(frame(0x0111, 5))
        nack = await smsc.request(GENERIC_NACK)
        assert (nack.sequence, nack.status) == (5, 0x03)


GARBAGE = {
    "text of another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "zeros": bytes(64),
    "a length beyond all sense": b"\xff" * 16,
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_ends_the_connection_and_nothing_else(garbage: bytes) -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port) as ours:
        peer = await smsc.peer()
        await ours.room()
        ours.send(attempt())
        submit = await smsc.request()
        peer.send(submit.answer("1"), garbage)
        assert await ours.outcome() == Accepted(("1",))
        assert (await smsc.request(GENERIC_NACK)).status == 0x02
        await peer.gone()
        await smsc.peer()


async def test_an_unexpected_answer_is_ignored() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port) as ours:
        peer = await smsc.peer()
        peer.send(frame(0x80000004, 999, b"1\0"), frame(0x80000008, 999), frame(ENQUIRE_LINK, 8))
        await smsc.request(ENQUIRE_LINK_RESP)
        assert await ours.room() == 10


async def test_a_pair_of_binds_sends_by_one_and_receives_by_the_other() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, bind=BindMode.PAIR) as ours:
        peers = [await smsc.peer(), await smsc.peer()]
        commands = [bind.command_id for bind in smsc.binds]
        assert sorted(commands) == [BIND_RX, BIND_TX]
        await ours.room()
        ours.send(attempt())
        submit = await smsc.request()
        assert submit.peer is peers[commands.index(BIND_TX)]
        submit.peer.send(submit.answer("a1"))
        peers[commands.index(BIND_RX)].send(receipt("A1", 5))
        assert (await ours.received(1))[0].provider_id == "a1"
        assert (await smsc.request(DELIVER_SM_RESP)).peer is peers[commands.index(BIND_RX)]
        assert ours.transport.connected


# -- receipts ---------------------------------------------------------------------------------------------------------


async def test_a_receipt_is_acknowledged_only_when_stored() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port) as ours:
        peer = await smsc.peer()
        ours.may_store.clear()
        peer.send(receipt("A1", 5), frame(ENQUIRE_LINK, 6))
        await smsc.request(ENQUIRE_LINK_RESP)
        assert (ours.receipts, smsc.waiting) == ([], 0)
        ours.may_store.set()
        answer = await smsc.request(DELIVER_SM_RESP)
        assert (answer.sequence, answer.status) == (5, 0)
        [stored] = ours.receipts
        assert (stored.provider_id, stored.state, stored.recipient) == ("a1", ReceiptState.DELIVERED, "380501112233")


async def test_receipts_of_one_read_are_one_set() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port) as ours:
        peer = await smsc.peer()
        peer.send(*(receipt(str(number), number) for number in range(1, 51)))
        answers = await smsc.requests(50, DELIVER_SM_RESP)
        assert [answer.sequence for answer in answers] == list(range(1, 51))
        assert ours.sets == [50]


async def test_what_could_not_be_stored_is_asked_for_again() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port) as ours:
        peer = await smsc.peer()
        ours.store_fails = True
        peer.send(receipt("A1", 5), receipt("A2", 6))
        refused = await smsc.requests(2, DELIVER_SM_RESP)
        assert [(answer.sequence, answer.status) for answer in refused] == [(5, 0x64), (6, 0x64)]
        ours.store_fails = False
        peer.send(receipt("A1", 7), receipt("A2", 8))
        accepted = await smsc.requests(2, DELIVER_SM_RESP)
        assert [answer.status for answer in accepted] == [0, 0]
        assert [stored.provider_id for stored in ours.receipts] == ["a1", "a2"]


async def test_a_receipt_may_come_by_data_sm() -> None:
    body = b"\0\x01\x01380501112233\0\x05\x00Shop\0\x04\x00\x00\x00\x1e\x00\x03A1\0\x04\x27\x00\x01\x02"
    async with ScriptedSmsc() as smsc, gateway(smsc.port) as ours:
        peer = await smsc.peer()
        peer.send(frame(0x103, 5, body))
        assert (await smsc.request(0x80000103)).sequence == 5
        assert [(stored.provider_id, stored.state) for stored in ours.receipts] == [("a1", ReceiptState.DELIVERED)]


async def test_a_slow_store_slows_the_smsc(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is bounded by its octets: here there is room for three and a half of these receipts."""
    monkeypatch.setattr("cascade.channels.smpp.session._MOST_OCTETS", 4_000)
    async with ScriptedSmsc() as smsc, gateway(smsc.port) as ours:
        peer = await smsc.peer()
        ours.may_store.clear()
        peer.send(receipt("A1", 1), frame(ENQUIRE_LINK, 2))
        await smsc.request(ENQUIRE_LINK_RESP)  # the store is busy with the first from here on
        peer.send(*(receipt(f"A{number}", number) for number in (3, 4, 5)), frame(ENQUIRE_LINK, 6))
        await smsc.request(ENQUIRE_LINK_RESP)
        peer.send(frame(ENQUIRE_LINK, 7))
        await asyncio.sleep(0.02)
        assert smsc.waiting == 0
        ours.may_store.set()
        assert [answer.sequence for answer in await smsc.requests(4, DELIVER_SM_RESP)] == [1, 3, 4, 5]
        assert (await smsc.request(ENQUIRE_LINK_RESP)).sequence == 7
        assert ours.sets == [1, 3]


async def test_a_slow_store_cuts_no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """While we do not read, silence says nothing of the peer."""
    monkeypatch.setattr("cascade.channels.smpp.session._MOST_OCTETS", 1_000)
    quick = {"enquire_link_s": 0.02, "enquire_timeout_s": 0.02}
    async with ScriptedSmsc() as smsc, gateway(smsc.port, **quick) as ours:
        peer = await smsc.peer()
        ours.may_store.clear()
        peer.send(receipt("A1", 1))
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(5):
                await smsc.enquired.get()
        ours.may_store.set()
        assert (await smsc.request(DELIVER_SM_RESP)).sequence == 1
        assert not peer.is_gone.is_set()
        assert len(smsc.binds) == 1


async def test_a_receipt_may_come_before_the_answer() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, id_form=IdForm.RESP_HEX_DLR_DEC) as ours:
        await ours.room()
        ours.send(attempt())
        submit = await smsc.request()
        submit.peer.send(receipt("0000006699"), submit.answer("1A2B"))
        accepted = await ours.outcome()
        assert isinstance(accepted, Accepted)
        assert accepted.provider_ids == ((await ours.received(1))[0].provider_id,)


NO_RECEIPTS = {  # deliver_sm, its answer's status
    "a message from a phone": (receipt("A1", esm_class=0), 0),
    "an intermediate notification": (receipt("A1", esm_class=0x20), 0),
    "a state that is no end": (receipt("A1", stat="ENROUTE"), 0),
    "a state nobody knows": (receipt("A1", stat="ENTREGADO"), 0),
    "octets that are no deliver_sm": (frame(DELIVER_SM, 1, b"\0\1"), 0x65),
}


@pytest.mark.parametrize(("octets", "status"), NO_RECEIPTS.values(), ids=NO_RECEIPTS)
async def test_what_is_no_receipt_is_answered_and_dropped(octets: bytes, status: int) -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port) as ours:
        peer = await smsc.peer()
        peer.send(octets)
        assert (await smsc.request(DELIVER_SM_RESP)).status == status
        assert ours.receipts == []


# -- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "smsc")])
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
    path = tmp_path / "smsc.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(pem) + private)
    return path


def serving(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


TRUSTED = {"by its authority": {"tls_ca_file": True}, "by nobody, where that is allowed": {"tls_verify": False}}


@pytest.mark.parametrize("settings", TRUSTED.values(), ids=TRUSTED)
async def test_speaks_tls_with_a_trusted_peer(certificate: Path, settings: dict[str, object]) -> None:
    trust = {**settings, "tls_ca_file": str(certificate)} if "tls_ca_file" in settings else settings
    async with ScriptedSmsc(tls=serving(certificate)) as smsc, gateway(smsc.port, tls=True, **trust) as ours:
        await ours.room()
        ours.send(attempt())
        submit = await smsc.request()
        submit.peer.send(submit.answer("1"), receipt("1"))
        assert await ours.outcome() == Accepted(("1",))
        await smsc.request(DELIVER_SM_RESP)


async def test_an_untrusted_peer_gets_no_password(certificate: Path) -> None:
    with listening() as heard:
        async with ScriptedSmsc(tls=serving(certificate)) as smsc, gateway(smsc.port, tls=True) as ours:
            await heard.until(event="connect_failed", error="SSLCertVerificationError")
            assert (smsc.binds, ours.transport.room()) == ([], 0)


# -- the end ----------------------------------------------------------------------------------------------------------


async def test_stopping_waits_for_answers_under_way() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, window=1) as ours:
        await ours.room()
        ours.send(attempt(number=1), attempt(number=2))
        submit = await smsc.request()
        stopping = asyncio.create_task(ours.transport.stop(PATIENCE_S))
        assert await ours.outcome(2) == NotSent()
        assert ours.transport.room() == 0
        submit.peer.send(submit.answer("1"))
        assert await ours.outcome(1) == Accepted(("1",))
        await stopping
        await submit.peer.gone()
        assert smsc.unbinds == 1


async def test_a_message_half_sent_is_sent_whole_before_the_end() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, window=1) as ours:
        await ours.room()
        ours.send(attempt(LONG))
        part = await smsc.request()
        stopping = asyncio.create_task(ours.transport.stop(PATIENCE_S))
        await asyncio.sleep(0)
        for number in ("1", "2"):
            part.peer.send(part.answer(number))
            part = await smsc.request()
        part.peer.send(part.answer("3"))
        await stopping
        assert await ours.outcome() == Accepted(("1", "2", "3"))


async def test_stopping_gives_up_when_the_grace_is_over() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, window=1) as ours:
        await ours.room()
        ours.send(attempt(number=1))
        await smsc.request()
        await ours.transport.stop(0.02)
        assert await ours.outcome(1) == AnswerLost("the connection ended")
        ours.send(attempt(number=2))
        assert await ours.outcome(2) == NotSent()


async def test_receipts_under_way_are_stored_and_acknowledged_before_the_end() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port) as ours:
        peer = await smsc.peer()
        ours.may_store.clear()
        peer.send(receipt("A1", 5), frame(ENQUIRE_LINK, 6))
        await smsc.request(ENQUIRE_LINK_RESP)
        stopping = asyncio.create_task(ours.transport.stop(PATIENCE_S))
        await asyncio.wait([stopping], timeout=0.02)  # as long as a goodbye and its answer would take
        assert smsc.unbinds == 0
        ours.may_store.set()
        assert (await smsc.request(DELIVER_SM_RESP)).sequence == 5
        await stopping


async def test_stopping_twice_is_stopping_once() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port) as ours:
        await ours.room()
        await ours.transport.stop(0)
        await ours.transport.stop(0)


# -- what it says about itself ----------------------------------------------------------------------------------------


def test_capabilities_follow_the_settings() -> None:
    transport: Transport = SmppTransport(SmppSettings(receipts=Receipts.NONE))
    assert (transport.capabilities.channel, transport.capabilities.has_receipts) == (Channel.SMS, False)
    assert SmppTransport(SmppSettings()).capabilities.has_receipts


async def test_no_log_holds_a_secret_a_phone_or_a_text() -> None:
    with listening() as heard:
        async with ScriptedSmsc(bind_statuses=(0x0E,)) as smsc, gateway(smsc.port) as ours:
            peer = await smsc.peer()
            await ours.room()
            ours.send(attempt("a private word", number=1), attempt(number=2, sender="Магазин"))
            submit = await smsc.request()
            peer.send(submit.answer(status=0x0B), receipt("A1", esm_class=0), frame(DELIVER_SM, 9, b"\0"), bytes(16))
            await ours.outcomes(1, 2)
            await peer.gone()
    assert {"bind_refused", "attempt_rejected", "stream_broken"} <= {entry["event"] for entry in heard.entries}
    said = repr(heard.entries)
    assert not [word for word in ("secret08", "380501112233", "private", "Магазин") if word in said]


async def test_a_link_that_went_away_in_a_pause_is_open_when_it_comes_back() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port, throttle_min_s=60, throttle_max_s=60) as ours:
        await ours.room()
        ours.send(attempt())
        submit = await smsc.request()
        submit.peer.send(submit.answer(status=0x58))
        await ours.outcome()
        await ours.transport.stop(0.0)
        ours.start()
        assert await ours.room() == 5


async def test_a_link_that_went_to_another_node_may_come_back() -> None:
    async with ScriptedSmsc() as smsc, gateway(smsc.port) as ours:
        await ours.room()
        await ours.transport.stop(0.0)
        assert ours.transport.room() == 0
        ours.start()
        assert await ours.room() == 10
        ours.send(attempt())
        submit = await smsc.request()
        submit.peer.send(submit.answer("00A1"))
        assert await ours.outcome() == Accepted(("a1",))
