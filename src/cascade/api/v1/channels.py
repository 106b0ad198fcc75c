"""`GET /v1/channels`: the links that carry an account's messages, and how they do."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field
from typing_extensions import TypedDict

from cascade.api.access import ReadCaller
from cascade.api.answers import json_answer
from cascade.api.openapi import refusals
from cascade.api.parts import Parts
from cascade.core.link import LinkState
from cascade.core.times import iso
from cascade.core.words import Channel
from cascade.store import queries
from cascade.store.queries import Waiting

router = APIRouter(prefix="/v1/channels", tags=["Channels"])


class Lane(TypedDict):
    """`oldestDueAt`: since when the first of them could have been sent."""

    queued: int
    oldestDueAt: str | None


class ChannelShown(TypedDict):
    channel: Channel
    link: str
    state: Annotated[Literal["up", "down", "unknown"], Field(description="Unknown: no node serves it now")]
    inFlight: Annotated[
        int | None, Field(description="Your attempts sent and not yet answered; null: another node knows")
    ]
    urgent: Annotated[Lane, Field(description="`transaction` and `flashcall`: they go first")]
    bulk: Lane


class Channels(TypedDict):
    channels: list[ChannelShown]


@router.get("", summary="The account's channels and how they do", response_model=Channels, responses=refusals())
async def list_channels(request: Request, caller: ReadCaller) -> Response:
    """One entry for each bot of the account, and for each link that it shares with others."""
    parts: Parts = request.app.state.parts
    directory = parts.directory()
    links = {bot.link: bot.channel for bot in directory.bots if bot.account_id == caller.account_id}
    links |= {one.link: one.channel for one in directory.shared_with(caller.account_id)}
    states = parts.link_states(caller.account_id)
    async with parts.database.cold_reading() as reader:
        lanes = {(lane.link, lane.is_urgent): lane for lane in await queries.waiting(reader, caller.account_id)}
    return json_answer(
        {
            "channels": [
                {
                    "channel": channel.value,
                    "link": link,
                    **_state(states.get(link)),
                    "urgent": _lane(lanes.get((link, True))),
                    "bulk": _lane(lanes.get((link, False))),
                }
                for link, channel in sorted(links.items(), key=lambda item: (list(Channel).index(item[1]), item[0]))
            ]
        }
    )


def _state(state: LinkState | None) -> dict[str, Any]:
    if state is None:
        return {"state": "unknown", "inFlight": None}
    return {"state": "up" if state.is_up else "down", "inFlight": state.in_flight}


def _lane(lane: Waiting | None) -> dict[str, Any]:
    if lane is None:
        return {"queued": 0, "oldestDueAt": None}
    return {"queued": lane.messages, "oldestDueAt": iso(lane.oldest_due_at_ms)}
