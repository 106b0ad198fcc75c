"""`/v1/subscribers`: whom the account's bots can write to."""

from typing import Annotated, Any, Final, NotRequired

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from cascade.api.access import Caller, ReadCaller, SendCaller
from cascade.api.answers import json_answer
from cascade.api.faults import ErrorCode, Fault, InvalidRequest, RequestError
from cascade.api.openapi import refusals
from cascade.api.parts import Parts
from cascade.api.v1 import cursor
from cascade.api.v1.fields import Cursor, Limit, Phone
from cascade.api.validation import check_once
from cascade.core.directory import Bot
from cascade.core.times import iso
from cascade.core.words import Channel
from cascade.store import queries, subscribers
from cascade.store.queries import DirectoryEntry

router = APIRouter(prefix="/v1/subscribers", tags=["Subscribers"])
LIST: Final = "subscribers"


class WhichBots(BaseModel):
    """Absent: every bot of the account."""

    model_config = ConfigDict(extra="forbid")

    link: Annotated[str, Field(max_length=255, description="One bot, by the `link` of `GET /v1/channels`")] | None = (
        None
    )
    channel: Channel | None = None


class ListQuery(WhichBots):
    phone: Phone | None = None
    cursor: Cursor | None = None
    limit: Limit = 100


class SubscriberShown(TypedDict):
    link: str
    channel: Channel
    phone: str
    address: Annotated[str, Field(description="The chat id or Viber user id")]
    profile: Annotated[dict[str, Any], Field(description="What else was told of the person")]
    updatedAt: str
    stoppedAt: NotRequired[Annotated[str, Field(description="Since when the person has left or blocked the bot")]]


class Page(TypedDict):
    subscribers: list[SubscriberShown]
    nextCursor: Annotated[str | None, Field(description="Null: there is no more")]


class Deleted(TypedDict):
    deleted: Annotated[int, Field(description="Entries: one for each bot that had the phone")]


@router.get("", summary="List the bots' subscribers", response_model=Page, responses=refusals(400))
async def list_subscribers(query: Annotated[ListQuery, Query()], request: Request, caller: ReadCaller) -> Response:
    """Bot by bot, by phone. Take `nextCursor` with the same filters for the next page."""
    check_once(request)
    parts: Parts = request.app.state.parts
    bots = _bots(parts, caller, query)
    after = None
    if query.cursor is not None:
        link, _, phone = cursor.decode(LIST, query.cursor).decode(errors="replace").rpartition(" ")
        after = (link, phone)
    async with parts.database.cold_reading() as reader:
        found = await queries.subscribers(reader, caller.account_id, sorted(bots), query.phone, after, query.limit + 1)
    page = found[: query.limit]
    next_cursor = None
    if len(found) > query.limit:
        next_cursor = cursor.encode(LIST, f"{page[-1].link} {page[-1].phone}".encode())
    return json_answer({"subscribers": [_show(entry, bots[entry.link]) for entry in page], "nextCursor": next_cursor})


@router.delete(
    "/{phone}", summary="Forget a person at the account's bots", response_model=Deleted, responses=refusals(400, 404)
)
async def delete_subscriber(
    phone: Annotated[Phone, Path()], query: Annotated[WhichBots, Query()], request: Request, caller: SendCaller
) -> Response:
    """Messages to this phone then pass the bots over, until the person writes to one again or is told anew."""
    check_once(request)
    parts: Parts = request.app.state.parts
    bots = _bots(parts, caller, query)
    async with parts.database.transaction() as tx:
        deleted = await subscribers.remove(tx, caller.account_id, bots, phone)
    if not deleted:
        raise RequestError(404, ErrorCode.NOT_FOUND, "No bot of this account knows this phone")
    return json_answer({"deleted": deleted})


def _bots(parts: Parts, caller: Caller, query: WhichBots) -> dict[str, Bot]:
    """The account's bots that are meant, by link."""
    own = {bot.link: bot for bot in parts.directory().bots if bot.account_id == caller.account_id}
    if query.link is not None and query.link not in own:
        message = "link is no bot of this account: GET /v1/channels names them"
        raise InvalidRequest([Fault(ErrorCode.INVALID_FIELD, message, "link")])
    return {
        link: bot for link, bot in own.items() if query.link in (None, link) and query.channel in (None, bot.channel)
    }


def _show(entry: DirectoryEntry, bot: Bot) -> dict[str, Any]:
    shown = {
        "link": entry.link,
        "channel": bot.channel.value,
        "phone": entry.phone,
        "address": entry.address,
        "profile": orjson.loads(entry.profile),
        "updatedAt": iso(entry.updated_at_ms),
    }
    return shown if entry.stopped_at_ms is None else shown | {"stoppedAt": iso(entry.stopped_at_ms)}
