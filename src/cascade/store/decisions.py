"""Carries out what the machine decides, for a set of messages in one transaction: every event goes through here,
whether a loop brings it or a client."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cascade.core.attempt import NotSent
from cascade.core.events import Happened, Listeners
from cascade.core.machine import Event, Settled, decide, may_move_on
from cascade.core.message import Message, State
from cascade.core.timeline import Entry, Mark
from cascade.store import events, messages, receipts, subscribers
from cascade.store.database import Database, Transaction
from cascade.store.messages import Change, Key, Stored
from cascade.store.receipts import LostAnswer, Sent


class News(NamedTuple):
    key: Key
    event: Event


class _Work(NamedTuple):
    """What is to be written beside a set of decisions."""

    lost: list[LostAnswer]
    found: list[LostAnswer]
    happened: list[Happened]


class Left(NamedTuple):
    news: Sequence[News]
    sent: Sequence[Sent]


async def apply_at_once(
    database: Database, news: Sequence[News], known: Mapping[Key, Stored], sent: Sequence[Sent] = ()
) -> tuple[list[Change], Left]:
    """What of it one statement can do, which PostgreSQL needs no BEGIN and COMMIT for: mostly all. What was written,
    and what is left for `apply`."""
    listeners = database.listeners
    if (
        any(key not in known or key.account_id in listeners for key, _ in news)
        or _moving_to_bots(known, news)
        or not receipts.are_apart(sent)
    ):
        return [], Left(news, sent)
    changes = _decide(known, news)
    if any(_work(listeners, changes, known)):
        return [], Left(news, sent)
    async with database.single() as tx:
        done = await _write(tx, changes, sent, is_apart=True)
        tx.changed(done)
    if len(done) == len(news):
        return done, Left([], [])
    written = {change.stored.key for change in done}
    refused = {change.stored.key for change in changes} - written
    return done, Left([one for one in news if one.key in refused], [one for one in sent if one.key not in written])


async def apply(
    tx: Transaction, news: Sequence[News], known: Mapping[Key, Stored], sent: Sequence[Sent] = ()
) -> list[Change]:
    """Decide each event in the order given, and write what follows; what was written.

    `known` are messages as they were read before. One that has changed since is refused by its fence, read again
    and decided anew, so that late news is never lost and never overwrites what is newer. News about a message that
    no longer exists is dropped. `sent` are attempts at `known` messages of which news says that they were accepted.
    """
    at_hand = dict(known)
    done: list[Change] = []
    late = list(sent)
    is_first = True
    while news:
        missing = {key for key, _ in news} - at_hand.keys()
        at_hand.update(await messages.load(tx, missing))
        changes = _decide(await _with_addresses(tx, at_hand, news), news)
        written = await _write(tx, changes, late if is_first else ())
        keys = {change.stored.key for change in written}
        if is_first:
            late = [one for one in late if one.key not in keys]
            is_first = False
        work = _work(tx.listeners, written, known)
        if work.lost:
            await receipts.add_lost(tx, work.lost)
        if work.found:
            await receipts.found(tx, work.found)
        await events.add(tx, work.happened)
        done += written
        refused = {change.stored.key for change in changes} - keys
        news = [one for one in news if one.key in refused]
        never_left = [one for each in news for one in _never_left(each, known)]
        if never_left:
            await receipts.found(tx, never_left)
        for key in refused:
            del at_hand[key]
    if late:
        await receipts.add_parts(tx, await receipts.renumbered(tx, [part for one in late for part in one.parts]))
    tx.changed(done)
    return done


async def _write(
    tx: Transaction, changes: list[Change], sent: Sequence[Sent], *, is_apart: bool = False
) -> list[Change]:
    """Those that were not refused."""
    if sent:
        changed = {change.stored.key for change in changes}
        sent = [one for one in sent if one.key in changed]
    refused = set(await receipts.answered(tx, changes, sent, is_apart=is_apart))
    return [change for change in changes if change.stored.key not in refused] if refused else changes


def _work(listeners: Listeners, changes: Sequence[Change], known: Mapping[Key, Stored]) -> _Work:
    return _Work(
        [one for change in changes for one in _lost_answers(change, known)],
        [one for change in changes for one in _late_answers(change, known)],
        events.of_changes(listeners, changes),
    )


def _decide(at_hand: Mapping[Key, Stored], news: Sequence[News]) -> list[Change]:
    changes: dict[Key, Change] = {}
    for key, event in news:
        stored = at_hand.get(key)
        if stored is None:
            continue
        earlier = changes.get(key)
        before = stored.message if earlier is None else earlier.message
        after, entries = decide(before, event)
        if earlier is not None:
            changes[key] = earlier._replace(message=after, entries=earlier.entries + entries, at_ms=event.at_ms)
        elif entries or after is not before:
            changes[key] = Change(stored, after, entries, event.at_ms)
    return list(changes.values())


def _lost_answers(change: Change, known: Mapping[Key, Stored]) -> list[LostAnswer]:
    """Attempts of which only receipts can tell how much went out."""
    lost = []
    message = change.message
    open_parts = dict(message.open_parts)
    for entry in change.entries:
        is_torn = entry.mark in (Mark.RETRY, Mark.REJECTED) and entry.attempt in open_parts
        if (entry.mark is Mark.UNKNOWN or is_torn) and not (
            entry.attempt in message.delivered or message.is_proven(entry.attempt)
        ):
            missing = open_parts.get(entry.attempt) or 1
            lost += _lost_answer(change, known, entry, missing.bit_count())
    return lost


def _late_answers(change: Change, known: Mapping[Key, Stored]) -> list[LostAnswer]:
    """Attempts that were called lost, and of which it is known now what became of them."""
    before = change.stored.message
    late = []
    for entry in change.entries:
        is_late = before.state is not State.SENDING or entry.attempt != before.attempt
        if is_late and entry.mark in (Mark.ACCEPTED, Mark.RETRY, Mark.REJECTED):
            is_torn = entry.mark is not Mark.ACCEPTED and dict(change.message.open_parts).get(entry.attempt)
            late += [] if is_torn else _lost_answer(change, known, entry)
    return late


def _never_left(news: News, known: Mapping[Key, Stored]) -> list[LostAnswer]:
    """An attempt that was called lost, if anything, while its node knew that it never left. That leaves no entry."""
    sent = known.get(news.key)
    match news.event:
        case Settled(attempt=attempt, step=step, outcome=NotSent()) if sent and sent.message.attempt == attempt:
            return _as_lost(sent, attempt, step)
    return []


def _lost_answer(change: Change, known: Mapping[Key, Stored], entry: Entry, parts: int = 1) -> list[LostAnswer]:
    # Where the attempt went is known to who made it, though the message may have gone on since.
    sent = known.get(change.stored.key)
    if sent is None or sent.message.attempt != entry.attempt:
        sent = change.stored
    return _as_lost(sent, entry.attempt, entry.step, parts)


def _as_lost(sent: Stored, attempt: int, step: int, parts: int = 1) -> list[LostAnswer]:
    """None, where no receipts come."""
    before, of_step = sent.message, sent.message.route[step]
    link = before.link if step == before.step else of_step.link
    if link is None or not of_step.channel.confirms_delivery:
        return []
    return [LostAnswer(link, sent.recipient, sent.key, attempt, step, before.due_at_ms, parts)]


async def _with_addresses(tx: Transaction, at_hand: Mapping[Key, Stored], news: Sequence[News]) -> Mapping[Key, Stored]:
    """The same messages; those that may go on to a bot know the addresses that their people have there."""
    moving = _moving_to_bots(at_hand, news)
    if not moving:
        return at_hand
    wanted: dict[tuple[int, str], set[str]] = {}
    for key, links in moving.items():
        for link in links:
            wanted.setdefault((key.account_id, link), set()).add(at_hand[key].phone)
    addresses: dict[tuple[int, str], dict[str, str]] = {}
    for (account_id, link), phones in wanted.items():
        for phone, by_link in (await subscribers.addresses(tx, account_id, [link], phones)).items():
            addresses.setdefault((account_id, phone), {}).update(by_link)
    ready = dict(at_hand)
    for key in moving:
        stored = at_hand[key]
        found = addresses.get((key.account_id, stored.phone), {})
        ready[key] = stored._replace(message=stored.message._replace(addresses=found))
    return ready


def _moving_to_bots(at_hand: Mapping[Key, Stored], news: Sequence[News]) -> dict[Key, list[str]]:
    """Messages that may go on to one of these bots' links."""
    moving = {}
    for key, event in news:
        stored = at_hand.get(key)
        if stored is not None and may_move_on(event):
            links = _links_with_directory(stored.message)
            if links:
                moving[key] = links
    return moving


def _links_with_directory(message: Message) -> list[str]:
    return [
        step.link
        for step in message.route[message.step + 1 :]
        if step.link is not None and step.channel.needs_subscriber
    ]
