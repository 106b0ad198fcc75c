"""`GET /v1/statistics`: what an account's messages came to, by hour or day."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, NotRequired

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field
from typing_extensions import TypedDict

from cascade.api.access import ReadCaller
from cascade.api.answers import json_answer, money
from cascade.api.faults import ErrorCode, Fault, InvalidRequest
from cascade.api.openapi import refusals
from cascade.api.parts import Parts
from cascade.api.v1.messages import Wanted
from cascade.api.validation import check_once
from cascade.core.message import Status
from cascade.core.times import iso
from cascade.core.words import Channel, MessageType
from cascade.store import queries
from cascade.store.queries import DAY_MS, HOUR_MS, Sums

router = APIRouter(prefix="/v1/statistics", tags=["Statistics"])
MOST_GROUPS: Final = 10_000


INTERVALS_MS: Final = {"hour": HOUR_MS, "day": DAY_MS}
DEFAULT_SPAN_MS: Final = {"hour": DAY_MS, "day": 7 * DAY_MS}
LONGEST_SPAN_MS: Final = {"hour": 31 * DAY_MS, "day": 366 * DAY_MS}


class StatisticsQuery(Wanted):
    """`from` absent: the last day by hours, the last week by days."""

    interval: Literal["hour", "day"] = "day"
    by: list[Literal["channel", "status", "type", "tag"]] = Field([], max_length=4)


class Group(TypedDict):
    """`at`: when its hour or day began, UTC. `doubles`: deliveries after the first one of a message."""

    at: str
    channel: NotRequired[Annotated[Channel | None, Field(description="The one that delivered; only by channel")]]
    status: NotRequired[Annotated[Status, Field(description="Only by status")]]
    type: NotRequired[Annotated[MessageType, Field(description="Only by type")]]
    tag: NotRequired[Annotated[str, Field(description="Only by tag")]]
    messages: int
    scheduled: int
    processing: int
    delivered: int
    undeliverable: int
    permanenterror: int
    deliveredShare: float
    cost: Annotated[float, Field(description="All that its messages were charged, on any channel")]
    doubles: int


Statistics = TypedDict("Statistics", {"from": str, "to": str, "rateCurrency": str, "groups": list[Group]})


@router.get("", summary="Counts, delivered share, cost and doubles", response_model=Statistics, responses=refusals(400))
async def statistics(query: Annotated[StatisticsQuery, Query()], request: Request, caller: ReadCaller) -> Response:
    """One group for each hour or day of acceptance (UTC) and each value of what `by` names. By tag, a message counts
    once under each of its tags."""
    check_once(request, "by")
    parts: Parts = request.app.state.parts
    by = list(dict.fromkeys(query.by))
    to_ms = parts.now_ms() + 1 if query.to is None else query.to
    from_ms = to_ms - DEFAULT_SPAN_MS[query.interval] if query.from_ is None else query.from_
    if to_ms - from_ms > LONGEST_SPAN_MS[query.interval]:
        days = LONGEST_SPAN_MS[query.interval] // DAY_MS
        raise _refused(f"from: ask for at most {days} days at once by {query.interval}", "from")
    wanted = query.filter()._replace(from_ms=from_ms, to_ms=to_ms)
    async with parts.database.cold_reading() as reader:
        groups = await queries.sums(
            reader,
            caller.account_id,
            wanted,
            interval_ms=INTERVALS_MS[query.interval],
            by=by,
            limit=MOST_GROUPS + 1,
        )
    if len(groups) > MOST_GROUPS:
        raise _refused(f"by: that makes more than {MOST_GROUPS} groups; ask for a shorter time or less at once", "by")
    return json_answer(
        {
            "from": iso(from_ms),
            "to": iso(to_ms),
            "rateCurrency": parts.currency,
            "groups": [_group(sums, by) for sums in groups],
        }
    )


def _refused(message: str, field: str) -> InvalidRequest:
    return InvalidRequest([Fault(ErrorCode.INVALID_FIELD, message, field)])


def _group(sums: Sums, by: Sequence[str]) -> dict[str, Any]:
    return {
        "at": iso(sums.at_ms),
        **dict(zip(by, sums.group, strict=True)),
        "messages": sums.messages,
        **{status.value: number for status, number in sums.by_status.items()},
        "deliveredShare": round(sums.by_status[Status.DELIVERED] / sums.messages, 4),
        "cost": money(sums.cost_micros),
        "doubles": sums.doubles,
    }
