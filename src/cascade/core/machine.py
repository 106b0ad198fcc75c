"""What happens next in a cascade: a pure function of the message and the event.

Total over (state, event): providers repeat receipts, lose them, send them after the next step went out, and nodes die
holding a message. None of that may lose a message or turn a delivered one back.
"""

from typing import NamedTuple

from cascade.core import backoff, windows
from cascade.core.attempt import Accepted, AnswerLost, Delivered, NotSent, Outcome, Rejected, Retry
from cascade.core.message import Message, State, Status
from cascade.core.receipt import ReceiptState
from cascade.core.timeline import Entry, Mark
from cascade.core.words import Reason


class Begun(NamedTuple):
    """Its time has come: at acceptance, or at the hour it was scheduled for."""

    at_ms: int


class Claimed(NamedTuple):
    """A node took it from its lane and will send it before `lease_ends_at_ms`."""

    at_ms: int
    lease_ends_at_ms: int


class Settled(NamedTuple):
    """An attempt has its outcome. `takes_our_id`: the provider would recognise a repeat of the same attempt."""

    at_ms: int
    attempt: int
    step: int
    outcome: Outcome
    takes_our_id: bool = False


class ReceiptCame(NamedTuple):
    """`part` counts from 0 within the attempt."""

    at_ms: int
    attempt: int
    step: int
    part: int
    state: ReceiptState
    reason: Reason | None = None
    detail: str | None = None


class DeadlinePassed(NamedTuple):
    """`deadline_at_ms` is behind us."""

    at_ms: int
    takes_our_id: bool = False


class LinkDown(NamedTuple):
    """It waited for its link longer than its window, and the link is still down. With no other link it waits on."""

    at_ms: int


class Cancelled(NamedTuple):
    """The client wants it no more. Too late once it has begun."""

    at_ms: int


class Rescheduled(NamedTuple):
    """The client gives it another hour, now at the earliest; its time to live moves along. Too late once it has
    begun."""

    at_ms: int
    begins_at_ms: int


Event = Begun | Claimed | Settled | ReceiptCame | DeadlinePassed | LinkDown | Cancelled | Rescheduled
Decision = tuple[Message, list[Entry]]


def decide(message: Message, event: Event) -> Decision:
    """Answer one event: the message as it now stands, and what its timeline shall say.

    An event that does not concern the message as it stands (a repeat, news of a step left behind) changes nothing but
    the timeline.
    """
    match event:
        case Settled():
            return _settled(message, event)
        case ReceiptCame():
            return _receipt(message, event)
        case Begun(at_ms):
            if message.state is State.SCHEDULED:
                return _next_step(message, at_ms, [])
        case Claimed(at_ms, lease_ends_at_ms):
            # The time to live is checked at the last moment: a campaign resumed late sends nothing stale.
            if message.state is State.QUEUED and at_ms < message.step_ends_at_ms:
                return message._replace(
                    state=State.SENDING,
                    status=Status.PROCESSING,
                    attempt=message.attempt + 1,
                    tries=message.tries + 1,
                    deadline_at_ms=lease_ends_at_ms,
                ), []
        case DeadlinePassed(at_ms, takes_our_id):
            return _deadline(message, at_ms, takes_our_id)
        case LinkDown(at_ms):
            if message.state is State.QUEUED and _has_later_link(message):
                timed_out = _entry(message, at_ms, Mark.TIMED_OUT, Reason.PROVIDER_DOWN, attempt=0)
                return _next_step(message, at_ms, [timed_out])
        case Cancelled(at_ms):
            if not message.has_begun:
                cancelled = Entry(at_ms, message.step, 0, Mark.CANCELLED, Reason.CANCELLED)
                return _end(message, Status.PERMANENT_ERROR), [cancelled]
        case Rescheduled(at_ms, begins_at_ms):
            if not message.has_begun:
                return _reschedule(message, at_ms, max(begins_at_ms, at_ms))
    return message, []


