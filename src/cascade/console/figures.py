"""What the sums of a time mean: shares, costs, savings, times, and the way through the channels."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cascade.console.charts import Edge
from cascade.core.message import Status
from cascade.core.timeline import Mark
from cascade.core.words import Channel
from cascade.store.statistics import CANCELLED, DELAYS_MS, DELIVERED, FAILED, LONGER, PULSE_MS, Kind, Pulse, Sum

MOVES = (Mark.REJECTED, Mark.FAILED, Mark.TIMED_OUT)
"""Marks after which a message goes on to the next channel."""


@dataclass(slots=True)
class Passed:
    """What one channel did. `reached`: messages that came to it, those that skipped it among them. `skipped` and
    `moved` say for which reason how many went on."""

    channel: str
    reached: int = 0
    delivered: int = 0
    lost: int = 0
    cost_micros: int = 0
    skipped: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    moved: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def tried(self) -> int:
        return max(self.reached - sum(self.skipped.values()), 0)

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """Why messages went on, the commonest first."""
        both: Counter[str] = Counter(self.skipped)
        both.update(self.moved)
        return [(reason, number) for reason, number in both.most_common() if number > 0]


@dataclass(slots=True)
class Figures:
    accepted: int
    by_status: dict[str, int]
    channels: list[Passed]
    edges: list[Edge]
    cost_micros: int
    by_sms_micros: int
    instead_micros: int
    delays: list[int]

    @property
    def delivered(self) -> int:
        return self.by_status.get(Status.DELIVERED.value, 0)

    @property
    def finished(self) -> int:
        return sum(self.by_status.values())

    @property
    def saved_micros(self) -> int:
        """Against sending the same delivered messages by SMS alone."""
        return self.by_sms_micros - self.instead_micros

    def quantile_ms(self, share: float) -> float | None:
        """The time to delivery that this share of the messages did not exceed, read between the bounds of its class."""
        total = sum(self.delays)
        if total == 0:
            return None
        wanted = share * total
        seen = 0
        for place, number in enumerate(self.delays):
            if number and seen + number >= wanted:
                low = DELAYS_MS[place - 1] if place else 0
                high = DELAYS_MS[place] if place < LONGER else DELAYS_MS[-1]
                return low + (high - low) * (wanted - seen) / number
            seen += number
        return float(DELAYS_MS[-1])


def of(sums: Iterable[Sum]) -> Figures:
    passed: dict[str, Passed] = {}
    by_status: dict[str, int] = defaultdict(int)
    edges = []
    delays = [0] * (LONGER + 1)
    accepted = cost = by_sms = instead = 0

    def at(channel: str) -> Passed:
        return passed.setdefault(channel, Passed(channel))

    for kind, channel, detail, number, micros in sums:
        match kind:
            case Kind.ACCEPTED:
                accepted += number
            case Kind.FINISHED:
                by_status[detail] += number
            case Kind.COST:
                cost += micros
                at(channel).cost_micros += micros
            case Kind.BY_SMS:
                by_sms += micros
            case Kind.INSTEAD:
                instead += micros
            case Kind.DELAY:
                delays[int(detail)] += number
            case Kind.MARK if channel:
                mark, _, reason = detail.partition(":")
                if mark == Mark.SKIPPED.value:
                    at(channel).skipped[reason] += number
                elif mark in MOVES:
                    at(channel).moved[reason or mark] += number
            case Kind.FLOW if detail == DELIVERED:
                at(channel).delivered += number
            case Kind.FLOW if detail in (FAILED, CANCELLED):
                if channel:
                    at(channel).lost += number
            case Kind.FLOW:
                at(detail).reached += number
                if channel and number > 0:
                    edges.append(Edge(channel, detail, number))
    order = {channel.value: place for place, channel in enumerate(Channel)}
    channels = sorted(passed.values(), key=lambda one: order.get(one.channel, len(order)))
    return Figures(accepted, dict(by_status), channels, edges, cost, by_sms, instead, delays)


@dataclass(frozen=True, slots=True)
class Rates:
    """Messages a second now, and over the last half hour in steps of ten seconds."""

    accepted: float
    delivered: float
    accepted_line: list[float]
    delivered_line: list[float]


def rates(pulses: Sequence[Pulse], now_ms: int, steps: int = 180) -> Rates:
    by_time = {one.at_ms: one for one in pulses}
    present_ms = now_ms // PULSE_MS * PULSE_MS
    times = [present_ms - back * PULSE_MS for back in range(steps, 0, -1)]
    lines = [(one.accepted, one.delivered) if (one := by_time.get(at_ms)) is not None else (0, 0) for at_ms in times]
    since_s = (now_ms - present_ms + PULSE_MS) / 1_000
    last = [by_time.get(at_ms) for at_ms in (present_ms - PULSE_MS, present_ms)]
    return Rates(
        sum(one.accepted for one in last if one) / since_s,
        sum(one.delivered for one in last if one) / since_s,
        [accepted * 1_000 / PULSE_MS for accepted, _ in lines],
        [delivered * 1_000 / PULSE_MS for _, delivered in lines],
    )
