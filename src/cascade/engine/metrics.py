"""What Prometheus may ask of the engine. Label values are kept as children, since a look-up a message costs."""

from prometheus_client import Counter, Gauge

from cascade.core.message import Status
from cascade.core.timeline import Mark
from cascade.core.words import Channel
from cascade.store.messages import Change

ATTEMPTS = Counter("cascade_attempts", "What became of attempts and steps.", ["channel", "mark"])
FINISHED = Counter("cascade_messages_finished", "Messages that reached a final status.", ["status"])
RECEIPTS = Counter("cascade_receipts", "Receipts taken in.", ["link"])
RECEIPTS_UNMATCHED = Counter("cascade_receipts_unmatched", "Receipts given up: they never matched a message.")
DELIVERIES = Counter("cascade_webhook_tries", "Tries to deliver an event, by what became of the delivery.", ["state"])
CLICKS_LOST = Counter("cascade_clicks_lost", "Clicks not counted, since too many waited for the store.")
LINK_UP = Gauge("cascade_link_up", "1 while the link can take messages or is merely full.", ["link"])
LINK_IN_FLIGHT = Gauge("cascade_link_in_flight", "Attempts sent and not yet answered.", ["link"])

_attempts: dict[tuple[Channel | None, Mark], Counter] = {}
_finished: dict[Status, Counter] = {}


def count(change: Change) -> None:
    """Count what one written change says."""
    route = change.message.route
    for entry in change.entries:
        channel = route[entry.step].channel if entry.step >= 0 else None
        key = (channel, entry.mark)
        child = _attempts.get(key)
        if child is None:
            child = _attempts[key] = ATTEMPTS.labels(channel.value if channel else "none", entry.mark.value)
        child.inc()
    if change.message.is_final and change.message.status is not change.stored.message.status:
        status = change.message.status
        child = _finished.get(status)
        if child is None:
            child = _finished[status] = FINISHED.labels(status.value)
        child.inc()


def doubles() -> float:
    """How many messages reached their person a second time, since this process began."""
    return sum(
        sample.value
        for metric in ATTEMPTS.collect()
        for sample in metric.samples
        if sample.labels.get("mark") == Mark.DOUBLE.value and sample.name.endswith("_total")
    )