def may_move_on(event: Event) -> bool:
    """Whether the answer may be another step, so that the recipient's addresses must be known."""
    match event:
        case Settled(outcome=outcome):
            return isinstance(outcome, Rejected | Retry | AnswerLost)
        case ReceiptCame(state=state):
            return state is ReceiptState.FAILED
        case Claimed() | Cancelled() | Rescheduled():
            return False
    return True


def _settled(message: Message, event: Settled) -> Decision:
    at_ms, attempt, step, outcome, takes_our_id = event
    # A message back in its lane after an unknown outcome still takes the answer that was late.
    is_current = _is_at(message, attempt, step) and message.state in (State.SENDING, State.QUEUED)
    match outcome:
        case Accepted(provider_ids):
            message = _expect_parts(message, attempt, len(provider_ids))
            message = _charge(message, step)
            entry = Entry(at_ms, step, attempt, Mark.ACCEPTED, None, ",".join(provider_ids))
            return (_wait(message, at_ms) if is_current else message), [entry]
        case Delivered(provider_id):
            return _delivered(_charge(message, step), at_ms, attempt, step, [], provider_id)
        case NotSent():
            if is_current and message.state is State.SENDING:
                return message._replace(
                    state=State.QUEUED,
                    attempt=attempt - 1,
                    tries=message.tries - 1,
                    due_at_ms=at_ms,
                    deadline_at_ms=message.step_ends_at_ms,
                ), []
            return message, []
        case Rejected(reason, detail):
            mark = Mark.SKIPPED if reason is Reason.CONTENT_UNFIT else Mark.REJECTED
            entry = Entry(at_ms, step, attempt, mark, reason, None, detail)
            return _next_step(message, at_ms, [entry]) if is_current else (message, [entry])
        case Retry(reason, after_s, detail):
            entry = Entry(at_ms, step, attempt, Mark.RETRY, reason, None, detail)
            if not (is_current and message.state is State.SENDING):
                return message, [entry]
            after_ms = backoff.delay_ms(message.tries) if after_s is None else round(after_s * 1000)
            return _again(message, at_ms, after_ms, [entry])
        case AnswerLost(detail, parts):
            message = _expect_parts(message, attempt, parts)
            entry = Entry(at_ms, step, attempt, Mark.UNKNOWN, Reason.NO_ANSWER, None, detail)
            if not (is_current and message.state is State.SENDING):
                return message, [entry]
            return _unknown(message, at_ms, takes_our_id, [entry])


def _is_at(message: Message, attempt: int, step: int) -> bool:
    """Whether news of that attempt still concerns where the message stands. Between two steps it is at neither: the
    attempt of the one has ended, that of the other is not begun."""
    return attempt == message.attempt and step == message.step


def _receipt(message: Message, event: ReceiptCame) -> Decision:
    at_ms, attempt, step, part, state, reason, detail = event
    if state is ReceiptState.FAILED:
        if attempt in message.delivered:
            return message, []  # the truth does not go back
        entry = Entry(at_ms, step, attempt, Mark.FAILED, reason, None, detail)
        if _is_at(message, attempt, step) and not message.is_final:
            return _next_step(message, at_ms, [entry])
        return message, ([] if message.is_final else [entry])
    is_partly, message = _part_arrived(message, attempt, part)
    if is_partly and state is ReceiptState.DELIVERED:
        return message, [Entry(at_ms, step, attempt, Mark.PART_DELIVERED)]
    read = []
    if state is ReceiptState.READ and not message.is_read:
        read = [Entry(at_ms, step, attempt, Mark.READ)]
        message = message._replace(is_read=True)
    elif message.route[step].is_until_read and attempt == message.attempt and message.state is State.WAITING:
        return _arrived_unread(message, at_ms, attempt, step)
    return _delivered(message, at_ms, attempt, step, read)


