"""`/v1/people/{phone}`: erase a person."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import Field
from typing_extensions import TypedDict

from cascade.api.access import AdminCaller
from cascade.api.answers import json_answer
from cascade.api.openapi import refusals
from cascade.api.parts import Parts
from cascade.api.v1.fields import Phone
from cascade.store import erasure
from cascade.store.erasure import Asked

router = APIRouter(prefix="/v1/people", tags=["People"])


class ErasedShown(TypedDict):
    messages: Annotated[int, Field(description="Messages of which counters and costs alone are left")]
    unfinished: Annotated[int, Field(description="Messages under way; they follow when they have ended")]
    subscribers: Annotated[int, Field(description="Entries at the account's bots")]
    events: Annotated[int, Field(description="Events that spoke of these messages or of the person")]
    inbound: Annotated[int, Field(description="What the person told us")]


@router.delete("/{phone}", summary="Erase a person", response_model=ErasedShown, responses=refusals(400))
async def erase_person(phone: Annotated[Phone, Path()], request: Request, caller: AdminCaller) -> Response:
    """All that the account has of this phone. Messages that have not begun are cancelled. Asked again, it finds nothing
    and answers zeros."""
    parts: Parts = request.app.state.parts
    now_ms = parts.now_ms()
    host = request.client.host if request.client else ""
    asked = Asked(f"API key of {caller.account.name}", host, now_ms)
    return json_answer((await erasure.erase(parts.database, caller.account_id, phone, asked, now_ms))._asdict())
