"""`POST /api/CascadeMessage/send_message[/tg-viber][/async]`: bytes in, stored messages out."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import compress
from operator import itemgetter
from typing import Annotated, Any, Final, NamedTuple

import orjson
import uuid_utils
from fastapi import APIRouter, Query, Request, Response

from cascade.api import callers, metrics, preview
from cascade.api.access import Caller, SendCaller, send_caller
from cascade.api.body import read_body
from cascade.api.callers import Called
from cascade.api.faults import ErrorCode, Fault, InvalidRequest, error_object
from cascade.api.message_in import Batch, parse_batch
from cascade.api.openapi import SEND_BODY, SEND_RESPONSES
from cascade.api.parts import Parts
from cascade.api.straight import Door
from cascade.api.texts import Wanted, fill
from cascade.api.together import Together
from cascade.api.validation import check_once
from cascade.core.content import encode_extras
from cascade.core.directory import Bot, Directory
from cascade.core.draft import Draft
from cascade.core.message import NO_ADDRESSES
from cascade.core.plan import Planner
from cascade.core.prices import Prices
from cascade.core.replies import ReplyHints
from cascade.core.words import MessageType
from cascade.store import events, messages, optouts, repeats, short_links, subscribers, tags
from cascade.store.database import Transaction
from cascade.store.ids import new_ids
from cascade.store.messages import Key, NewMessage
from cascade.store.repeats import Answered
from cascade.store.tags import Tagged

router = APIRouter(tags=["Sending"])
PATH = "/api/CascadeMessage/send_message"
REPLAYED: Final = {"Idempotent-Replayed": "true"}
MAX_KEY: Final = 255
QUERY: Final = frozenset({"partial", "validate"})
KEY_KEPT_MS: Final = 24 * 3_600_000
"""An Idempotency-Key works for at least a day, even where repeats of single messages are not looked for."""
SMALL: Final = 50
"""As many messages make a request that shares its transaction with others; a larger one has its own."""
SHARED: Final = 256
"""As many small requests share one."""
Partial = Annotated[bool, Query(description="Accept the good messages of a batch; each bad one gets its error")]
Validate = Annotated[bool, Query(description="Store and send nothing; say what would happen")]


@router.post(f"{PATH}/async", summary="Send by the standard route", responses=SEND_RESPONSES, openapi_extra=SEND_BODY)
@router.post(PATH, include_in_schema=False)
async def send_standard(
    request: Request, caller: SendCaller, partial: Partial = False, validate: Validate = False
) -> Response:
    """Telegram Bot, Viber Bot, Viber Business, RCS, SMS, in that order. 200 means that a crash loses nothing."""
    return await _send(request, caller, "standard", is_partial=partial, is_preview=validate)


@router.post(
    f"{PATH}/tg-viber/async", summary="Send by both bots first", responses=SEND_RESPONSES, openapi_extra=SEND_BODY
)
@router.post(f"{PATH}/tg-viber", include_in_schema=False)
async def send_tg_viber(
    request: Request, caller: SendCaller, partial: Partial = False, validate: Validate = False
) -> Response:
    """The same channels tuned for speed: both bots with short windows, RCS and SMS as the last resort."""
    return await _send(request, caller, "tg-viber", is_partial=partial, is_preview=validate)


def _door(route_name: str) -> Door:
    async def door(request: Request) -> Response:
        return await _send(request, await send_caller(request), route_name, is_partial=False, is_preview=False)

    return door


DOORS: Final[Mapping[str, Door]] = {
    f"{PATH}{middle}{end}": _door(name)
    for middle, name in (("", "standard"), ("/tg-viber", "tg-viber"))
    for end in ("", "/async")
}
"""The same for plain requests (`straight`)."""


class Asked(NamedTuple):
    """One request. `key_digest` is its Idempotency-Key's, None without one; `body_digest` stands for all it asks."""

    caller: Caller
    directory: Directory
    now_ms: int
    key_digest: bytes | None = None
    body_digest: bytes = b""

    def way(self, prices: Prices, now_ms: int) -> "Way":
        links = self.directory.links(self.caller.account.id, self.caller.bots, is_limited=self.caller.is_limited)
        return Way(
            Planner(self.directory.routes, links, prices, now_ms, random.getrandbits(16)),
            [link for channel, own in links.items() if channel.needs_subscriber for link in own],
            now_ms,
        )


class Way(NamedTuple):
    """How messages that are accepted at `now_ms` go. `bot_links` are those that need an address."""

    planner: Planner
    bot_links: list[str]
    now_ms: int


