"""What the messages came to, as sums that grow with what happens: no page has to count messages to show them.

A `Tally` hears of everything this process commits and adds it up in memory; `write` adds that to the sums of the hour
and of the day.
Why it is done so, and what a crash may cost: docs/decisions/0008-statistics.md.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from cascade.core.message import Message, State, Status
from cascade.core.route import Route
from cascade.core.timeline import Entry, Mark
from cascade.core.words import Channel
from cascade.store import ids
from cascade.store.database import Insertion, Reader, Transaction
from cascade.store.messages import Change, NewMessage, Stored

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
HOURS_KEPT_MS = 8 * DAY_MS
PULSE_MS = 10_000
PULSE_KEPT_MS = 3 * HOUR_MS
ALL = 0
"""Stands for the account in the sums of all accounts."""
DELAYS_MS = (
    *(500, 1_000, 2_000, 3_000, 5_000, 10_000, 20_000, 30_000, 60_000),
    *(120_000, 300_000, 600_000, 1_800_000, 3_600_000, 21_600_000, 86_400_000),
)
"""Upper bounds of the classes of time to delivery; what took longer is in one more."""
LONGER = len(DELAYS_MS)
MOST_BEGUN = 100_000
DELIVERED = "delivered"
FAILED = "failed"
CANCELLED = "cancelled"
COSTLY = (Mark.ACCEPTED, Mark.DELIVERED, Mark.DOUBLE, Mark.PART_DELIVERED, Mark.FAILED)
"""What may say that a provider took it: its answer, or any receipt of an attempt whose answer was lost."""


class Kind(StrEnum):
    """What a sum counts, and what its channel and detail say."""

    ACCEPTED = "accepted"  # detail: the type
    FINISHED = "finished"  # channel that delivered, or ""; detail: the status
    MARK = "mark"  # channel; detail: the mark, and behind a colon its reason
    FLOW = "flow"  # channel left, "" at the start; detail: the next channel, DELIVERED, FAILED or CANCELLED
    COST = "cost"  # channel; micros
    BY_SMS = "by_sms"  # delivered messages that could have gone by SMS; micros: what that would have cost
    INSTEAD = "instead"  # the same messages; micros: what they did cost
    DELAY = "delay"  # channel that delivered; detail: the place in DELAYS_MS


class Sum(NamedTuple):
    """One line of the sums over a span of time."""

    kind: Kind
    channel: str
    detail: str
    number: int
    micros: int


class Pulse(NamedTuple):
    """What came and went in ten seconds."""

    at_ms: int
    accepted: int
    delivered: int
    failed: int


_Key = tuple[int, int, str, str, str]
Delays = Mapping[Channel, Sequence[int]]


class Tally:
    """An observer of the store: adds up what was committed, until `take` hands it over.

    A scheduled message's time to delivery counts from its hour, which this remembers for the last `MOST_BEGUN`; of
    others, and after a restart, it counts from acceptance.
    """

    def __init__(self) -> None:
        self._sums: dict[_Key, list[int]] = {}
        self._pulse: dict[tuple[int, int], list[int]] = {}
        self._begun: dict[bytes, int] = {}
        self.delays: dict[Channel, list[int]] = defaultdict(lambda: [0] * (LONGER + 1))
        """Times to delivery since this process began, by class."""
        self.delays_ms: dict[Channel, int] = defaultdict(int)

    def __bool__(self) -> bool:
        return bool(self._sums)

    def added(self, new: Sequence[NewMessage]) -> None:
        # Messages of a batch that begin alike share one start (core/plan).
        alike: dict[tuple[int, int, int], int] = defaultdict(int)
        first: dict[tuple[int, int, int], NewMessage] = {}
        for one in new:
            key = (one.key.account_id, id(one.message), id(one.entries))
            alike[key] += 1
            if key not in first:
                first[key] = one
        for key, number in alike.items():
            account_id, at_ms, message = key[0], first[key].accepted_at_ms, first[key].message
            hour_ms = at_ms // HOUR_MS * HOUR_MS
            self._add(account_id, hour_ms, Kind.ACCEPTED, "", message.type.value, number)
            self._beat(account_id, at_ms, 0, number)
            before = Message(message.type, message.route, message.expires_at_ms)
            self._went(account_id, hour_ms, before, message, first[key].entries, number)
            if message.is_final:
                self._ended(account_id, at_ms, message, number)

    def changed(self, changes: Sequence[Change]) -> None:
        # Most decisions of a set are alike: they are added as one. An enum's own hash is slow, its identity will do.
        alike: dict[tuple[object, ...], int] = {}
        first: dict[tuple[object, ...], tuple[Change, int]] = {}
        for change in changes:
            stored, message, entries, at_ms = change
            before = stored.message
            is_end = message.status is not before.status and message.state is State.FINAL
            place = self._delay(stored, message, at_ms) if is_end else -1
            if before.state is State.SCHEDULED and message.state is not State.SCHEDULED and not is_end:
                self._remember(stored.key.id, at_ms)
            shape: tuple[object, ...] = (
                stored.key.account_id,
                at_ms // PULSE_MS,
                before.step,
                id(before.status),
                message.step,
                id(message.status),
                message.delivered_step,
                id(message.route),
                before.cost_micros,
                message.cost_micros,
                place,
                *[(entry.step, id(entry.mark), id(entry.reason)) for entry in entries],
            )
            number = alike.get(shape)
            if number is None:
                alike[shape] = 1
                first[shape] = (change, place)
            else:
                alike[shape] = number + 1
        for shape, number in alike.items():
            self._decided(*first[shape], number)

    def _decided(self, change: Change, place: int, number: int) -> None:
        """Add so many decisions that are alike. `place`: of their time to delivery, -1: they delivered nothing."""
        stored, message, entries, at_ms = change
        account_id, before = stored.key.account_id, stored.message
        hour_ms = at_ms // HOUR_MS * HOUR_MS
        self._went(account_id, hour_ms, before, message, entries, number)
        cost_micros = message.cost_micros - before.cost_micros
        if cost_micros:
            self._add(account_id, hour_ms, Kind.COST, _paid(before, entries), "", number, number * cost_micros)
        if message.is_final and message.status is not before.status:
            if before.is_final:  # it arrived after all
                self._add(account_id, hour_ms, Kind.FINISHED, "", before.status.value, -number)
            self._ended(account_id, at_ms, message, number)
            if place >= 0:
                self._arrived(account_id, hour_ms, message, place, number)

    def _delay(self, stored: Stored, message: Message, at_ms: int) -> int:
        """The place in `DELAYS_MS` of a message that ends now; -1 when it was not delivered."""
        begun_at_ms = self._begun.pop(stored.key.id, None) if self._begun else None
        if message.status is not Status.DELIVERED or message.delivered_step is None:
            return -1
        delay_ms = at_ms - (ids.at_ms(stored.key.id) if begun_at_ms is None else begun_at_ms)
        self.delays_ms[message.route[message.delivered_step].channel] += max(delay_ms, 0)
        return bisect_left(DELAYS_MS, delay_ms)

    def _remember(self, id_: bytes, begun_at_ms: int) -> None:
        if len(self._begun) >= MOST_BEGUN:
            del self._begun[next(iter(self._begun))]
        self._begun[id_] = begun_at_ms

    def _went(
        self, account_id: int, hour_ms: int, before: Message, after: Message, entries: Iterable[Entry], number: int
    ) -> None:
        """The marks of a decision, and the way that it made the message go."""
        route = after.route
        is_cancelled = False
        last = after.step
        for entry in entries:
            channel = route[entry.step].channel.value if 0 <= entry.step < len(route) else ""
            detail = entry.mark.value if entry.reason is None else f"{entry.mark.value}:{entry.reason.value}"
            self._add(account_id, hour_ms, Kind.MARK, channel, detail, number)
            if entry.mark is Mark.SKIPPED:
                last = max(last, entry.step)
            elif entry.mark is Mark.CANCELLED:
                is_cancelled = True
        if after.step < before.step:  # given another hour: it will go that way again
            for place in range(before.step + 1):
                self._add(account_id, hour_ms, Kind.FLOW, _name(route, place - 1), _name(route, place), -number)
            return
        has_ended = after.is_final and after.status is not before.status
        if has_ended and after.status is Status.DELIVERED:
            place = after.step if after.delivered_step is None else after.delivered_step
            self._add(account_id, hour_ms, Kind.FLOW, _name(route, place), DELIVERED, number)
            return
        last = last if has_ended else after.step
        for place in range(before.step + 1, last + 1):
            self._add(account_id, hour_ms, Kind.FLOW, _name(route, place - 1), _name(route, place), number)
        if has_ended:
            how = CANCELLED if is_cancelled else FAILED
            self._add(account_id, hour_ms, Kind.FLOW, _name(route, last), how, number)

    def _ended(self, account_id: int, at_ms: int, message: Message, number: int) -> None:
        hour_ms = at_ms // HOUR_MS * HOUR_MS
        channel = "" if message.delivered_step is None else message.route[message.delivered_step].channel.value
        self._add(account_id, hour_ms, Kind.FINISHED, channel, message.status.value, number)
        self._beat(account_id, at_ms, 1 if message.status is Status.DELIVERED else 2, number)

    def _arrived(self, account_id: int, hour_ms: int, message: Message, place: int, number: int) -> None:
        assert message.delivered_step is not None  # noqa: S101 - its place was found by it
        channel = message.route[message.delivered_step].channel
        self._add(account_id, hour_ms, Kind.DELAY, channel.value, str(place), number)
        self.delays[channel][place] += number
        for step in message.route:
            if step.channel is Channel.SMS and step.link is not None:
                self._add(account_id, hour_ms, Kind.BY_SMS, "", "", number, number * step.cost_micros)
                self._add(account_id, hour_ms, Kind.INSTEAD, "", "", number, number * message.cost_micros)
                break

    def _add(
        self, account_id: int, hour_ms: int, kind: str, channel: str, detail: str, number: int, micros: int = 0
    ) -> None:
        key = (account_id, hour_ms, kind, channel, detail)
        found = self._sums.get(key)
        if found is None:
            self._sums[key] = [number, micros]
        else:
            found[0] += number
            found[1] += micros

    def _beat(self, account_id: int, at_ms: int, place: int, number: int) -> None:
        self._pulse.setdefault((account_id, at_ms // PULSE_MS * PULSE_MS), [0, 0, 0])[place] += number

    def take(self) -> "Taken":
        """Everything since the last time."""
        taken = Taken(self._sums, self._pulse)
        self._sums, self._pulse = {}, {}
        return taken

    def give_back(self, taken: "Taken") -> None:
        """It could not be written: it goes with the next."""
        for (account_id, hour_ms, kind, channel, detail), (number, micros) in taken.sums.items():
            self._add(account_id, hour_ms, kind, channel, detail, number, micros)
        for key, beats in taken.pulse.items():
            mine = self._pulse.setdefault(key, [0, 0, 0])
            for place, number in enumerate(beats):
                mine[place] += number


class Taken(NamedTuple):
    sums: Mapping[_Key, list[int]]
    pulse: Mapping[tuple[int, int], list[int]]


def _name(route: Route, place: int) -> str:
    return "" if place < 0 else route[place].channel.value


def _paid(message: Message, entries: Iterable[Entry]) -> str:
    """The channel whose acceptance cost something."""
    for entry in entries:
        if entry.mark in COSTLY:
            return message.route[entry.step].channel.value
    return ""


def _adding(table: str, begins: str) -> Insertion:
    return Insertion(
        table,
        {
            "account_id": "bigint",
            begins: "bigint",
            "kind": "text",
            "channel": "text",
            "detail": "text",
            "number": "bigint",
            "micros": "bigint",
        },
        f"""ON CONFLICT (account_id, {begins}, kind, channel, detail)
        DO UPDATE SET number = {table}.number + excluded.number, micros = {table}.micros + excluded.micros""",
    )


ADD_HOURS = _adding("statistic", "hour_ms")
ADD_DAYS = _adding("statistic_day", "day_ms")
ADD_PULSE = Insertion(
    "pulse",
    {"account_id": "bigint", "at_ms": "bigint", "accepted": "bigint", "delivered": "bigint", "failed": "bigint"},
    """ON CONFLICT (account_id, at_ms) DO UPDATE SET accepted = pulse.accepted + excluded.accepted,
    delivered = pulse.delivered + excluded.delivered, failed = pulse.failed + excluded.failed""",
)
TOTALS = """
    SELECT kind, channel, detail, sum(number), sum(micros) FROM statistic
    WHERE account_id = ? AND hour_ms >= ? AND hour_ms < ? GROUP BY kind, channel, detail
