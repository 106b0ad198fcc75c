"""Works the inbound inbox: whose account it is, who came and went, what was answered, and who wants no more.

All that follows from one thing a person told us is written in one transaction with the mark that it was worked.
What is said to the person at once (thanks, a question for their phone) comes after that, and only while it is fresh.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import orjson
import structlog

from cascade.channels.base import Replies
from cascade.core import events as happened
from cascade.core.directory import Directory
from cascade.core.errors import QueryTimeoutError, StoreUnavailableError
from cascade.core.events import Told as About
from cascade.core.inbound import PART, Inbound, InboundKind
from cascade.core.machine import OptedOut, ReceiptCame
from cascade.core.message import Status
from cascade.core.node import Share
from cascade.core.receipt import ReceiptState
from cascade.core.replies import Keyword, Keywords, chosen, read_payload
from cascade.core.timeline import Mark
from cascade.core.words import Channel, MessageType
from cascade.engine import decisions, metrics, sets
from cascade.engine.decisions import News
from cascade.engine.supervision import wait
from cascade.store import events, inbound, messages, optouts, queries, receipts, subscribers, surveys
from cascade.store.database import Database, Reader, Transaction
from cascade.store.inbound import Told
from cascade.store.messages import Key, Record
from cascade.store.optouts import OptOut
from cascade.store.queries import DAY_MS, Filter
from cascade.store.subscribers import Subscriber
from cascade.store.surveys import Answer, Standing

log = structlog.get_logger()

LARGEST_SET = 200
POLL_S = 0.25
"""While parts of a long text wait for the others; else we are woken, and look only to be safe."""
IDLE_S = 1.0
STORE_RETRY_S = 1.0
SET_ASIDE_MS = 3_600_000
PARTS_MS = 60_000
"""How long a part of a long SMS waits for the others."""
PARTS_AGAIN_MS = 500
FRESH_MS = 60_000
"""How long a person may still expect an answer at once."""
ANSWERED_WITHIN_MS = 7 * DAY_MS
"""On a link that several accounts share, what a person writes is for the one that wrote to them last, in this time."""
OPEN_MS = 61 * DAY_MS
"""How long a message may live: scheduled 30 days ahead, and 30 days from then."""
LATEST_SURVEYS = 5
MOST_WITHDRAWN = 1_000
SENT = (Mark.ACCEPTED, Mark.DELIVERED, Mark.UNKNOWN, Mark.DOUBLE)
DIGITS = frozenset("0123456789")


class Whole(NamedTuple):
    """One thing told, put together from all the rows of the inbox that it came in."""

    told: Told
    ids: tuple[int, ...]


class Owner(NamedTuple):
    """Whose it is. `phone` None: the person's is not known. `about`: the message that is surely answered."""

    account_id: int
    phone: str | None
    about: Record | None = None


