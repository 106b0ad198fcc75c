"""What a client hears of a message's life: one table, a line for each thing that can happen to it."""

from typing import Any
from uuid import UUID

import pytest

from cascade.core.events import EventType, Listener, Told, of, sample, wanted
from cascade.core.message import Message, State, Status
from cascade.core.route import Route, Step
from cascade.core.timeline import Entry, Mark
from cascade.core.words import Channel, MessageType, Reason

T0 = 1_000_000_000_000
ID = UUID("0198c5a2-7b1e-7c3d-9f2a-3c4d5e6f7a8b")
ABOUT = Told(7, ID.bytes, "order-1")
ROUTE: Route = (
    Step(Channel.TELEGRAM_BOT, "telegram_bot.1", 30),
    Step(Channel.VIBER_BOT, "viber_bot.1", 60),
    Step(Channel.SMS, "sms.smpp", None),
)
QUEUED = Message(MessageType.PROMO, ROUTE, T0, State.QUEUED, Status.SCHEDULED, step=1)
SENDING = QUEUED._replace(state=State.SENDING, status=Status.PROCESSING, attempt=1, tries=1)
WAITING = SENDING._replace(state=State.WAITING, cost_micros=50_000)
AT_SMS = WAITING._replace(state=State.QUEUED, step=2)
DELIVERED = WAITING._replace(state=State.FINAL, status=Status.DELIVERED, delivered_step=1, delivered=(1,))
READ = DELIVERED._replace(is_read=True)
UNDELIVERABLE = AT_SMS._replace(state=State.FINAL, status=Status.UNDELIVERABLE)
FAILED = QUEUED._replace(step=-1, state=State.FINAL, status=Status.PERMANENT_ERROR)
SCHEDULED = QUEUED._replace(state=State.SCHEDULED, step=-1)
REJECTED = Entry(T0, 1, 1, Mark.REJECTED, Reason.BLOCKED)
NO_RECEIPT = Entry(T0, 2, 2, Mark.TIMED_OUT, Reason.NO_RECEIPT)

CASES: dict[str, tuple[Message, Message, list[Entry], list[str]]] = {
    "the first attempt is accepted: it is being processed": (SENDING, WAITING, [], ["message.processing"]),
    "the first attempt never left: nothing has begun": (
        SENDING,
        QUEUED._replace(status=Status.PROCESSING, attempt=0),
        [],
        [],
    ),
    "the first attempt is tried again: it is being processed": (
        SENDING,
        SENDING._replace(state=State.QUEUED),
        [],
        ["message.processing"],
    ),
    "the second attempt is accepted: known already": (
        SENDING._replace(attempt=2),
        WAITING._replace(attempt=2),
        [],
        [],
    ),
    "one part arrived before the answer: said with the answer": (
        SENDING,
        SENDING._replace(open_parts=((1, 2),)),
        [],
        [],
    ),
    "the first attempt is refused: processing, then on to the next": (
        SENDING,
        AT_SMS,
        [REJECTED],
        ["message.processing", "message.fallback"],
    ),
    "no receipt in time: on to the next": (WAITING, AT_SMS, [NO_RECEIPT], ["message.fallback"]),
    "its hour has come, and bots are skipped: no fallback": (SCHEDULED, QUEUED, [], []),
    "a receipt: delivered": (WAITING, DELIVERED, [], ["message.delivered"]),
    "delivered in the answer itself": (SENDING, DELIVERED, [], ["message.processing", "message.delivered"]),
    "moved on, and the earlier channel delivers in the same set": (
        WAITING,
        DELIVERED._replace(step=2),
        [NO_RECEIPT],
        ["message.fallback", "message.delivered"],
    ),
    "read without a word of delivery: both, in order": (WAITING, READ, [], ["message.delivered", "message.read"]),
    "read after delivery": (DELIVERED, READ, [], ["message.read"]),
    "delivered a second time: nothing new": (DELIVERED, DELIVERED._replace(delivered=(1, 2)), [], []),
    "no channel reached the person": (AT_SMS, UNDELIVERABLE, [NO_RECEIPT], ["message.undeliverable"]),
    "a late receipt after all": (
        UNDELIVERABLE,
        UNDELIVERABLE._replace(status=Status.DELIVERED, delivered_step=1),
        [],
        ["message.delivered"],
    ),
    "no channel at acceptance, or cancelled": (SCHEDULED, FAILED, [], ["message.permanenterror"]),
    "rescheduled: nothing happened": (QUEUED, SCHEDULED, [], []),
}