"""
DAY_TOTALS = TOTALS.replace("statistic", "statistic_day").replace("hour_ms", "day_ms")
PULSES = "SELECT at_ms, accepted, delivered, failed FROM pulse WHERE account_id = ? AND at_ms >= ? ORDER BY at_ms"
PURGE_HOURS = "DELETE FROM statistic WHERE account_id = ? AND hour_ms < ?"
PURGE_PULSE = "DELETE FROM pulse WHERE at_ms < ?"


async def write(tx: Transaction, taken: Taken) -> None:
    """Add to the sums of each account, and to those of all."""
    sums = dict(taken.sums)
    pulse = dict(taken.pulse)
    days: dict[_Key, list[int]] = {}
    for (_, hour_ms, kind, channel, detail), some in taken.sums.items():
        _put(sums, (ALL, hour_ms, kind, channel, detail), some)
    for (account_id, hour_ms, kind, channel, detail), some in sums.items():
        _put(days, (account_id, hour_ms // DAY_MS * DAY_MS, kind, channel, detail), some)
    for (_, at_ms), beats in taken.pulse.items():
        known = pulse.get((ALL, at_ms), [0, 0, 0])
        pulse[ALL, at_ms] = [mine + more for mine, more in zip(known, beats, strict=True)]
    # In order, so that two nodes never wait for each other.
    await tx.insert_all(
        [
            (ADD_HOURS, [(*key, *values) for key, values in sorted(sums.items())]),
            (ADD_DAYS, [(*key, *values) for key, values in sorted(days.items())]),
            (ADD_PULSE, [(*key, *values) for key, values in sorted(pulse.items())]),
        ]
    )


def _put(sums: dict[_Key, list[int]], key: _Key, more: Sequence[int]) -> None:
    number, micros = sums.get(key, (0, 0))
    sums[key] = [number + more[0], micros + more[1]]


async def totals(reader: Reader, account_id: int, from_ms: int, to_ms: int, *, by_days: bool = False) -> list[Sum]:
    """The sums of whole hours from the one of `from_ms` on, or of whole days (UTC); `ALL`: of all accounts. Hours are
    kept for `HOURS_KEPT_MS`."""
    span_ms = DAY_MS if by_days else HOUR_MS
    rows = await reader.rows(DAY_TOTALS if by_days else TOTALS, (account_id, from_ms // span_ms * span_ms, to_ms))
    return [
        Sum(Kind(kind), channel, detail, int(number), int(micros)) for kind, channel, detail, number, micros in rows
    ]


async def pulses(reader: Reader, account_id: int, from_ms: int) -> list[Pulse]:
    return [Pulse(*row) for row in await reader.rows(PULSES, (account_id, from_ms))]


async def purge_pulse(tx: Transaction, now_ms: int) -> int:
    """Forget what is older than the lines that are drawn of it."""
    return await tx.execute(PURGE_PULSE, (now_ms - PULSE_KEPT_MS,))


async def purge_hours(tx: Transaction, account_ids: Iterable[int], now_ms: int) -> None:
    """Forget these accounts' hours of long ago: the days tell of them."""
    for account_id in (ALL, *account_ids):
        await tx.execute(PURGE_HOURS, (account_id, now_ms - HOURS_KEPT_MS))
