"""`/v1/tags/{tag}`: cancel, hasten or reschedule all messages of a tag."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Request, Response
from typing_extensions import TypedDict

from cascade.api.access import SendCaller
from cascade.api.answers import json_answer
from cascade.api.openapi import body_of, refusals
from cascade.api.parts import Parts
from cascade.api.v1 import changes
from cascade.api.v1.changes import Change, Reschedule
from cascade.api.v1.fields import Name
from cascade.store import tags
from cascade.store.ids import first_id

router = APIRouter(prefix="/v1/tags", tags=["Messages"])
Tag = Annotated[Name, Path()]
SET: Final = 250
"""Messages changed by one transaction: between two of them, sending goes on."""


class Cancelled(TypedDict):
    """`tooLate`: those that had begun or ended before."""

    cancelled: int
    tooLate: int


class Hastened(TypedDict):
    hastened: int
    tooLate: int


class Rescheduled(TypedDict):
    rescheduled: int
    tooLate: int


@router.post("/{tag}/cancel", summary="Cancel all of a tag", response_model=Cancelled, responses=refusals(400))
async def cancel(tag: Tag, request: Request, caller: SendCaller) -> Response:
    """Those that have not begun, up to now. A request that broke off is repeated without harm."""
    return await _change_all(request, caller.account_id, tag, changes.CANCEL, "cancelled")


@router.post("/{tag}/hasten", summary="Send all of a tag now", response_model=Hastened, responses=refusals(400))
async def hasten(tag: Tag, request: Request, caller: SendCaller) -> Response:
    """Those that have not begun, up to now; each time to live moves along."""
    return await _change_all(request, caller.account_id, tag, changes.HASTEN, "hastened")


@router.post(
    "/{tag}/reschedule",
    summary="Send all of a tag at another time",
    response_model=Rescheduled,
    responses=refusals(400),
    openapi_extra=body_of(Reschedule, changes.RESCHEDULE_EXAMPLE),
)
async def reschedule(tag: Tag, request: Request, caller: SendCaller) -> Response:
    """Those that have not begun, up to now; at most 30 days ahead, and a time in the past means now."""
    change = await changes.read_reschedule(request)
    return await _change_all(request, caller.account_id, tag, change, "rescheduled")


async def _change_all(request: Request, account_id: int, tag: str, change: Change, done: str) -> Response:
    parts: Parts = request.app.state.parts
    after_id, before_id = b"", first_id(parts.now_ms() + 1)
    changed = 0
    while True:
        async with parts.database.cold_reading(newest=True) as reader:
            keys = await tags.not_begun(reader, account_id, tag, after_id, before_id, SET)
        if not keys:
            break
        changed += await changes.make(parts, keys, change)
        after_id = keys[-1].id
    async with parts.database.cold_reading(newest=True) as reader:
        known = await tags.count(reader, account_id, tag, before_id)
    return json_answer({done: changed, "tooLate": known - changed})
