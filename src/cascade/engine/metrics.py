"""What Prometheus may ask of the engine. Label values are kept as children, since a look-up a message costs."""

from collections.abc import Iterable, Sequence
from contextlib import suppress

from prometheus_client import REGISTRY, Counter, Gauge
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from cascade.core.message import Status
from cascade.core.timeline import Mark
from cascade.core.words import Channel
from cascade.store.deliveries import State
from cascade.store.messages import Change
from cascade.store.queries import Backlog
from cascade.store.statistics import DELAYS_MS, Tally

ATTEMPTS = Counter("cascade_attempts", "What became of attempts and steps.", ["channel", "mark"])
FINISHED = Counter("cascade_messages_finished", "Messages that reached a final status.", ["status"])
RECEIPTS = Counter("cascade_receipts", "Receipts taken in.", ["link"])
INBOUND = Counter("cascade_inbound", "What people told us: texts, taps, contacts, comings and goings.", ["link"])
INBOUND_IGNORED = Counter("cascade_inbound_ignored", "What we have no use for or do not believe.", ["link", "why"])
INBOUND_UNOWNED = Counter("cascade_inbound_unowned", "What people told us that belongs to no account.", ["link"])
SURVEY_ANSWERS = Counter(
    "cascade_survey_answers", "Answers to surveys: counted, repeated, late, or forged and refused.", ["standing"]
)
OPT_OUTS = Counter("cascade_opt_outs", "Persons who wanted no more advertising, or wanted it again.", ["wish"])
RECEIPTS_UNMATCHED = Counter("cascade_receipts_unmatched", "Receipts given up: they never matched a message.")
DELIVERIES = Counter("cascade_webhook_tries", "Tries to deliver an event, by what became of the delivery.", ["state"])
WEBHOOKS = Gauge("cascade_webhooks", "Webhooks by how they do: working, failing or disabled.", ["state"])
FORGOTTEN = Counter("cascade_rows_forgotten", "Rows deleted because they were too old.", ["table"])
CLICKS_LOST = Counter("cascade_clicks_lost", "Clicks not counted, since too many waited for the store.")
LINK_UP = Gauge("cascade_link_up", "1 while the link can take messages or is merely full.", ["link"])
LINK_IN_FLIGHT = Gauge("cascade_link_in_flight", "Attempts sent and not yet answered.", ["link"])
BREAKER_OPEN = Gauge("cascade_link_breaker_open", "1 while the breaker keeps messages from the link.", ["link"])
LINKS_UNOWNED = Gauge("cascade_links_unowned", "Links that no node serves, as this node last saw it.")
RECEIPTS_AWAITED = Counter("cascade_receipts_awaited", "Attempts accepted, of which a receipt shall tell.", ["link"])
DEADLINES_LATE = Gauge(
    "cascade_deadlines_late_seconds", "Since when this node has not answered all deadlines that had passed."
)
LANE_MESSAGES = Gauge("cascade_lane_messages", "Messages that wait to be sent.", ["link", "urgency"])
LANE_AGE = Gauge(
    "cascade_lane_oldest_seconds", "Since when the first of them could have been sent.", ["link", "urgency"]
)


class DeliveryTimes(Collector):
    """The times to delivery as the tally has them anyway, so that counting them costs nothing more."""

    def __init__(self) -> None:
        self._tally = Tally()

    def watch(self, tally: Tally) -> None:
        """Show this one's from now on."""
        self._tally = tally

    def describe(self) -> Iterable[HistogramMetricFamily]:
        yield HistogramMetricFamily(
            "cascade_delivery_seconds",
            "From acceptance, or a scheduled message's hour, to delivery.",
            labels=["channel"],
        )

    def collect(self) -> Iterable[HistogramMetricFamily]:
        (family,) = self.describe()
        for channel, numbers in self._tally.delays.items():
            total = 0
            buckets = []
            for bound, number in zip([*(f"{ms / 1000:g}" for ms in DELAYS_MS), "+Inf"], numbers, strict=True):
                total += number
                buckets.append((bound, total))
            family.add_metric([channel.value], buckets, self._tally.delays_ms[channel] / 1000)
        yield family


DELIVERY_TIMES = DeliveryTimes()
REGISTRY.register(DELIVERY_TIMES)
_lanes_shown: set[tuple[str, str]] = set()


def show_backlogs(backlogs: Sequence[Backlog], now_ms: int) -> None:
    """Lanes of one link and urgency as one, whichever accounts they belong to; one that is empty now says so."""
    found: dict[tuple[str, str], tuple[int, int]] = dict.fromkeys(_lanes_shown, (0, 0))
    for _, link, is_urgent, messages, oldest_due_at_ms in backlogs:
        key = (link, "urgent" if is_urgent else "bulk")
        number, age_ms = found.get(key, (0, 0))
        found[key] = (number + messages, max(age_ms, now_ms - oldest_due_at_ms))
    for key, (number, age_ms) in found.items():
        LANE_MESSAGES.labels(*key).set(number)
        LANE_AGE.labels(*key).set(age_ms / 1000)
    _lanes_shown.update(found)


def forget_link(name: str) -> None:
    """Show no more how it does."""
    for gauge in LINK_UP, LINK_IN_FLIGHT, BREAKER_OPEN:
        with suppress(KeyError):
            gauge.remove(name)


def forget_backlogs() -> None:
    """This node looks no more: show neither lanes nor webhooks, and leave both to those that do."""
    for gauge in LANE_MESSAGES, LANE_AGE, WEBHOOKS:
        gauge.clear()
    _lanes_shown.clear()


# There from the start, as nought: of a count that begins at one Prometheus sees no increase, and no alert rings.
_attempts: dict[tuple[Channel | None, Mark], Counter] = {
    (channel, Mark.DOUBLE): ATTEMPTS.labels(channel.value, Mark.DOUBLE.value) for channel in Channel
}
_finished: dict[Status, Counter] = {
    status: FINISHED.labels(status.value) for status in (Status.DELIVERED, Status.UNDELIVERABLE, Status.PERMANENT_ERROR)
}
for _state in State:
    DELIVERIES.labels(_state.value)


def count(changes: Iterable[Change]) -> None:
    """Count what a written set of changes says; those that say the same as one."""
    attempts: dict[tuple[Channel | None, Mark], int] = {}
    finished: dict[Status, int] = {}
    for change in changes:
        route = change.message.route
        for entry in change.entries:
            key = (route[entry.step].channel if entry.step >= 0 else None, entry.mark)
            attempts[key] = attempts.get(key, 0) + 1
        status = change.message.status
        if change.message.is_final and status is not change.stored.message.status:
            finished[status] = finished.get(status, 0) + 1
    for (channel, mark), number in attempts.items():
        child = _attempts.get((channel, mark))
        if child is None:
            child = ATTEMPTS.labels(channel.value if channel else "none", mark.value)
            _attempts[channel, mark] = child
        child.inc(number)
    for status, number in finished.items():
        child = _finished.get(status)
        if child is None:
            child = _finished[status] = FINISHED.labels(status.value)
        child.inc(number)


def doubles() -> float:
    """How many messages reached their person a second time, since this process began."""
    return sum(
        sample.value
        for metric in ATTEMPTS.collect()
        for sample in metric.samples
        if sample.labels.get("mark") == Mark.DOUBLE.value and sample.name.endswith("_total")
    )
