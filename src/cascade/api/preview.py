"""What would become of a message (`?validate=true`): its steps, times, texts and cost, and why a step is skipped."""

from collections.abc import Mapping
from typing import Any

from cascade.channels.fitting import Fitting
from cascade.core import windows
from cascade.core.content import varied
from cascade.core.draft import Draft
from cascade.core.message import Message
from cascade.core.plan import Plan
from cascade.core.prices import written
from cascade.core.times import iso
from cascade.core.words import Channel, Reason


def describe(
    draft: Draft, plan: Plan, message: Message, fittings: Mapping[Channel, Fitting], currency: str
) -> dict[str, Any]:
    """`message` as it would be stored, with the recipient's addresses.

    Each step's time begins where the one before it would end in silence. The cost is low when the cheapest step
    delivers and nothing before it is charged, high when every step is charged that `maxCost` leaves room for.
    """
    begins_at_ms = message.expires_at_ms - draft.ttl_s * 1000
    at_ms = begins_at_ms
    charged: list[int] = []
    steps = []
    for place, step in enumerate(message.route):
        variant = plan.variants[place] if plan.variants else None
        content = varied(draft.content, variant)
        shown: dict[str, Any] = {"channel": step.channel.value, "status": "planned"}
        reason = _skipped(message, place)
        limit = message.max_cost_micros
        if (fitting := fittings.get(step.channel)) is not None:
            fitted = fitting(content, (variant and variant.type) or draft.type)
            if fitted is None:
                reason = reason or Reason.CONTENT_UNFIT
            else:
                shown |= {"text": fitted.text, "changes": list(fitted.changes), "parts": fitted.parts}
                shown |= {"encoding": fitted.encoding} if fitted.encoding else {}
        if reason is None and limit is not None and step.cost_micros > limit:
            reason = Reason.OVER_MAX_COST
        if reason is not None:
            shown |= {"status": "skipped", "reason": reason.value}
        else:
            ends_at_ms = windows.window_ends_at_ms(message.route, place, at_ms, message.expires_at_ms)
            shown |= {"startsAt": iso(at_ms), "endsAt": iso(ends_at_ms), "cost": written(step.cost_micros)}
            at_ms = ends_at_ms
            charged.append(step.cost_micros)
        steps.append(shown)
    return {
        "trackinId": draft.tracking_id,
        "route": None if draft.wishes is not None and draft.wishes.steps else draft.route,
        "startsAt": iso(begins_at_ms),
        "expiresAt": iso(message.expires_at_ms),
        "steps": steps,
        "costLow": written(min(charged, default=0)),
        "costHigh": written(_most(charged, message.max_cost_micros)),
        "currency": currency,
    }


def _skipped(message: Message, place: int) -> Reason | None:
    """Why the step could not be tried, whatever happens before it."""
    step = message.route[place]
    if step.link is None:
        return Reason.NO_CHANNEL
    if step.channel.needs_subscriber and step.address is None and step.link not in message.addresses:
        return Reason.NOT_SUBSCRIBED
    return None


def _most(charged: list[int], limit: int | None) -> int:
    total = 0
    for cost in charged:
        if limit is None or total + cost <= limit:
            total += cost
    return total
