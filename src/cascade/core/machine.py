"""What happens next in a cascade: a pure function of the message and the event.

Total over (state, event): providers repeat receipts, lose them, send them after the next step went out, and nodes die
holding a message. None of that may lose a message or turn a delivered one back.
"""

from typing import NamedTuple

from cascade.core import backoff, windows
from cascade.core.attempt import Accepted, AnswerLost, Delivered, NotSent, Outcome, Rejected, Retry, Revocation
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
    """An attempt has its outcome. `takes_our_id`: the provider would recognise a repeat of the same attempt. `changes`:
    what was changed for the channel, in its words, where anything was. `spread`, from 0 to 1 and the message's own: how
    much longer it waits for its next try, so that what one broken connection has parted does not meet again. `link`:
    the one it went by, None: the message's."""

    at_ms: int
    attempt: int
    step: int
    outcome: Outcome
    takes_our_id: bool = False
    changes: str | None = None
    spread: float = 0.0
    link: str | None = None


class ReceiptCame(NamedTuple):
    """`part` counts from 0 within the attempt. `is_proof`: the last one that was missing of an attempt whose answer was
    lost, so the provider took it after all."""

    at_ms: int
    attempt: int
    step: int
    part: int
    state: ReceiptState
    reason: Reason | None = None
    detail: str | None = None
    is_proof: bool = False


class DeadlinePassed(NamedTuple):
    """`deadline_at_ms` is behind us. `can_revoke`: the provider can be asked to take the message back. `parts`: how
    many receipts are to come of what was being sent, should the provider have it."""

    at_ms: int
    takes_our_id: bool = False
    can_revoke: bool = False
    parts: int = 1


class LinkDown(NamedTuple):
    """The message's link is down. One of the step's others takes over that is not among `down`; without such a one it
    goes on when it has waited for longer than its window (`is_window_over`). With nowhere to go it waits on."""

    at_ms: int
    down: frozenset[str] = frozenset()
    is_window_over: bool = True


class Revoked(NamedTuple):
    """What the provider answered to the wish to take an attempt back."""

    at_ms: int
    attempt: int
    step: int
    revocation: Revocation


class Cancelled(NamedTuple):
    """The client wants it no more. Too late once it has begun."""

    at_ms: int


class OptedOut(NamedTuple):
    """The person wants no more advertising. What a provider has cannot be called back, but nothing follows it."""

    at_ms: int


class Rescheduled(NamedTuple):
    """The client gives it another hour, now at the earliest; its time to live moves along. Too late once it has
    begun."""

    at_ms: int
    begins_at_ms: int


Event = (
    Begun | Claimed | Settled | ReceiptCame | DeadlinePassed | LinkDown | Revoked | Cancelled | OptedOut | Rescheduled
)
Decision = tuple[Message, list[Entry]]

REVOKE_MS = 20_000
"""How long the answer to a revocation is waited for: more than a request may take."""

FAULTS_OF_LINK = frozenset({Reason.MISCONFIGURED, Reason.NO_CREDIT, Reason.PROVIDER_DOWN})
"""Refusals that say something of the account at the provider and nothing of the person: another link may do better."""


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
        case DeadlinePassed():
            return _deadline(message, event)
        case LinkDown():
            if message.state is State.QUEUED:
                return _link_down(message, event)
        case Revoked():
            if message.state is State.REVOKING and _is_at(message, event.attempt, event.step):
                return _revoked(message, event)
        case Cancelled(at_ms):
            if not message.has_begun:
                cancelled = Entry(at_ms, message.step, 0, Mark.CANCELLED, Reason.CANCELLED)
                return _end(message, Status.PERMANENT_ERROR), [cancelled]
        case OptedOut(at_ms):
            if message.type.is_advertising and not message.is_final:
                return _opted_out(message, at_ms)
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
        case Claimed() | Cancelled() | OptedOut() | Rescheduled():
            return False
    return True