def _deadline(message: Message, at_ms: int, takes_our_id: bool) -> Decision:
    if message.deadline_at_ms is None or at_ms < message.deadline_at_ms:
        return message, []
    match message.state:
        case State.SCHEDULED:
            return _next_step(message, at_ms, [])
        case State.QUEUED:
            return _next_step(
                message, at_ms, [_entry(message, at_ms, Mark.TIMED_OUT, Reason.QUEUE_TOO_LONG, attempt=0)]
            )
        case State.SENDING:
            entry = _entry(message, at_ms, Mark.UNKNOWN, Reason.NODE_LOST)
            # The time that we were away is not the step's: it gets its window anew.
            ends_at_ms = windows.window_ends_at_ms(message.route, message.step, at_ms, message.expires_at_ms)
            message = message._replace(step_ends_at_ms=max(message.step_ends_at_ms, ends_at_ms))
            return _unknown(message, at_ms, takes_our_id, [entry])
        case State.WAITING:
            return _next_step(message, at_ms, [_entry(message, at_ms, Mark.TIMED_OUT, Reason.NO_RECEIPT)])
    return message, []


def _wait(message: Message, at_ms: int) -> Message:
    return message._replace(
        state=State.WAITING,
        deadline_at_ms=windows.window_ends_at_ms(message.route, message.step, at_ms, message.expires_at_ms),
    )


def _again(message: Message, at_ms: int, after_ms: int, entries: list[Entry]) -> Decision:
    """The same step once more, unless that would outlast the step."""
    ends_at_ms = message.step_ends_at_ms
    if message.tries <= 1:  # from the first failure on, the step has its window and no more
        window_ms = windows.window_ends_at_ms(message.route, message.step, at_ms, message.expires_at_ms)
        ends_at_ms = min(ends_at_ms, window_ms)
    if at_ms + after_ms >= ends_at_ms:
        return _next_step(message, at_ms, entries)
    return message._replace(
        state=State.QUEUED, due_at_ms=at_ms + after_ms, deadline_at_ms=ends_at_ms, step_ends_at_ms=ends_at_ms
    ), entries


def _unknown(message: Message, at_ms: int, takes_our_id: bool, entries: list[Entry]) -> Decision:
    """It may have been sent. Where a repeat is harmless, or better than nothing, repeat; else wait for a receipt."""
    if takes_our_id or message.type.repeats_unknown:
        return _again(message, at_ms, backoff.delay_ms(message.tries), entries)
    return _wait(message, at_ms), entries


def _delivered(
    message: Message, at_ms: int, attempt: int, step: int, entries: list[Entry], provider_id: str | None = None
) -> Decision:
    is_new = attempt not in message.delivered
    if is_new:
        message = message._replace(delivered=(*message.delivered, attempt))
        if message.status is Status.DELIVERED:
            return message, [*entries, Entry(at_ms, step, attempt, Mark.DOUBLE, None, provider_id)]
        entries = [Entry(at_ms, step, attempt, Mark.DELIVERED, None, provider_id), *entries]
    if message.status is Status.DELIVERED or not (is_new or message.is_read):
        return message, entries
    return _end(message, Status.DELIVERED)._replace(delivered_step=step), entries


def _arrived_unread(message: Message, at_ms: int, attempt: int, step: int) -> Decision:
    """Delivered, but this step waits for the person to read it: until its window closes."""
    if attempt in message.delivered:
        return message, []
    delivered = (*message.delivered, attempt)
    first_step = step if message.delivered_step is None else message.delivered_step
    return message._replace(delivered=delivered, delivered_step=first_step), [
        Entry(at_ms, step, attempt, Mark.DELIVERED)
    ]


def _expect_parts(message: Message, attempt: int, parts: int) -> Message:
    """Remember the parts of an attempt whose receipts are awaited, where there are several; once."""
    if parts == 1 or any(number == attempt for number, _ in message.open_parts):
        return message
    return message._replace(open_parts=(*message.open_parts, (attempt, (1 << parts) - 1)))