class Single(NamedTuple):
    """A small and plain request: nothing in it can be refused by the store, and it needs nothing but its own rows."""

    parts: Parts
    asked: Asked
    batch: Batch
    batch_id: int


async def _send(request: Request, caller: Caller, route_name: str, *, is_partial: bool, is_preview: bool) -> Response:
    app = request.app
    parts: Parts = app.state.parts
    _check_query(request)
    body = await read_body(request, parts.limits.max_body_bytes)
    now_ms = parts.now_ms()
    account = caller.account
    directory = parts.directory()
    limits = replace(
        parts.limits,
        strict_fields=account.is_strict,
        senders=account.senders,
        routes=frozenset(directory.routes),
    )
    batch = parse_batch(body, route=route_name, now_ms=now_ms, limits=limits, is_partial=is_partial)
    key_digest = _key_digest(request)
    asked = Asked(caller, directory, now_ms)
    if key_digest is not None:
        kind = f"{request.url.path}?partial={is_partial}".encode()
        body_digest = blake2b(kind + body, digest_size=16).digest()
        asked = asked._replace(key_digest=key_digest, body_digest=body_digest)
    elif not is_preview and len(batch.drafts) <= SMALL and all(map(_is_plain, batch.drafts)):
        singles: Singles = app.state.singles
        return await singles.do(Single(parts, asked, batch, await parts.batches.take()))
    do = _preview if is_preview else _accept
    while True:
        try:
            return await do(parts, asked, batch)
        except InvalidRequest as refusal:
            # What only the store could tell, such as a placeholder without a value, takes its message out as well.
            remaining = batch.without(refusal.faults)
            if not is_partial or len(remaining.drafts) == len(batch.drafts):
                raise
            batch = remaining


def _is_plain(draft: Draft) -> bool:
    return draft.wishes is None and "%" not in draft.content.text and draft.type is not MessageType.FLASHCALL


def _check_query(request: Request) -> None:
    """A mistyped `validate` would send for real."""
    if not request.scope["query_string"]:
        return
    unknown = [name for name in request.query_params if name not in QUERY]
    if unknown:
        words = f"There is no query parameter {unknown[0][:MAX_KEY]!r}: send `partial`, `validate` or none"
        raise InvalidRequest([Fault(ErrorCode.UNKNOWN_FIELD, words, unknown[0][:MAX_KEY])])
    check_once(request)


async def _accept(parts: Parts, asked: Asked, batch: Batch) -> Response:
    account_id, now_ms, key_digest = asked.caller.account.id, asked.now_ms, asked.key_digest
    batch_id = await parts.batches.take()
    async with parts.database.transaction() as tx:
        if key_digest is not None:
            oldest_ms = now_ms - max(parts.repeat_ms, KEY_KEPT_MS)
            earlier = await repeats.begin_request(tx, account_id, key_digest, asked.body_digest, now_ms, oldest_ms)
            if earlier is not None:
                return _replayed(earlier, asked.body_digest)
        way = asked.way(parts.prices, now_ms)
        numbers = [batch_id] * len(batch.drafts)
        accepted = await _store(tx, parts, account_id, way, batch.drafts, batch.places, numbers)
        answer = _answer(accepted.firsts, batch, await _who_calls(tx, parts, account_id, accepted.firsts, batch))
        if key_digest is not None:
            await repeats.end_request(tx, account_id, key_digest, answer)
    metrics.ACCEPTED.inc(accepted.stored)
    return _sent(answer, accepted.ids, accepted.firsts)


async def accept_together(singles: Sequence[Single]) -> list[Response]:
    """Small requests as if each account had sent its own as one."""
    parts = singles[0].parts
    now_ms = parts.now_ms()
    alike: dict[tuple[int, tuple[Bot, ...], bool], list[Single]] = {}
    for one in singles:
        alike.setdefault((one.asked.caller.account.id, *one.asked.caller[1:]), []).append(one)
    answers: dict[int, Response] = {}
    stored = 0
    async with parts.database.transaction() as tx:
        # In order, so that of two sets that send the same messages one waits for the other, and never both.
        for (account_id, *_), some in sorted(alike.items(), key=itemgetter(0)):
            drafts = [draft for one in some for draft in one.batch.drafts]
            numbers = [one.batch_id for one in some for _ in one.batch.drafts]
            way = some[-1].asked.way(parts.prices, now_ms)
            accepted = await _store(tx, parts, account_id, way, drafts, range(len(drafts)), numbers)
            stored += accepted.stored
            start = 0
            for one in some:
                mine = slice(start, start + len(one.batch.drafts))
                start = mine.stop
                firsts = accepted.firsts[mine]
                answers[one.batch_id] = _sent(_answer(firsts, one.batch, {}), accepted.ids[mine], firsts)
    metrics.ACCEPTED.inc(stored)
    return [answers[one.batch_id] for one in singles]