class Correspondent:
    """`replies` gives the link's transport where it can say something at once; None: it cannot, or is not ours."""

    def __init__(
        self,
        database: Database,
        directory: Callable[[], Directory],
        replies: Callable[[str], Replies | None],
        keywords: Keywords,
        now_ms: Callable[[], int],
        share: Callable[[], Share],
    ) -> None:
        self._database = database
        self._directory = directory
        self._replies = replies
        self._keywords = keywords
        self._now_ms = now_ms
        self._share = share
        self._news = asyncio.Event()
        self._idle_from_s = 0.0
        self._under_way: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        self._news.set()

    async def run(self) -> None:
        while True:
            self._news.clear()
            try:
                worked = await self._work()
            except StoreUnavailableError as error:
                log.error("inbound_delayed", error=str(error))
                await asyncio.sleep(STORE_RETRY_S)
                continue
            if worked < LARGEST_SET:
                is_idle = asyncio.get_running_loop().time() >= self._idle_from_s
                await wait(self._news, IDLE_S if is_idle else POLL_S)

    async def stop(self, grace_s: float) -> None:
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=grace_s)
        for task in tuple(self._under_way):
            task.cancel()

    async def _work(self) -> int:
        now_ms = self._now_ms()
        async with self._database.reading() as reader:
            came = await inbound.due(reader, now_ms, LARGEST_SET, self._share())
        if came:
            await sets.work(came, partial(self._take_in, now_ms), partial(self._set_aside, now_ms))
        return len(came)

    async def _set_aside(self, now_ms: int, one: Told) -> None:
        log.exception("inbound_set_aside", link=one.link, inbound_id=one.id)
        async with self._database.transaction() as tx:
            await inbound.postpone(tx, [one.id], now_ms + SET_ASIDE_MS)

    async def _take_in(self, now_ms: int, came: Sequence[Told]) -> None:
        wholes, waiting = await self._put_together(now_ms, came)
        if waiting:
            self._idle_from_s = asyncio.get_running_loop().time() + 2 * PARTS_AGAIN_MS / 1000
        owners = {whole.told.id: await self._owner(whole.told) for whole in wholes}
        replies = []
        async with self._database.transaction() as tx:
            await inbound.postpone(tx, waiting, now_ms + PARTS_AGAIN_MS)
            fresh = await inbound.done(tx, {id_ for whole in wholes for id_ in whole.ids})
            for whole in wholes:
                told = whole.told
                owner = owners[told.id]
                if told.id not in fresh:
                    continue  # another node was quicker
                if owner is None:
                    log.info("inbound_unowned", link=told.link, inbound_id=told.id)
                    metrics.INBOUND_UNOWNED.labels(told.link).inc()
                    continue
                is_known = await self._take(tx, told, owner, now_ms)
                if now_ms - told.received_at_ms <= FRESH_MS:
                    replies.append((told, is_known))
        for told, is_known in replies:
            self._reply(told, is_known)

    def _reply(self, told: Told, is_known: bool) -> None:
        transport = self._replies(told.link)
        if transport is not None:
            task = asyncio.create_task(transport.reply(told.inbound, is_known=is_known))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    # -- what belongs together, and to whom ---------------------------------------------------------------------------

    async def _put_together(self, now_ms: int, came: Sequence[Told]) -> tuple[list[Whole], list[int]]:
        """What can be worked, and the parts of long texts that still wait for others."""
        wholes = [Whole(told, (told.id,)) for told in came if PART not in told.inbound.profile]
        waiting: list[int] = []
        seen: set[tuple[str, str, str]] = set()
        for told in came:
            if PART not in told.inbound.profile:
                continue
            reference, parts, _ = told.inbound.profile[PART].split(":")
            key = (told.link, told.inbound.address, f"{reference}:{parts}:")
            if key in seen:
                continue
            seen.add(key)
            async with self._database.reading() as reader:
                others = await inbound.waiting(reader, told.link, told.inbound.address)
            by_number = {
                int(other.inbound.profile[PART].rpartition(":")[2]): other
                for other in others
                if other.inbound.profile.get(PART, "").startswith(key[2])
            }
            if len(by_number) < int(parts) and now_ms - told.received_at_ms < PARTS_MS:
                waiting += [other.id for other in by_number.values()]
            elif by_number:
                wholes.append(_joined([by_number[number] for number in sorted(by_number)]))
        return wholes, waiting

    async def _owner(self, told: Told) -> Owner | None:
        """None: it belongs to nobody."""
        directory, given = self._directory(), told.inbound
        bot = next((bot for bot in directory.bots if bot.link == told.link), None)
        async with self._database.reading() as reader:
            if bot is not None:
                phones = await subscribers.phones(reader, bot.account_id, told.link, [given.address])
                phone = phones.get(given.address)
                return Owner(bot.account_id, phone, await self._answered(reader, told, [bot.account_id], phone))
            if not DIGITS.issuperset(given.address):
                return None
            phone = f"+{given.address}"
            serving = next((shared for shared in directory.shared if shared.link == told.link), None)
            ids = [id_ for id_, one in directory.accounts.items() if serving is not None and serving.serves(one.name)]
            about = await self._answered(reader, told, ids, phone)
        if about is not None:
            return Owner(about.key.account_id, phone, about)
        if len(ids) == 1:
            return Owner(ids[0], phone)
        account_id = await self._latest_writer(ids, phone, told.received_at_ms)
        return None if account_id is None else Owner(account_id, phone)

    async def _answered(
        self, reader: Reader, told: Told, account_ids: Iterable[int], phone: str | None
    ) -> Record | None:
        """The message that it names, if that was sent to this person by this link."""
        given = told.inbound
        keys: list[Key] = []
        if given.reply_to is not None:
            part = (await receipts.find_parts(reader, [(told.link, given.reply_to)])).get((told.link, given.reply_to))
            keys += [] if part is None else [part.key]
        payload = None if given.payload is None else read_payload(given.payload)
        if payload is not None:
            keys += [Key(account_id, payload.message_id) for account_id in account_ids]
        allowed = set(account_ids)
        for key in keys:
            record = await messages.record(reader, key) if key.account_id in allowed else None
            if record is not None and _step_of(record, told, phone) is not None:
                return record
        return None

    async def _latest_writer(self, account_ids: Iterable[int], phone: str, at_ms: int) -> int | None:
        """The account whose message to that phone was the latest. A look into the index of phones for each account and
        era: only what people write themselves, on links that accounts share, has to be found so."""
        wanted = Filter(phone=phone, from_ms=at_ms - ANSWERED_WITHIN_MS)
        latest: tuple[bytes, int] | None = None
        try:
            async with self._database.cold_reading() as reader:
                for account_id in account_ids:
                    for summary in await queries.find(reader, account_id, wanted, None, 1):
                        latest = max(latest or (b"", 0), (summary.id, account_id))
        except QueryTimeoutError:
            log.warning("inbound_owner_unknown")
        return None if latest is None else latest[1]

    # -- what follows from it -----------------------------------------------------------------------------------------

    async def _take(self, tx: Transaction, told: Told, owner: Owner, now_ms: int) -> bool:
        """Whether we know the person's phone from now on."""
        given = told.inbound
        channel = Channel(told.link.partition(".")[0])
        if channel.needs_subscriber:
            owner = await self._come_or_go(tx, told, owner, now_ms)
        keyword = None
        if given.kind is InboundKind.TEXT and given.text is not None:
            keyword = self._keywords.of(given.text)
        if keyword is not None and owner.phone is not None:
            await self._obey(tx, told, owner, keyword, now_ms)
        elif await self._survey(tx, told, owner, channel, now_ms):
            return owner.phone is not None
        about = None if owner.about is None else About(*owner.about.key, owner.about.tracking_id)
        event = happened.inbound_received(
            owner.account_id, given, channel, told.link, owner.phone, about, told.received_at_ms
        )
        if keyword is not None and owner.phone is not None:
            event = event._replace(data={**event.data, "optOut": keyword.value})
        await events.add(tx, [event])
        return owner.phone is not None

    async def _come_or_go(self, tx: Transaction, told: Told, owner: Owner, now_ms: int) -> Owner:
        """Keep the bot's directory: the next message passes over a person who left, and finds one who came back."""
        given = told.inbound
        if given.kind is InboundKind.STOPPED:
            await subscribers.stop(tx, owner.account_id, told.link, given.address, now_ms)
            return owner
        phone = _normal(given.phone) if given.kind is InboundKind.CONTACT else None
        if phone is not None:
            profile = orjson.dumps(dict(given.profile)).decode()
            await subscribers.put(tx, owner.account_id, told.link, [Subscriber(phone, given.address, profile)], now_ms)
            return owner._replace(phone=phone)
        if owner.phone is not None:
            await subscribers.resume(tx, owner.account_id, told.link, given.address, now_ms)
        return owner

    async def _obey(self, tx: Transaction, told: Told, owner: Owner, keyword: Keyword, now_ms: int) -> None:
        account_id, phone = owner.account_id, owner.phone
        assert phone is not None  # noqa: S101 - the caller has looked
        metrics.OPT_OUTS.labels(keyword.value).inc()
        log.info("opt_out_changed", account_id=account_id, link=told.link, wish=keyword.value)
        if keyword is Keyword.START:
            await optouts.remove(tx, account_id, phone)
            return
        await optouts.add(tx, account_id, [OptOut(phone, told.link, told.received_at_ms)])
        await withdraw(tx, account_id, phone, now_ms)

    async def _survey(self, tx: Transaction, told: Told, owner: Owner, channel: Channel, now_ms: int) -> bool:
        """Whether it was the answer to a survey, in any standing. A tap that fits nothing we sent is forged."""
        given = told.inbound
        is_tap = given.kind is InboundKind.TAP
        if not is_tap and given.kind is not InboundKind.TEXT:
            return False
        payload = None if given.payload is None else read_payload(given.payload)
        found = None
        about = owner.about
        if about is not None and about.message.type is MessageType.VIBER_SURVEY:
            options = (await surveys.options(tx, owner.account_id, [about.key.id])).get(about.key.id, ())
            is_named = payload is not None and payload.message_id == about.key.id and payload.place is not None
            place = payload.place if is_named and payload is not None else chosen(options, given.text or "")
            found = (about, place, options)
        elif not is_tap and given.text is not None and owner.phone is not None:
            found = await self._open_survey(tx, told, owner.account_id, owner.phone, given.text)
        if found is None or found[1] is None or not 0 <= found[1] < len(found[2]):
            if is_tap:
                log.warning("answer_refused", link=told.link, inbound_id=told.id)
                metrics.SURVEY_ANSWERS.labels("forged").inc()
            return is_tap
        record, place, options = found[0], found[1], found[2]
        is_late = told.received_at_ms >= record.message.expires_at_ms
        asked = Standing.LATE if is_late else Standing.COUNTED
        answer = Answer(record.key.id, asked, place, options[place], channel, told.link, told.received_at_ms)
        standing = await surveys.add(tx, record.key, answer, told.id)
        metrics.SURVEY_ANSWERS.labels(standing.value).inc()
        if standing is Standing.COUNTED:
            about_ = About(*record.key, record.tracking_id)
            await _has_read(tx, record, told, owner.phone)
            await events.add(
                tx,
                [
                    happened.survey_answered(
                        about_,
                        record.message,
                        told.received_at_ms,
                        options[place],
                        place,
                        channel,
                    )
                ],
            )
        return True

    async def _open_survey(
        self, tx: Transaction, told: Told, account_id: int, phone: str, text: str
    ) -> tuple[Record, int, Sequence[str]] | None:
        """The latest survey to the phone by this link that is not answered yet, else the latest of all, if the text is
        an answer to it."""
        wanted = Filter(phone=phone, type=MessageType.VIBER_SURVEY, from_ms=told.received_at_ms - OPEN_MS)
        summaries = await queries.find(tx, account_id, wanted, None, LATEST_SURVEYS)
        ids = [summary.id for summary in summaries]
        if not ids:
            return None
        records = await messages.records(tx, [Key(account_id, id_) for id_ in ids])
        answered = await surveys.answered(tx, account_id, ids)
        options = await surveys.options(tx, account_id, ids)
        fitting = []
        for id_ in ids:
            record = records.get(Key(account_id, id_))
            place = chosen(options.get(id_, ()), text)
            if record is not None and place is not None and _step_of(record, told, phone) is not None:
                fitting.append((record, place, options[id_]))
        still_open = [
            one
            for one in fitting
            if one[0].key.id not in answered and told.received_at_ms < one[0].message.expires_at_ms
        ]
        return next(iter(still_open or fitting), None)