def _settled(message: Message, event: Settled) -> Decision:
    at_ms, attempt, step, outcome, takes_our_id, changes, spread, link = event
    is_at = _is_at(message, attempt, step)
    # A message back in its lane after an unknown outcome still takes the answer that was late.
    is_current = is_at and message.state in (State.SENDING, State.QUEUED)
    # One that waits for a receipt of it does, too: who was cut off knows now that none will come.
    is_awaited = is_at and message.state is State.WAITING
    match outcome:
        case Accepted(provider_ids):
            # Parts that the provider calls by one id are told of together.
            message = _expect_parts(message, attempt, len(set(provider_ids)))
            entry = Entry(at_ms, step, attempt, Mark.ACCEPTED, None, ",".join(provider_ids), changes)
            if is_at and message.state is State.SENDING:
                return _wait(message, at_ms, message.route[step].cost_micros), [entry]
            message = _taken_late(message, attempt, step, link)
            return _wait(message, at_ms) if is_current else message, [entry]
        case Delivered(provider_id):
            if is_at and message.state is State.SENDING:
                message = _charge(message, step)
            else:
                message = _taken_late(message, attempt, step, link)
            if is_current and message.route[step].is_until_read:
                return _arrived_unread(_wait(message, at_ms), at_ms, attempt, step, provider_id, changes)
            return _delivered(message, at_ms, attempt, step, [], provider_id, changes)
        case NotSent(after_s):
            if is_current and message.state is State.SENDING:
                message = message._replace(attempt=attempt - 1, tries=message.tries - 1)
                return _back_in_lane(message, at_ms, round(after_s * 1000))
            if is_awaited:  # it was called an attempt, and stays one
                return message._replace(state=State.QUEUED, due_at_ms=at_ms, deadline_at_ms=message.step_ends_at_ms), []
            return message, []
        case Rejected(reason, detail, _, parts):
            message = _expect_parts(message, attempt, parts)
            mark = Mark.SKIPPED if reason is Reason.CONTENT_UNFIT else Mark.REJECTED
            entry = Entry(at_ms, step, attempt, mark, reason, None, detail)
            if not (is_current or is_awaited):
                return message, [entry]
            if reason in FAULTS_OF_LINK:
                if link is not None and link != message.link:  # another has taken over already
                    return message, [entry]
                if (other := other_link(message)) is not None:
                    return _move(message, at_ms, other, [entry])
            return _next_step(message, at_ms, [entry])
        case Retry(reason, after_s, detail, parts):
            message = _expect_parts(message, attempt, parts)
            entry = Entry(at_ms, step, attempt, Mark.RETRY, reason, None, detail)
            if not is_at or message.state not in (State.SENDING, State.WAITING):
                return message, [entry]
            if reason is Reason.PROVIDER_DOWN and message.route[step].others:
                # How long this provider wants to be left alone is nothing to the next one.
                return _again(_turned(message), at_ms, backoff.delay_ms(message.tries), [entry])
            after_ms = backoff.delay_ms(message.tries) if after_s is None else round(after_s * 1000)
            return _again(message, at_ms, after_ms, [entry])
        case AnswerLost(detail, parts):
            message = _expect_parts(message, attempt, parts)
            entry = Entry(at_ms, step, attempt, Mark.UNKNOWN, Reason.NO_ANSWER, None, detail)
            if not (is_current and message.state is State.SENDING):
                return message, [entry]
            return _unknown(message, at_ms, takes_our_id, [entry], spread)


def _is_at(message: Message, attempt: int, step: int) -> bool:
    """Whether news of that attempt still concerns where the message stands. Between two steps it is at neither: the
    attempt of the one has ended, that of the other is not begun."""
    return attempt == message.attempt and step == message.step


def _receipt(message: Message, event: ReceiptCame) -> Decision:
    at_ms, attempt, step, part, state, reason, detail, is_proof = event
    if is_proof:
        message = _prove(message, attempt, step)
    if state is ReceiptState.FAILED:
        if attempt in message.delivered:
            return message, []  # the truth does not go back
        entry = Entry(at_ms, step, attempt, Mark.FAILED, reason, None, detail)
        if _is_at(message, attempt, step) and not message.is_final:
            return _next_step(message, at_ms, [entry])
        return message, ([] if message.is_final and not is_proof else [entry])
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


def _deadline(message: Message, event: DeadlinePassed) -> Decision:
    at_ms, takes_our_id, can_revoke, parts = event
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
            message = _expect_parts(message, message.attempt, parts)
            message = message._replace(step_ends_at_ms=max(message.step_ends_at_ms, ends_at_ms))
            return _unknown(message, at_ms, takes_our_id, [entry])
        case State.WAITING:
            if can_revoke and message.attempt not in message.delivered and _has_later_link(message):
                ends_at_ms = max(min(at_ms + REVOKE_MS, message.expires_at_ms), at_ms)
                return message._replace(state=State.REVOKING, deadline_at_ms=ends_at_ms), []
            return _silent(message, at_ms)
        case State.REVOKING:
            return _silent(message, at_ms)
    return message, []


def _silent(message: Message, at_ms: int) -> Decision:
    return _next_step(message, at_ms, [_entry(message, at_ms, Mark.TIMED_OUT, Reason.NO_RECEIPT)])


def _revoked(message: Message, event: Revoked) -> Decision:
    at_ms, _, _, revocation = event
    match revocation:
        case Revocation.WITHDRAWN:
            return _next_step(message, at_ms, [_entry(message, at_ms, Mark.REVOKED, Reason.NO_RECEIPT)])
        case Revocation.TOO_LATE if not message.type.repeats_unknown:
            # It is about to arrive: what would be a nuisance twice waits for the receipt for one more window.
            ends_at_ms = windows.window_ends_at_ms(message.route, message.step, at_ms, message.expires_at_ms)
            return message._replace(deadline_at_ms=ends_at_ms), []
    return _silent(message, at_ms)