Singles = Together[Single, Response]


class Accepted(NamedTuple):
    """`firsts`: for each draft the id of the message that it is, its own of `ids` or that of the first of which it is a
    repeat. `stored` is how many are new."""

    ids: list[bytes]
    firsts: list[bytes]
    stored: int


async def _store(
    tx: Transaction,
    parts: Parts,
    account_id: int,
    way: Way,
    drafts: Sequence[Draft],
    places: Sequence[int],
    numbers: Sequence[int],
) -> Accepted:
    """Store drafts that stand at those places of the batches with those numbers."""
    now_ms = way.now_ms
    ids = new_ids(now_ms, len(drafts))
    firsts = await _first_ids(tx, account_id, drafts, ids, now_ms, parts.repeat_ms)
    wanted = list(zip(places, ids, drafts, strict=True))
    if firsts != ids:
        is_new = [id_ == first for id_, first in zip(ids, firsts, strict=True)]
        wanted, numbers = list(compress(wanted, is_new)), list(compress(numbers, is_new))
    filled, links = await fill(tx, account_id, wanted, parts.link_rules, now_ms)
    filled = _hinted(filled, parts.reply_hints)
    called = await callers.begin(tx, account_id, parts.callers, parts.flashcalls, [draft for _, _, draft in filled])
    era = parts.eras.take(account_id, now_ms, len(filled))
    new = await _begin(tx, account_id, way, filled, numbers, era, called)
    await messages.add(tx, new)
    if called is not None:
        await callers.end(tx, account_id, called)
    await short_links.add(tx, links)
    await tags.add(tx, _tagged(account_id, wanted))
    await events.add_accepted(tx, new)
    return Accepted(ids, firsts, len(new))


def _sent(answer: bytes, ids: list[bytes], firsts: list[bytes]) -> Response:
    return Response(answer, headers=REPLAYED if firsts != ids else None, media_type="application/json")