def _part_arrived(message: Message, attempt: int, part: int) -> tuple[bool, Message]:
    """Whether other parts of the attempt are still missing, and the message with this part ticked off."""
    for place, (number, missing) in enumerate(message.open_parts):
        if number == attempt:
            missing &= ~(1 << part)
            open_parts = (*message.open_parts[:place], (number, missing), *message.open_parts[place + 1 :])
            return missing != 0, message._replace(open_parts=open_parts)
    return False, message


def _next_step(message: Message, at_ms: int, entries: list[Entry]) -> Decision:
    """Go to the next step that can carry the message to this person; skip the others with their reason."""
    route, expires_at_ms = message.route, message.expires_at_ms
    if at_ms >= expires_at_ms:
        entries.append(_entry(message, at_ms, Mark.EXPIRED, Reason.TTL_EXPIRED, attempt=0))
        return _fail(message, Status.UNDELIVERABLE), entries
    if not route:  # of a survey whose named route has no step for surveys
        entries.append(_entry(message, at_ms, Mark.SKIPPED, Reason.CONTENT_UNFIT, attempt=0))
    for index in range(message.step + 1, len(route)):
        channel, link, _, _, cost_micros, address = route[index]
        if link is None:
            entries.append(Entry(at_ms, index, 0, Mark.SKIPPED, Reason.NO_CHANNEL))
        elif channel.needs_subscriber and address is None and link not in message.addresses:
            entries.append(Entry(at_ms, index, 0, Mark.SKIPPED, Reason.NOT_SUBSCRIBED))
        elif message.max_cost_micros is not None and message.cost_micros + cost_micros > message.max_cost_micros:
            entries.append(Entry(at_ms, index, 0, Mark.SKIPPED, Reason.OVER_MAX_COST))
        else:
            ends_at_ms = windows.queue_ends_at_ms(route, index, at_ms, expires_at_ms, message.type.is_urgent)
            return message._replace(
                state=State.QUEUED,
                step=index,
                tries=0,
                address=message.addresses[link] if channel.needs_subscriber and address is None else address,
                due_at_ms=at_ms,
                deadline_at_ms=ends_at_ms,
                step_ends_at_ms=ends_at_ms,
            ), entries
    return _fail(message, Status.UNDELIVERABLE if message.attempt else Status.PERMANENT_ERROR), entries


def _has_later_link(message: Message) -> bool:
    return any(step.link is not None for step in message.route[message.step + 1 :])


def _fail(message: Message, status: Status) -> Message:
    """No channel is left. What arrived unread at a step that waited for more did arrive."""
    return _end(message, Status.DELIVERED if message.delivered else status)


def _end(message: Message, status: Status) -> Message:
    return message._replace(state=State.FINAL, status=status, deadline_at_ms=None)


def _charge(message: Message, step: int) -> Message:
    """A provider took it: from now on it costs."""
    cost_micros = message.route[step].cost_micros
    return message._replace(cost_micros=message.cost_micros + cost_micros) if cost_micros else message


def _reschedule(message: Message, at_ms: int, begins_at_ms: int) -> Decision:
    # A scheduled message's time to live counts from its hour, any other's from when it came to its lane.
    counted_from_ms = message.deadline_at_ms if message.state is State.SCHEDULED else message.due_at_ms
    moved_ms = begins_at_ms - (counted_from_ms or at_ms)
    return message._replace(
        state=State.SCHEDULED,
        step=-1,
        address=None,
        due_at_ms=begins_at_ms,
        deadline_at_ms=begins_at_ms,
        step_ends_at_ms=begins_at_ms,
        expires_at_ms=message.expires_at_ms + moved_ms,
    ), [Entry(at_ms, message.step, 0, Mark.RESCHEDULED)]


def _entry(message: Message, at_ms: int, mark: Mark, reason: Reason, *, attempt: int | None = None) -> Entry:
    return Entry(at_ms, message.step, message.attempt if attempt is None else attempt, mark, reason)
