"""The two passes over the file: every row is looked at before the first is sent, and then each is sent once."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from cascade.cli.campaign.journal import Journal, Window
from cascade.cli.campaign.people import People, Row
from cascade.cli.campaign.phones import Phones
from cascade.cli.campaign.plan import Plan
from cascade.cli.campaign.report import Report
from cascade.cli.campaign.rules import Fault
from cascade.client import CascadeMessenger, InvalidRequestError

WINDOW: Final = 1_000
"""Rows in one request. Which rows go together never changes, or a request could not be repeated under its key."""
KEY_WORKS_FOR: Final = timedelta(hours=20)
"""The gateway keeps what it answered to an Idempotency-Key for a day at least."""
CLOCKS_DIFFER_BY: Final = timedelta(minutes=5)
OnRow = Callable[[int], None]
Good = list[tuple[Row, dict[str, Any]]]


@dataclass(slots=True)
class Foreseen:
    """What the first pass found. `first_channels`: by which channel it is tried first, for how many. `sms_parts`: of
    how many parts the SMS is, for how many, if it comes to that."""

    rows: int = 0
    good: int = 0
    cost_low: Decimal = Decimal(0)
    cost_high: Decimal = Decimal(0)
    currency: str = ""
    first_channels: Counter[str] = field(default_factory=Counter)
    sms_parts: Counter[int] = field(default_factory=Counter)


def foresee(people: People, plan: Plan, messenger: CascadeMessenger, report: Report, on_row: OnRow) -> Foreseen:
    """Look at every row, by our own rules and then by the gateway's. Nothing is sent."""
    found = Foreseen()
    for rows, good in _windows(people, plan, report):
        told: Iterator[Any] = messenger.preview((message for _, message in good), via=plan.via)
        for (row, _), one in zip(good, told, strict=True):
            if "error" in one:
                report.add(row, _fault_of(one["error"]))
                continue
            found.good += 1
            found.cost_low += Decimal(one["costLow"])
            found.cost_high += Decimal(one["costHigh"])
            found.currency = one["currency"]
            planned = [step for step in one["steps"] if step["status"] == "planned"]
            found.first_channels[planned[0]["channel"] if planned else "none"] += 1
            found.sms_parts.update({step["parts"] for step in planned if step["channel"] == "sms"})
        report.flush()
        found.rows = rows[-1].number
        on_row(found.rows)
    return found


def send(
    people: People, plan: Plan, messenger: CascadeMessenger, journal: Journal, report: Report, on_row: OnRow
) -> None:
    """Send what the journal does not have yet, window by window."""
    for rows, good in _windows(people, plan, report):
        first, last = rows[0].number, rows[-1].number
        if last <= journal.sent_rows:
            continue
        accepted = len(good)
        for row, fault in _send_window(plan, messenger, journal, Window(first, last, journal.now()), good):
            report.add(row, fault)
            accepted -= 1
        report.flush()
        journal.sent(first, last, accepted, len(rows) - accepted)
        on_row(last)
    journal.finish()


def _send_window(
    plan: Plan, messenger: CascadeMessenger, journal: Journal, window: Window, good: Good
) -> Iterator[tuple[Row, Fault]]:
    """Send it, and say which rows the gateway refused.

    A request that an earlier run may have made is made again under the same key, and is then the same request. Where
    that key is forgotten, or the request is another (an update between the two runs), the gateway is asked which
    messages it has, and the others are sent.
    """
    key: str | None = f"{plan.digest[:32]}.{window.first}"
    earlier = journal.open_window
    if earlier is None or earlier.first != window.first:
        journal.sending(window.first, window.last)
    elif journal.now() - earlier.begun_at > KEY_WORKS_FOR:
        good, key = _missing(messenger, journal, good), None
    try:
        told = _told(plan, messenger, good, key)
    except InvalidRequestError as error:
        if error.field != "Idempotency-Key":
            raise
        good = _missing(messenger, journal, good)
        told = _told(plan, messenger, good, None)
    for (row, _), one in zip(good, told, strict=True):
        if "error" in one:
            yield row, _fault_of(one["error"])


def _told(plan: Plan, messenger: CascadeMessenger, good: Good, key: str | None) -> list[Any]:
    messages = (message for _, message in good)
    return list(messenger.send_partial(messages, via=plan.via, idempotency_key=key))


def _missing(messenger: CascadeMessenger, journal: Journal, good: Good) -> Good:
    """Those that the gateway does not have since this campaign began: an id of the file's own may be an older one's."""
    oldest = datetime.fromisoformat((journal.head or {})["begunAt"]) - CLOCKS_DIFFER_BY
    known = messenger.statuses(tracking_ids=[message["id"] for _, message in good])
    return [
        (row, message)
        for row, message in good
        if message["id"] not in known or datetime.fromisoformat(known[message["id"]]["acceptedAt"]) < oldest
    ]


def _fault_of(error: Any) -> Fault:
    return Fault(error["code"], error["field"], error["message"])


def _windows(people: People, plan: Plan, report: Report) -> Iterator[tuple[list[Row], Good]]:
    """The rows of each request, and those of them that may be sent, with their messages; the others go into the
    report."""
    all_rows = people.rows()
    with Phones() as phones:
        while rows := list(itertools.islice(all_rows, WINDOW)):
            good: Good = []
            for row in rows:
                message = plan.message(row)
                if not isinstance(message, Fault) and not plan.repeats_phones:
                    message = phones.meet(message["toPhone"], row.number) or message
                if isinstance(message, Fault):
                    report.add(row, message)
                else:
                    good.append((row, message))
            yield rows, good