@pytest.mark.parametrize(("before", "after", "entries", "types"), CASES.values(), ids=CASES.keys())
def test_what_a_client_hears(before: Message, after: Message, entries: list[Entry], types: list[str]) -> None:
    assert [one.type.value for one in of(ABOUT, before, after, entries, T0)] == types


@pytest.mark.parametrize(("before", "after", "entries", "types"), CASES.values(), ids=CASES.keys())
def test_of_the_types_that_somebody_wants_each_is_told_and_no_other(
    before: Message, after: Message, entries: list[Entry], types: list[str]
) -> None:
    for type_ in EventType:
        told = [one.type.value for one in of(ABOUT, before, after, entries, T0, frozenset({type_}))]
        assert told == [one for one in types if one == type_]


def test_the_types_that_somebody_wants() -> None:
    read = Listener("wh_1", frozenset({EventType.READ}))
    assert wanted(()) == frozenset()
    assert wanted((read, Listener("wh_2", frozenset({EventType.DELIVERED})))) == {EventType.READ, EventType.DELIVERED}
    assert wanted((read, Listener("wh_3", None))) == frozenset(EventType)


DATA: dict[str, tuple[Message, Message, list[Entry], dict[str, Any]]] = {
    "message.processing": (
        SENDING,
        WAITING,
        [],
        {"deliverystatus": "processing", "channel": "viber_bot", "deliveredVia": None, "cost": 0.0},
    ),
    "message.fallback": (
        WAITING,
        AT_SMS,
        [REJECTED],
        {
            "deliverystatus": "processing",
            "channel": "sms",
            "deliveredVia": None,
            "cost": 0.05,
            "fallbackFrom": "viber_bot",
            "reason": "blocked",
        },
    ),
    "message.delivered": (
        WAITING,
        DELIVERED,
        [],
        {
            "deliverystatus": "delivered",
            "channel": "viber_bot",
            "deliveredVia": "viber_bot",
            "cost": 0.05,
            "confirmed": True,
        },
    ),
    "message.undeliverable": (
        AT_SMS,
        UNDELIVERABLE,
        [NO_RECEIPT],
        {
            "deliverystatus": "undeliverable",
            "channel": "sms",
            "deliveredVia": None,
            "cost": 0.05,
            "reason": "no_receipt",
        },
    ),
    "message.permanenterror": (
        SCHEDULED,
        FAILED,
        [Entry(T0, 0, 0, Mark.SKIPPED, Reason.NO_CHANNEL)],
        {
            "deliverystatus": "permanenterror",
            "channel": None,
            "deliveredVia": None,
            "cost": 0.0,
            "reason": "no_channel",
        },
    ),
    "message.read": (
        DELIVERED,
        READ,
        [],
        {"deliverystatus": "delivered", "channel": "viber_bot", "deliveredVia": "viber_bot", "cost": 0.05},
    ),
}


@pytest.mark.parametrize("name", DATA)
def test_what_an_event_says(name: str) -> None:
    before, after, entries, data = DATA[name]
    (event,) = of(ABOUT, before, after, entries, T0)
    assert (event.account_id, event.message_id, event.type, event.at_ms) == (7, ID.bytes, name, T0)
    assert event.data == {"messageId": str(ID), "trackinId": "order-1"} | data


def test_telegram_confirms_nothing() -> None:
    after = DELIVERED._replace(delivered_step=0)
    (event,) = of(ABOUT, WAITING, after, [], T0)
    assert event.data["confirmed"] is False


def test_a_sample_says_what_a_delivery_does_and_fits_both_formats() -> None:
    event = sample(ID, T0, 7)
    assert event.data.keys() == DATA["message.delivered"][3].keys() | {"messageId", "trackinId"}
    assert event.type is EventType.TEST
    assert event.message_id is None
    assert {"messageId", "deliverystatus", "cost"} <= event.data.keys()


def test_a_listener_hears_what_it_asked_for() -> None:
    assert Listener("wh_1", None).wants(EventType.READ)
    assert Listener("wh_1", frozenset({EventType.READ})).wants(EventType.READ)
    assert not Listener("wh_1", frozenset({EventType.READ})).wants(EventType.DELIVERED)