def _key_digest(request: Request) -> bytes | None:
    """What is kept of the request's Idempotency-Key; None when it has none."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_KEY or not key.isprintable():
        raise _bad_key(f"Idempotency-Key: send 1 to {MAX_KEY} visible characters")
    return blake2b(key.encode(), digest_size=16).digest()


def _bad_key(message: str) -> InvalidRequest:
    return InvalidRequest([Fault(ErrorCode.INVALID_FIELD, message, "Idempotency-Key")])


def _replayed(earlier: Answered, body_digest: bytes) -> Response:
    if earlier.body_digest != body_digest:
        raise _bad_key("Idempotency-Key: it was used for another body; send a new key with a new body")
    return Response(earlier.answer, headers=REPLAYED, media_type="application/json")


async def _first_ids(
    tx: Transaction, account_id: int, drafts: Sequence[Draft], ids: list[bytes], now_ms: int, repeat_ms: int
) -> list[bytes]:
    """For each draft the id of the message that it is: its own, or that of the first of which it is a repeat."""
    if repeat_ms == 0:
        return ids
    sent = list(zip(map(_digest, drafts), ids, strict=True))
    earlier = await repeats.remember(tx, account_id, sent, now_ms, now_ms - repeat_ms)
    if not earlier:
        return ids
    return [earlier.get(digest, id_) for digest, id_ in sent]


def _digest(draft: Draft) -> bytes:
    """Over all that makes two messages the same. A tuple, for orjson takes ten times as long over a dataclass."""
    content = draft.content
    said = (
        draft.tracking_id,
        draft.sender,
        draft.phone,
        draft.type,
        content.text,
        None if content.is_text else content,
        draft.ttl_s,
        draft.route,
        draft.scheduled_at_ms,
        draft.wishes,
        draft.variables,
    )
    return blake2b(orjson.dumps(said), digest_size=16).digest()


async def _begin(
    tx: Transaction,
    account_id: int,
    way: Way,
    wanted: Sequence[Wanted],
    numbers: Sequence[int],
    era: int,
    called: Called | None,
) -> list[NewMessage]:
    """The messages as they are stored: what is due now already stands in the lane of its first usable step."""
    planner, bot_links, now_ms = way
    known = {}
    if bot_links:
        known = await subscribers.addresses(tx, account_id, bot_links, {draft.phone for _, _, draft in wanted})
    unwilling = await optouts.among(tx, account_id, _phones_of_advertising(wanted))
    new = []
    for (_, id_, draft), batch_id in zip(wanted, numbers, strict=True):
        addresses = known.get(draft.phone, NO_ADDRESSES)
        if called is not None and draft.type is MessageType.FLASHCALL:
            plan = called.plan(Key(account_id, id_), draft, planner.plan(draft))
            message, entries = planner.start(draft, plan, addresses)
        else:
            plan, (message, entries) = planner.begin(draft, addresses)
        if unwilling and draft.phone in unwilling and draft.type.is_advertising:
            message, entries = planner.refuse(draft, plan)
        content = draft.content
        new.append(
            NewMessage(
                Key(account_id, id_),
                draft.tracking_id,
                draft.sender,
                draft.phone,
                content.text,
                None if content.is_text and not plan.variants else encode_extras(content, plan.variants),
                now_ms,
                message,
                entries,
                batch_id,
                era,
            )
        )
    return new


def _phones_of_advertising(wanted: Sequence[Wanted]) -> set[str]:
    return {draft.phone for _, _, draft in wanted if draft.type.is_advertising}


def _hinted(wanted: Sequence[Wanted], hints: ReplyHints) -> Sequence[Wanted]:
    """The same drafts; surveys tell how they are answered by SMS."""
    if not any(draft.content.options for _, _, draft in wanted):
        return wanted
    return [(place, id_, _with_hint(draft, hints) if draft.content.options else draft) for place, id_, draft in wanted]


def _with_hint(draft: Draft, hints: ReplyHints) -> Draft:
    content = draft.content
    said = " ".join((content.text, *content.options))
    return replace(draft, content=replace(content, reply_hint=hints.of(said, len(content.options))))


def _tagged(account_id: int, wanted: Sequence[Wanted]) -> list[Tagged]:
    return [
        Tagged(account_id, tag, id_)
        for _, id_, draft in wanted
        if draft.wishes is not None
        for tag in draft.wishes.tags
    ]


async def _preview(parts: Parts, asked: Asked, batch: Batch) -> Response:
    """What would become of each message. The short links in its texts are samples."""
    account_id = asked.caller.account.id
    way = asked.way(parts.prices, asked.now_ms)
    ids = new_ids(asked.now_ms, len(batch.drafts))
    wanted: Sequence[Wanted] = list(zip(batch.places, ids, batch.drafts, strict=True))
    async with parts.database.reading() as reader:
        wanted, _ = await fill(reader, account_id, wanted, parts.link_rules, asked.now_ms)
        wanted = _hinted(wanted, parts.reply_hints)
        phones = {draft.phone for draft in batch.drafts}
        known = await subscribers.addresses(reader, account_id, way.bot_links, phones)
        unwilling = await optouts.among(reader, account_id, _phones_of_advertising(wanted))
    shown = []
    for _, _, draft in wanted:
        plan, (message, _) = way.planner.begin(draft, known.get(draft.phone, NO_ADDRESSES))
        if unwilling and draft.phone in unwilling and draft.type.is_advertising:
            message, _ = way.planner.refuse(draft, plan)
        shown.append(preview.describe(draft, plan, message, parts.fittings, parts.currency))
    return Response(_whole(shown, batch), media_type="application/json")


async def _who_calls(
    tx: Transaction, parts: Parts, account_id: int, ids: list[bytes], batch: Batch
) -> Mapping[bytes, dict[str, str]]:
    """What is told of the flash calls among the messages, repeats of earlier ones included."""
    wanted = [id_ for id_, draft in zip(ids, batch.drafts, strict=True) if draft.type is MessageType.FLASHCALL]
    return await callers.shown(tx, account_id, parts.flashcalls, wanted) if wanted else {}


def _answer(ids: list[bytes], batch: Batch, who_calls: Mapping[bytes, dict[str, str]]) -> bytes:
    sent = [
        {"messageId": str(uuid_utils.UUID(bytes=id_)), "trackinId": draft.tracking_id}
        for id_, draft in zip(ids, batch.drafts, strict=True)
    ]
    if who_calls:
        sent = [answer | who_calls.get(id_, {}) for id_, answer in zip(ids, sent, strict=True)]
    return _whole(sent, batch)


def _whole(good: list[dict[str, Any]], batch: Batch) -> bytes:
    """What is said of each message, in the order of the request."""
    if not batch.ignored and not batch.refused:
        return orjson.dumps(good)
    answer = dict(zip(batch.places, good, strict=True))
    for place, names in batch.ignored.items():
        if place in answer:
            answer[place]["ignored"] = names
    for place, refused in batch.refused.items():
        answer[place] = {"trackinId": refused.tracking_id, "error": error_object(refused.faults)}
    return orjson.dumps([answer[place] for place in sorted(answer)])
