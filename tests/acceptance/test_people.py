"""How a person behaves on each channel decides where their message arrives, and the timeline says why."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any, NamedTuple

import pytest

from .processes import FINAL, City, demo

Event = tuple[str, str, str | None]

TELEGRAM_DELIVERED: Event = ("telegram_bot", "delivered", None)
NO_TELEGRAM: Event = ("telegram_bot", "skipped", "not_subscribed")
NO_VIBER: Event = ("viber_bot", "skipped", "not_subscribed")
VIBER_ACCEPTED: Event = ("viber_bot", "accepted", None)
VIBER_DELIVERED: Event = ("viber_bot", "delivered", None)
SMS_ACCEPTED: Event = ("sms", "accepted", None)
SMS_DELIVERED: Event = ("sms", "delivered", None)
BY_VIBER = (VIBER_ACCEPTED, VIBER_DELIVERED)
BY_SMS = (SMS_ACCEPTED, SMS_DELIVERED)

LEFT_OUT = ("viber_business", "rcs")

LATE_WITHIN_S = 15.0
"""The sandbox's late receipts take 10 s."""


class Case(NamedTuple):
    """`timeline` leaves out Viber Business and RCS, where none of them is; repeats in a row count once.

    `inbox`: by which channels it reached the phone, in order. `until`: the last thing that happens, None: its final
    status. With `is_alone`, the person's SMSC connection is cut, which others on it would feel.
    """

    person: dict[str, str]
    timeline: tuple[Event, ...]
    status: str
    inbox: tuple[str, ...]
    type: str = "promo"
    until: str | None = None
    is_alone: bool = False


CASES = {
    "Telegram delivers: nothing else is tried": Case(
        {"telegram_bot": "delivers", "viber_bot": "delivers"}, (TELEGRAM_DELIVERED,), "delivered", ("telegram_bot",)
    ),
    "Telegram, silent as ever: its acceptance is all there is": Case(
        {"telegram_bot": "silent"}, (TELEGRAM_DELIVERED,), "delivered", ("telegram_bot",)
    ),
    "Telegram, absent: on to Viber at once": Case(
        {"viber_bot": "delivers"}, (NO_TELEGRAM, *BY_VIBER), "delivered", ("viber_bot",)
    ),
    "Telegram, blocked: on to Viber": Case(
        {"telegram_bot": "blocked", "viber_bot": "delivers"},
        (("telegram_bot", "rejected", "blocked"), *BY_VIBER),
        "delivered",
        ("viber_bot",),
    ),
    "Telegram rejects: on to Viber": Case(
        {"telegram_bot": "rejects", "viber_bot": "delivers"},
        (("telegram_bot", "rejected", "invalid_content"), *BY_VIBER),
        "delivered",
        ("viber_bot",),
    ),
    "Telegram throttles: again when it said so": Case(
        {"telegram_bot": "throttled", "viber_bot": "delivers"},
        (("telegram_bot", "retry", "throttled"), TELEGRAM_DELIVERED),
        "delivered",
        ("telegram_bot",),
    ),
    "Telegram is down: on to Viber when its time is up": Case(
        {"telegram_bot": "down", "viber_bot": "delivers"},
        (("telegram_bot", "retry", "provider_down"), *BY_VIBER),
        "delivered",
        ("viber_bot",),
    ),
    "Telegram's answer is lost, a promo: not repeated there": Case(
        {"telegram_bot": "answer_lost", "viber_bot": "delivers"},
        (("telegram_bot", "unknown", "no_answer"), ("telegram_bot", "timed_out", "no_receipt"), *BY_VIBER),
        "delivered",
        ("telegram_bot", "viber_bot"),
    ),
    "Telegram's answer is lost, a transaction: better twice than never": Case(
        {"telegram_bot": "answer_lost", "viber_bot": "delivers"},
        (("telegram_bot", "unknown", "no_answer"), *BY_VIBER),
        "delivered",
        ("telegram_bot", "telegram_bot", "viber_bot"),
        type="transaction",
    ),
    "Viber reads": Case(
        {"viber_bot": "reads"},
        (NO_TELEGRAM, *BY_VIBER, ("viber_bot", "read", None)),
        "delivered",
        ("viber_bot",),
        until="read",
    ),
    "Viber, blocked: on to SMS": Case(
        {"viber_bot": "blocked"},
        (NO_TELEGRAM, ("viber_bot", "rejected", "not_subscribed"), *BY_SMS),
        "delivered",
        ("sms",),
    ),
    "Viber rejects: on to SMS": Case(
        {"viber_bot": "rejects"},
        (NO_TELEGRAM, ("viber_bot", "rejected", "invalid_content"), *BY_SMS),
        "delivered",
        ("sms",),
    ),
    "Viber, silent: SMS when the window closes": Case(
        {"viber_bot": "silent"},
        (NO_TELEGRAM, VIBER_ACCEPTED, ("viber_bot", "timed_out", "no_receipt"), *BY_SMS),
        "delivered",
        ("viber_bot", "sms"),
    ),
    "Viber, late: SMS has been there, and the double is told": Case(
        {"viber_bot": "late"},
        (
            NO_TELEGRAM,
            VIBER_ACCEPTED,
            ("viber_bot", "timed_out", "no_receipt"),
            *BY_SMS,
            ("viber_bot", "double", None),
        ),
        "delivered",
        ("viber_bot", "sms"),
        until="double",
    ),
    "Viber repeats its receipts: one delivery": Case(
        {"viber_bot": "repeats"}, (NO_TELEGRAM, *BY_VIBER), "delivered", ("viber_bot",)
    ),
    "Viber throttles: again later": Case(
        {"viber_bot": "throttled"},
        (NO_TELEGRAM, ("viber_bot", "retry", "throttled"), *BY_VIBER),
        "delivered",
        ("viber_bot",),
    ),
    "Viber is down: on to SMS when its time is up": Case(
        {"viber_bot": "down"},
        (NO_TELEGRAM, ("viber_bot", "retry", "provider_down"), *BY_SMS),
        "delivered",
        ("sms",),
    ),
    "Viber's answer is lost: its receipt tells": Case(
        {"viber_bot": "answer_lost"},
        (NO_TELEGRAM, ("viber_bot", "unknown", "no_answer"), VIBER_DELIVERED),
        "delivered",
        ("viber_bot",),
    ),
    "on no bot: SMS": Case({}, (NO_TELEGRAM, NO_VIBER, *BY_SMS), "delivered", ("sms",)),
    "SMS, absent: the receipt says so": Case(
        {"sms": "absent"},
        (NO_TELEGRAM, NO_VIBER, SMS_ACCEPTED, ("sms", "failed", "undeliverable")),
        "undeliverable",
        (),
    ),
    "SMS, blocked: the receipt says so": Case(
        {"sms": "blocked"},
        (NO_TELEGRAM, NO_VIBER, SMS_ACCEPTED, ("sms", "failed", "provider_refused")),
        "undeliverable",
        (),
    ),
    "SMS rejects: no channel is left": Case(
        {"sms": "rejects"},
        (NO_TELEGRAM, NO_VIBER, ("sms", "rejected", "unknown_recipient")),
        "undeliverable",
        (),
    ),
    "SMS, silent: undeliverable, as far as we know": Case(
        {"sms": "silent"},
        (NO_TELEGRAM, NO_VIBER, SMS_ACCEPTED, ("sms", "timed_out", "no_receipt")),
        "undeliverable",
        ("sms",),
    ),
    "SMS, late: undeliverable becomes delivered": Case(
        {"sms": "late"},
        (NO_TELEGRAM, NO_VIBER, SMS_ACCEPTED, ("sms", "timed_out", "no_receipt"), SMS_DELIVERED),
        "delivered",
        ("sms",),
        until="delivered",
    ),
    "SMS repeats its receipts: one delivery": Case(
        {"sms": "repeats"}, (NO_TELEGRAM, NO_VIBER, *BY_SMS), "delivered", ("sms",)
    ),
    "SMS throttles: again later": Case(
        {"sms": "throttled"},
        (NO_TELEGRAM, NO_VIBER, ("sms", "retry", "throttled"), *BY_SMS),
        "delivered",
        ("sms",),
    ),
    "SMS is down: undeliverable when its time is up": Case(
        {"sms": "down"},
        (NO_TELEGRAM, NO_VIBER, ("sms", "retry", "provider_down")),
        "undeliverable",
        (),
    ),
    "SMS's answer is lost, a promo: sent once, and its receipt tells": Case(
        {"sms": "answer_lost"},
        (NO_TELEGRAM, NO_VIBER, ("sms", "unknown", "no_answer"), SMS_DELIVERED),
        "delivered",
        ("sms",),
        until="delivered",
        is_alone=True,
    ),
}