async def withdraw(tx: Transaction, account_id: int, phone: str, now_ms: int) -> int:
    """End the advertising to a phone that is under way; how many messages that concerned."""
    ended = 0
    for status in (Status.SCHEDULED, Status.PROCESSING):
        wanted = Filter(phone=phone, status=status, from_ms=now_ms - OPEN_MS)
        found = await queries.find(tx, account_id, wanted, None, MOST_WITHDRAWN)
        news = [News(Key(account_id, one.id), OptedOut(now_ms)) for one in found]
        ended += len(await decisions.apply(tx, news, {}))
    return ended


async def _has_read(tx: Transaction, record: Record, told: Told, phone: str | None) -> None:
    """Who answers has got the message, whatever became of its receipts: no other channel need follow."""
    step = _step_of(record, told, phone)
    attempts = [entry.attempt for entry in record.entries if entry.step == step and entry.mark in SENT]
    if step is not None and attempts:
        event = ReceiptCame(told.received_at_ms, attempts[-1], step, 0, ReceiptState.READ)
        await decisions.apply(tx, [News(record.key, event)], {})


def _step_of(record: Record, told: Told, phone: str | None) -> int | None:
    """The step at which the message was sent by this link to this person; None: it was not."""
    message, address = record.message, told.inbound.address
    sent = {entry.step for entry in record.entries if entry.mark in SENT}
    if message.attempt and message.step >= 0:
        sent.add(message.step)  # the answer may be quicker than the provider's own word
    for place in sorted(sent, reverse=True):
        step = message.route[place]
        if told.link in (step.link, *step.others):
            is_theirs = record.phone == phone or step.address == address
            is_theirs = is_theirs or (place == message.step and message.address == address)
            return place if is_theirs else None
    return None


def _joined(parts: Sequence[Told]) -> Whole:
    first = min(parts, key=lambda part: part.id)
    text = "".join(part.inbound.text or "" for part in parts)
    given = first.inbound
    whole = Inbound(given.id, given.kind, given.address, text)
    received_at_ms = max(part.received_at_ms for part in parts)
    return Whole(first._replace(inbound=whole, received_at_ms=received_at_ms), tuple(part.id for part in parts))


def _normal(phone: str | None) -> str | None:
    """With its plus and digits alone; None when it cannot be an international number."""
    digits = "".join(sign for sign in phone or "" if sign in DIGITS)
    return f"+{digits}" if 7 <= len(digits) <= 15 and digits[0] != "0" else None