def _link_down(message: Message, event: LinkDown) -> Decision:
    at_ms, down, is_window_over = event
    other = other_link(message, down)
    if other is not None:
        return _move(message, at_ms, other, [_entry(message, at_ms, Mark.MOVED, Reason.PROVIDER_DOWN, attempt=0)])
    if is_window_over and _has_later_link(message):
        timed_out = _entry(message, at_ms, Mark.TIMED_OUT, Reason.PROVIDER_DOWN, attempt=0)
        return _next_step(message, at_ms, [timed_out])
    return message, []


def other_link(message: Message, down: frozenset[str] = frozenset()) -> str | None:
    """The next link that can take over the message's step: never one that had its turn, so that links which are down in
    turns cannot toss a message to and fro."""
    if message.step < 0 or not (others := message.route[message.step].others) or _is_bound(message):
        return None
    later = others[others.index(message.link) + 1 :] if message.link in others else others
    return next((link for link in later if link not in down), None)


def _is_bound(message: Message) -> bool:
    """Whether it may have been sent at this step, and must not go twice: only its provider would know the repeat."""
    first = message.attempt - message.tries
    return not message.type.repeats_unknown and any(
        attempt > first and not missing for attempt, missing in message.open_parts
    )


def _turned(message: Message) -> Message:
    """The step's next link, after the last one the first again."""
    if _is_bound(message):
        return message
    return message._replace(link=other_link(message) or message.route[message.step].link)


def _move(message: Message, at_ms: int, link: str, entries: list[Entry]) -> Decision:
    """To the lane of another link, where it keeps its step's time."""
    return message._replace(
        state=State.QUEUED, link=link, due_at_ms=at_ms, deadline_at_ms=message.step_ends_at_ms
    ), entries


def _wait(message: Message, at_ms: int, cost_micros: int = 0) -> Message:
    return message._replace(
        state=State.WAITING,
        cost_micros=message.cost_micros + cost_micros,
        deadline_at_ms=windows.window_ends_at_ms(message.route, message.step, at_ms, message.expires_at_ms),
    )


def _again(message: Message, at_ms: int, after_ms: int, entries: list[Entry]) -> Decision:
    """The same step once more, unless that would outlast the step."""
    ends_at_ms = _tries_end_at_ms(message, at_ms)
    if at_ms + after_ms >= ends_at_ms:
        return _next_step(message, at_ms, entries)
    return message._replace(
        state=State.QUEUED, due_at_ms=at_ms + after_ms, deadline_at_ms=ends_at_ms, step_ends_at_ms=ends_at_ms
    ), entries


def _back_in_lane(message: Message, at_ms: int, after_ms: int) -> Decision:
    """Not tried, and not to be for so long; a step that would be over by then is left at once."""
    due_at_ms = at_ms + after_ms
    window_ends_at_ms = windows.window_ends_at_ms(message.route, message.step, at_ms, message.expires_at_ms)
    if after_ms > 0 and due_at_ms >= min(message.step_ends_at_ms, window_ends_at_ms):
        return _next_step(message, at_ms, [_entry(message, at_ms, Mark.SKIPPED, Reason.THROTTLED, attempt=0)])
    return message._replace(state=State.QUEUED, due_at_ms=due_at_ms, deadline_at_ms=message.step_ends_at_ms), []


def _tries_end_at_ms(message: Message, at_ms: int) -> int:
    """From the first failure on, the step has its window and no more."""
    if message.tries > 1:
        return message.step_ends_at_ms
    window_ms = windows.window_ends_at_ms(message.route, message.step, at_ms, message.expires_at_ms)
    return min(message.step_ends_at_ms, window_ms)


def _unknown(message: Message, at_ms: int, takes_our_id: bool, entries: list[Entry], spread: float = 0.0) -> Decision:
    """It may have been sent. Where a repeat is harmless, or better than nothing, repeat; else wait for a receipt."""
    if not (takes_our_id or message.type.repeats_unknown):
        return _wait(message, at_ms), entries
    if not message.type.repeats_unknown:
        message = _await(message, message.attempt, 0)
    after_ms = round(backoff.delay_ms(message.tries) * (1 + spread))
    ends_at_ms = _tries_end_at_ms(message, at_ms)
    if at_ms + after_ms >= ends_at_ms > at_ms and message.route[message.step].channel.confirms_delivery:
        # Too late to repeat, but a receipt may still say that it arrived: the next channel would make it a double.
        return message._replace(state=State.WAITING, deadline_at_ms=ends_at_ms), entries
    return _again(message, at_ms, after_ms, entries)


