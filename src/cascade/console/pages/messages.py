"""Messages: found by what one knows of them, and one with all that happened to it."""

import asyncio
import re
import time
import uuid
from typing import Any, Final, NamedTuple

from starlette.responses import Response

from cascade.channels.fitting import Change
from cascade.console.page import NotFoundError, Page, RefusedError, int_or_missing
from cascade.core import content, machine
from cascade.core.content import Said
from cascade.core.directory import Account
from cascade.core.machine import Event
from cascade.core.message import Message, Status
from cascade.core.timeline import Mark
from cascade.core.words import Channel, MessageType
from cascade.store import decisions, deliveries, messages, queries, short_links, surveys, webhooks
from cascade.store.database import Reader
from cascade.store.decisions import News
from cascade.store.deliveries import State as DeliveryState
from cascade.store.ids import LATEST_MS
from cascade.store.messages import Key, Record
from cascade.store.queries import DAY_MS, Filter, Summary

LENGTH: Final = 50
PATIENCE_S: Final = 5.0
"""What was found by then is shown: a rare status among a million messages is not searched for longer."""
QUICK_S: Final = 0.5
"""A search that takes longer is not repeated by itself."""
MOST_EXPORTED: Final = 1_000_000
"""About as many rows as a sheet of a spreadsheet has."""
MOST_TOLD: Final = 100
"""Deliveries that the page of a message shows."""
PHONE: Final = re.compile(r"\+?[0-9][0-9 ()-]{6,20}")
SPANS_MS: Final = {"day": DAY_MS, "week": 7 * DAY_MS, "month": 30 * DAY_MS, "ever": LATEST_MS}
GOOD: Final = {Mark.DELIVERED, Mark.READ, Mark.PART_DELIVERED}
WORSE: Final = {Mark.RETRY, Mark.UNKNOWN, Mark.TIMED_OUT, Mark.DOUBLE, Mark.SKIPPED}
WORST: Final = {Mark.REJECTED, Mark.FAILED, Mark.EXPIRED, Mark.CANCELLED}


class Found(NamedTuple):
    """One line of the list."""

    account_id: int
    summary: Summary

    @property
    def id(self) -> str:
        return str(uuid.UUID(bytes=self.summary.id))


async def search(page: Page) -> Response:
    return page.render("messages.html", **await _search(page))


async def live(page: Page) -> Response:
    return page.render("messages_list.html", **await _search(page))


class Sought(NamedTuple):
    """What the list's address asks for. `named` is the account that it names; with the `id` of a message nothing else
    counts."""

    accounts: list[Account]
    named: Account | None
    words: str
    span: str
    filter: Filter
    id: bytes | None
    is_national: bool

    async def of(self, reader: Reader, account_id: int, before_id: bytes | None, limit: int) -> list[Summary]:
        """An account's messages, the newest first."""
        if self.id is not None:
            return list((await queries.by_ids(reader, account_id, [self.id])).values())
        return await queries.find(reader, account_id, self.filter, before_id, limit)


def sought(page: Page) -> Sought:
    given = page.request.query_params
    wanted = given.get("q", "").strip()
    span = given.get("span", "week")
    span = span if span in SPANS_MS else "week"
    from_ms = max(page.parts.now_ms() - SPANS_MS[span], 0)
    filter_ = Filter(
        from_ms=from_ms,
        status=_one_of(Status, given.get("status")),
        channel=_one_of(Channel, given.get("channel")),
        type=_one_of(MessageType, given.get("type")),
        tag=given.get("tag", "").strip() or None,
    )
    named = [one for one in page.parts.directory().accounts.values() if str(one.id) == given.get("account")]
    id_ = as_id(wanted)
    is_national = False
    if wanted and id_ is None:
        phone = as_phone(wanted)
        is_national = phone is not None and phone.startswith("+0")
        filter_ = filter_._replace(phone=phone, tracking_id=None if phone else wanted)
    return Sought(named or page.accounts, named[0] if named else None, wanted, span, filter_, id_, is_national)


async def _search(page: Page) -> dict[str, Any]:
    wanted = sought(page)
    before_id = as_id(page.request.query_params.get("before", ""))
    found: list[Found] = []
    is_cut = False
    begun_s = time.monotonic()
    try:
        async with asyncio.timeout(PATIENCE_S), page.parts.database.cold_reading() as reader:
            for account in wanted.accounts:
                some = await wanted.of(reader, account.id, before_id, LENGTH + 1)
                found += [Found(account.id, summary) for summary in some]
    except TimeoutError:
        is_cut = True
    found.sort(key=lambda one: one.summary.id, reverse=True)
    return {
        "found": found[:LENGTH],
        "before": found[LENGTH - 1].id if len(found) > LENGTH else None,
        "is_first": before_id is None,
        "is_cut": is_cut,
        "is_national": wanted.is_national,
        "is_quick": time.monotonic() - begun_s < QUICK_S,
        "most_exported": MOST_EXPORTED,
        "q": wanted.words,
        "account_id": wanted.named.id if wanted.named else None,
        "span": wanted.span,
        "spans": list(SPANS_MS),
        "filter": wanted.filter,
        "statuses": list(Status),
        "types": list(MessageType),
        "channels": list(Channel),
    }


def as_phone(wanted: str) -> str | None:
    """What people write as a phone, as it is stored; None: it is none."""
    digits = re.sub(r"[ ()-]", "", wanted)
    is_phone = PHONE.fullmatch(wanted) is not None and (wanted.startswith("+") or len(digits) >= 10)
    return f"+{digits.removeprefix('00').lstrip('+')}" if is_phone else None


