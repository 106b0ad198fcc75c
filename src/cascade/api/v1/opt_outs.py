"""`/v1/opt-outs`: who wants no more advertising from the account."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from cascade.api.access import ReadCaller, SendCaller
from cascade.api.answers import json_answer
from cascade.api.faults import ErrorCode, RequestError
from cascade.api.openapi import refusals
from cascade.api.parts import Parts
from cascade.api.v1 import cursor
from cascade.api.v1.fields import Cursor, Limit, Phone
from cascade.api.validation import check_once
from cascade.core.times import iso
from cascade.store import optouts
from cascade.store.optouts import OptOut

router = APIRouter(prefix="/v1/opt-outs", tags=["Opt-outs"])
LIST: Final = "opt-outs"


class ListQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    phone: Phone | None = None
    cursor: Cursor | None = None
    limit: Limit = 100


class OptOutShown(TypedDict):
    phone: str
    link: Annotated[str | None, Field(description="Where the person said so; null: the account entered it")]
    since: str


class Page(TypedDict):
    optOuts: list[OptOutShown]
    nextCursor: Annotated[str | None, Field(description="Null: there is no more")]


class Deleted(TypedDict):
    deleted: int


@router.get("", summary="List opt-outs", response_model=Page, responses=refusals(400))
async def list_opt_outs(query: Annotated[ListQuery, Query()], request: Request, caller: ReadCaller) -> Response:
    """By phone. They get no `promo` and no `viber_survey`: such a message ends with the reason `opted_out`."""
    check_once(request)
    parts: Parts = request.app.state.parts
    after = "" if query.cursor is None else cursor.decode(LIST, query.cursor).decode(errors="replace")
    async with parts.database.cold_reading() as reader:
        found = await optouts.page(reader, caller.account_id, query.phone, after, query.limit + 1)
    page = found[: query.limit]
    next_cursor = cursor.encode(LIST, page[-1].phone.encode()) if len(found) > query.limit else None
    return json_answer({"optOuts": [_show(one) for one in page], "nextCursor": next_cursor})


@router.put("/{phone}", summary="Enter an opt-out", response_model=OptOutShown, responses=refusals(400))
async def enter(phone: Annotated[Phone, Path()], request: Request, caller: SendCaller) -> Response:
    """Of a person who said so elsewhere. What is under way to them is not called back."""
    parts: Parts = request.app.state.parts
    async with parts.database.transaction() as tx:
        await optouts.add(tx, caller.account_id, [OptOut(phone, None, parts.now_ms())])
        [stored] = await optouts.page(tx, caller.account_id, phone, "", 1)
    return json_answer(_show(stored))


@router.delete("/{phone}", summary="Undo an opt-out", response_model=Deleted, responses=refusals(400, 404))
async def undo(phone: Annotated[Phone, Path()], request: Request, caller: SendCaller) -> Response:
    """Only when the person asked for it. One who writes START undoes it without you."""
    parts: Parts = request.app.state.parts
    async with parts.database.transaction() as tx:
        is_deleted = await optouts.remove(tx, caller.account_id, phone)
    if not is_deleted:
        raise RequestError(404, ErrorCode.NOT_FOUND, "This phone has not opted out")
    return json_answer({"deleted": 1})


def _show(one: OptOut) -> dict[str, Any]:
    return {"phone": one.phone, "link": one.link, "since": iso(one.at_ms)}