def _delivered(
    message: Message,
    at_ms: int,
    attempt: int,
    step: int,
    entries: list[Entry],
    provider_id: str | None = None,
    changes: str | None = None,
) -> Decision:
    is_new = attempt not in message.delivered
    if is_new:
        message = message._replace(delivered=(*message.delivered, attempt))
        if message.status is Status.DELIVERED:
            return message, [*entries, Entry(at_ms, step, attempt, Mark.DOUBLE, None, provider_id, changes)]
        entries = [Entry(at_ms, step, attempt, Mark.DELIVERED, None, provider_id, changes), *entries]
    if message.status is Status.DELIVERED or not (is_new or message.is_read):
        return message, entries
    return _end(message, Status.DELIVERED)._replace(delivered_step=step), entries


def _arrived_unread(
    message: Message,
    at_ms: int,
    attempt: int,
    step: int,
    provider_id: str | None = None,
    changes: str | None = None,
) -> Decision:
    """Delivered, but this step waits for the person to read it: until its window closes."""
    if attempt in message.delivered:
        return message, []
    delivered = (*message.delivered, attempt)
    first_step = step if message.delivered_step is None else message.delivered_step
    return message._replace(delivered=delivered, delivered_step=first_step), [
        Entry(at_ms, step, attempt, Mark.DELIVERED, None, provider_id, changes)
    ]


def _expect_parts(message: Message, attempt: int, parts: int) -> Message:
    """Remember the parts of an attempt whose receipts are awaited, where there are several."""
    return message if parts == 1 else _await(message, attempt, (1 << parts) - 1)


def _await(message: Message, attempt: int, missing: int) -> Message:
    """Once, as soon as it is known that any are missing."""
    others = tuple(one for one in message.open_parts if one != (attempt, 0))
    if attempt in message.delivered or any(number == attempt for number, _ in others):
        return message
    return message._replace(open_parts=(*others, (attempt, missing)))


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
        channel, link, _, _, cost_micros, address, _ = route[index]
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
                link=link,
                tries=0,
                address=message.addresses[link] if channel.needs_subscriber and address is None else address,
                due_at_ms=at_ms,
                deadline_at_ms=ends_at_ms,
                step_ends_at_ms=ends_at_ms,
            ), entries
    return _fail(message, Status.UNDELIVERABLE if message.attempt else Status.PERMANENT_ERROR), entries


def _opted_out(message: Message, at_ms: int) -> Decision:
    entry = Entry(at_ms, message.step, 0, Mark.SKIPPED, Reason.OPTED_OUT)
    if message.state in (State.SCHEDULED, State.QUEUED):
        return _fail(message, Status.UNDELIVERABLE if message.attempt else Status.PERMANENT_ERROR), [entry]
    if not message.is_final and at_ms < message.expires_at_ms:
        # It is out of our hands. With its time to live over, this step ends as it would have, and no other begins; what
        # is just being sent is not tried again.
        return message._replace(expires_at_ms=at_ms, step_ends_at_ms=min(message.step_ends_at_ms, at_ms)), []
    return message, []


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


def _taken_late(message: Message, attempt: int, step: int, link: str | None) -> Message:
    """The provider's word comes when the attempt was called lost: its receipts may have proved it, and the message may
    have been given to another link, which will not send it now."""
    if link is not None and _is_at(message, attempt, step):
        message = message._replace(link=link)
    return _prove(message, attempt, step)


def _prove(message: Message, attempt: int, step: int) -> Message:
    """Charge for an attempt that was called lost, once, whether its answer or its receipts prove it first."""
    if message.is_proven(attempt):
        return message
    return _charge(message, step)._replace(open_parts=(*message.open_parts, (-attempt, 0)))


def _reschedule(message: Message, at_ms: int, begins_at_ms: int) -> Decision:
    # A scheduled message's time to live counts from its hour, any other's from when it came to its lane.
    counted_from_ms = message.deadline_at_ms if message.state is State.SCHEDULED else message.due_at_ms
    moved_ms = begins_at_ms - (counted_from_ms or at_ms)
    return message._replace(
        state=State.SCHEDULED,
        step=-1,
        link=None,
        address=None,
        due_at_ms=begins_at_ms,
        deadline_at_ms=begins_at_ms,
        step_ends_at_ms=begins_at_ms,
        expires_at_ms=message.expires_at_ms + moved_ms,
    ), [Entry(at_ms, message.step, 0, Mark.RESCHEDULED)]


def _entry(message: Message, at_ms: int, mark: Mark, reason: Reason, *, attempt: int | None = None) -> Entry:
    return Entry(at_ms, message.step, message.attempt if attempt is None else attempt, mark, reason)