def _one_of(kind: Any, value: str | None) -> Any:
    return kind(value) if value in list(kind) else None


def as_id(text: str) -> bytes | None:
    """A message's id as a UUID is written; None: it is none."""
    try:
        return uuid.UUID(text).bytes if len(text) in (32, 36) else None
    except ValueError:
        return None


class Told(NamedTuple):
    """One entry of a timeline. `changes`: what the channel made of the content, which is its detail then. `tone`: how
    good it is."""

    at_ms: int
    channel: str | None
    attempt: int
    mark: str
    reason: str | None
    detail: str | None
    changes: tuple[str, ...]
    provider_id: str | None
    tone: str


class Stage(NamedTuple):
    """One step of the message's route, as it stands. `links`: see `links_of`. `said` is what a person there sees; None:
    it cannot be shown."""

    channel: Channel
    links: tuple[str, ...]
    window_s: int | None
    cost_micros: int
    state: str
    said: Said | None
    text: str
    changes: tuple[str, ...]


async def show(page: Page) -> Response:
    return page.render("message.html", **await _message(page))


async def show_live(page: Page) -> Response:
    return page.render("message_live.html", **await _message(page))


async def _message(page: Page) -> dict[str, Any]:
    key = _key(page)
    async with page.parts.database.reading() as reader:
        record = await messages.record(reader, key)
        if record is None:
            raise NotFoundError
        said = await queries.said(reader, *key)
        clicks = await short_links.of_message(reader, key)
        answers = await surveys.answers(reader, key) if record.message.type is MessageType.VIBER_SURVEY else []
        hooks = {one.id: one for one in await webhooks.of_account(reader, key.account_id)}
        told = await deliveries.of_message(reader, *key, MOST_TOLD) if hooks else []
        told = [one for one in told[::-1] if one.webhook_id in hooks]  # one may have been added just now
    text, extras = said or ("", None)
    return {
        "key": key,
        "id": str(uuid.UUID(bytes=key.id)),
        "record": record,
        "timeline": [_told(record, entry) for entry in record.entries],
        "stages": _stages(page, record, text, extras),
        "clicks": clicks,
        "answers": answers,
        "text": text,
        "webhooks": hooks,
        "told": told,
        "most_told": MOST_TOLD,
        "is_settled": record.message.is_final and all(one.state is not DeliveryState.PENDING for one in told),
    }


def _key(page: Page) -> Key:
    given = page.request.path_params
    id_ = as_id(given["id"])
    account_id = int_or_missing(given, "account_id")
    if id_ is None or account_id not in page.parts.directory().accounts:
        raise NotFoundError
    return Key(account_id, id_)


def _told(record: Record, entry: Any) -> Told:
    route = record.message.route
    tone = "good" if entry.mark in GOOD else "worse" if entry.mark in WORSE else "worst" if entry.mark in WORST else ""
    return Told(
        entry.at_ms,
        route[entry.step].channel.value if 0 <= entry.step < len(route) else None,
        entry.attempt,
        entry.mark.value,
        entry.reason.value if entry.reason else None,
        entry.detail,
        tuple(change for change in (entry.detail or "").split(",") if change in list(Change)),
        entry.provider_id,
        tone,
    )


def _stages(page: Page, record: Record, text: str, extras: str | None) -> list[Stage]:
    message = record.message
    stages = []
    for place, step in enumerate(message.route):
        said = content.for_step(text, extras, place)
        fitting = page.parts.fittings.get(step.channel)
        fitted = fitting(said.content, said.type or message.type) if fitting is not None else None
        stages.append(
            Stage(
                step.channel,
                links_of(message, place),
                step.window_s,
                step.cost_micros,
                _stage(record, place),
                said,
                fitted.text if fitted is not None else said.content.text,
                tuple(change.value for change in fitted.changes) if fitted is not None else (),
            )
        )
    return stages


def links_of(message: Message, place: int) -> tuple[str, ...]:
    """The one that has the message; of a step that is over or to come, all that could carry it."""
    if place == message.step and message.link is not None:
        return (message.link,)
    step = message.route[place]
    return () if step.link is None else (step.link, *step.others)


def _stage(record: Record, place: int) -> str:
    """What became of one step."""
    message = record.message
    marks = {entry.mark for entry in record.entries if entry.step == place}
    if message.delivered_step == place and message.status is Status.DELIVERED:
        return "delivered"
    if Mark.SKIPPED in marks:
        return "skipped"
    if place > message.step:
        return "unused" if message.is_final else "next"
    if place == message.step and not message.is_final:
        return "now"
    return "passed"


async def cancel(page: Page) -> Response:
    now_ms = page.parts.now_ms()
    return await _change(page, machine.Cancelled(now_ms), "message_cancelled")


async def hasten(page: Page) -> Response:
    """Send now what waits for its hour."""
    now_ms = page.parts.now_ms()
    return await _change(page, machine.Rescheduled(now_ms, now_ms), "message_hastened")


async def _change(page: Page, event: Event, action: str) -> Response:
    key = _key(page)
    async with page.parts.database.transaction() as tx:
        known = await messages.load(tx, [key])
        if key not in known:
            raise NotFoundError
        if known[key].message.has_begun:
            raise RefusedError("message.too_late")
        await decisions.apply(tx, [News(key, event)], known)
        await page.audit(tx, action, str(uuid.UUID(bytes=key.id)), key.account_id)
    return page.go(f"/messages/{key.account_id}/{uuid.UUID(bytes=key.id)}", action)