class Outcome(NamedTuple):
    status: dict[str, Any]
    inbox: list[str]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Outcome]]:
    """Every case in one demo, each with a phone of its own."""
    with demo(tmp_path_factory.mktemp("people")) as city:
        phones = {case: f"+38050{number:07}" for number, case in enumerate(CASES, 1)}
        together = {case: send(city, case, phones[case]) for case in CASES if not CASES[case].is_alone}
        with ThreadPoolExecutor(8) as pool:
            ends = {case: pool.submit(end, city, case, sent) for case, sent in together.items()}
            wait_for_quick(ends)
            alone = {case: send(city, case, phones[case]) for case in CASES if CASES[case].is_alone}
            ends |= {case: pool.submit(end, city, case, sent) for case, sent in alone.items()}
            found = {case: future.result() for case, future in ends.items()}
        yield {
            case: Outcome(status, [received["channel"] for received in city.inbox(phones[case])])
            for case, status in found.items()
        }


def send(city: City, case: str, phone: str) -> str:
    city.people(phone, **dict.fromkeys(LEFT_OUT, "absent") | CASES[case].person)
    message = {"id": case, "fromName": "Shop", "toPhone": phone, "messageType": CASES[case].type, "text": "Hello"}
    (message_id,) = city.send(message)
    return message_id


def end(city: City, case: str, message_id: str) -> dict[str, Any]:
    until = CASES[case].until
    return city.until(message_id, *([until] if until else FINAL), within_s=LATE_WITHIN_S)


def wait_for_quick(ends: dict[str, Any]) -> None:
    """Until no message is on its way that a cut connection would touch."""
    for case, future in ends.items():
        if CASES[case].until is None:
            future.result()


@pytest.mark.parametrize("case", CASES)
def test_person(case: str, outcomes: dict[str, Outcome]) -> None:
    _, timeline, status, inbox, *_ = CASES[case]
    found = outcomes[case]
    told = [(entry["channel"], entry["event"], entry.get("reason")) for entry in found.status["timeline"]]
    seen = [event for event, _ in groupby(event for event in told if event[0] not in LEFT_OUT)]
    # A receipt may come in the very millisecond in which the answer is found lost.
    in_order = sorted if "is lost" in case else list
    assert in_order(map(str, seen)) == in_order(map(str, timeline))
    assert found.status["deliverystatus"] == status
    arrived = [channel for channel, event, _ in told if event == "delivered"]
    assert found.status["channel"] == (arrived[0] if arrived else None)
    assert tuple(found.inbox) == inbox
