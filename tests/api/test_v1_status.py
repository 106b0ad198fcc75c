"""The status object: the contract's example, and what a cancelled or moved message looks like."""

import uuid
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter

from cascade.api.status import Seen, StatusShown, describe
from cascade.core.message import Message, State, Status
from cascade.core.route import Step
from cascade.core.timeline import Entry, Mark
from cascade.core.words import Channel, MessageType, Reason
from cascade.store.messages import Key, Record
from cascade.store.short_links import Clicks

T0 = 1_790_000_000_000
ID = uuid.UUID("0198c5a2-7b1e-7c3d-9f2a-3c4d5e6f7a8b")
ROUTE = (
    Step(Channel.TELEGRAM_BOT, None, 30),
    Step(Channel.VIBER_BOT, "viber_bot.1", 60, cost_micros=50_000),
    Step(Channel.SMS, "sms.smpp", None, cost_micros=70_000),
)
GOLDEN = {  # contract, section 5
    "messagelistId": 123456,
    "messageId": str(ID),
    "deliverystatus": "delivered",
    "partscount": 1,
    "cost": 0.05,
    "fallbacks": [{"type": "sms", "status": "not_used"}],
    "extendedStatuses": {"telegram_bot": "skipped", "viber_bot": "delivered", "sms": "not_used"},
    "rate": 0.05,
    "rateCurrency": "USD",
}
DELIVERED = Message(
    MessageType.TRANSACTION,
    ROUTE,
    T0 + 60_000,
    state=State.FINAL,
    status=Status.DELIVERED,
    step=1,
    attempt=1,
    delivered_step=1,
    delivered=(1,),
    cost_micros=50_000,
)


def record(message: Message, *entries: Entry) -> Record:
    return Record(Key(1, ID.bytes), "order-12345", "Shop", "+380501112233", T0, None, message, list(entries), 123_456)


def shown(message: Message, *entries: Entry, links: Sequence[Clicks] = (), survey: str | None = None) -> dict[str, Any]:
    """The status object; it is checked to be what the OpenAPI document says."""
    status: Any = describe(Seen(record(message, *entries), links, survey=survey), "USD")
    assert TypeAdapter(StatusShown).validate_python(status) == status
    return dict(status)


def test_the_contract_s_example() -> None:
    status = shown(
        DELIVERED,
        Entry(T0, 0, 0, Mark.SKIPPED, Reason.NO_CHANNEL),
        Entry(T0 + 5, 1, 1, Mark.ACCEPTED, None, "59231"),
        Entry(T0 + 9, 1, 1, Mark.DELIVERED),
    )
    assert {name: status[name] for name in GOLDEN} == GOLDEN
    assert (status["trackinId"], status["channel"]) == ("order-12345", "viber_bot")


def test_the_rate_is_that_of_the_present_step_until_one_delivers() -> None:
    waiting = DELIVERED._replace(state=State.WAITING, status=Status.PROCESSING, delivered_step=None, delivered=())
    assert [shown(waiting._replace(step=step))["rate"] for step in (-1, 0, 1, 2)] == [0.0, 0.0, 0.05, 0.07]


def test_money_is_exact() -> None:
    costs = {0: 0.0, 1: 0.000001, 50_000: 0.05, 123_456_789: 123.456789, 10**12: 1_000_000.0}
    assert {micros: shown(DELIVERED._replace(cost_micros=micros))["cost"] for micros in costs} == costs


def test_what_is_not_known_has_no_key() -> None:
    assert {"clicks", "machineClicks", "survey"} & shown(DELIVERED).keys() == set()
    known = shown(DELIVERED, links=[Clicks("code", "https://e.com/", 0, 3, None, None)], survey="Yes")
    assert (known["clicks"], known["machineClicks"], known["survey"]) == (0, 3, "Yes")


def test_the_first_click_on_each_link_stands_in_the_timeline_at_its_time() -> None:
    links = [
        Clicks("a", "https://e.com/a", 2, 0, T0 + 7, T0 + 99),
        Clicks("b", "https://e.com/b", 1, 1, T0 + 9, T0 + 9),
    ]
    status = shown(DELIVERED, Entry(T0 + 5, 1, 1, Mark.ACCEPTED), Entry(T0 + 8, 1, 1, Mark.DELIVERED), links=links)
    assert status["clicks"] == 3
    assert [entry["event"] for entry in status["timeline"]] == ["accepted", "clicked", "delivered", "clicked"]
    assert status["timeline"][1] == {
        "at": "2026-09-21T14:13:20.007Z",
        "event": "clicked",
        "url": "https://e.com/a",
        "clicks": 2,
        "lastAt": "2026-09-21T14:13:20.099Z",
    }


def test_cancelled_and_moved_are_no_attempts() -> None:
    cancelled = DELIVERED._replace(
        status=Status.PERMANENT_ERROR, step=-1, attempt=0, delivered_step=None, delivered=(), cost_micros=0
    )
    status = shown(
        cancelled,
        Entry(T0, 0, 0, Mark.SKIPPED, Reason.NO_CHANNEL),
        Entry(T0 + 1, 1, 0, Mark.RESCHEDULED),
        Entry(T0 + 2, -1, 0, Mark.CANCELLED, Reason.CANCELLED),
    )
    assert [(attempt["channel"], attempt["state"]) for attempt in status["attempts"]] == [("telegram_bot", "skipped")]
    assert status["extendedStatuses"] == {"telegram_bot": "skipped", "viber_bot": "not_used", "sms": "not_used"}
    assert [entry["event"] for entry in status["timeline"]] == ["skipped", "rescheduled", "cancelled"]
    assert "channel" not in status["timeline"][2]
