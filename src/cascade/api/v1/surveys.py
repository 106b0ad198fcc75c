"""`/v1/surveys/{survey}`: what people answered, of one message or of all messages of a tag."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import Field
from typing_extensions import TypedDict

from cascade.api.access import ReadCaller
from cascade.api.answers import json_answer
from cascade.api.faults import ErrorCode, RequestError
from cascade.api.openapi import refusals
from cascade.api.parts import Parts
from cascade.api.status import key_of
from cascade.api.v1.fields import Name
from cascade.core.message import Status
from cascade.core.words import Channel, MessageType
from cascade.store import messages, surveys
from cascade.store.database import Reader
from cascade.store.surveys import Asked, Chosen, Standing

router = APIRouter(prefix="/v1/surveys", tags=["Surveys"])


class OptionShown(TypedDict):
    """`number` is its place in the list that people saw, counted from 1."""

    number: int
    option: str
    answers: int
    share: Annotated[float, Field(description="Of all answers that count")]
    channels: Annotated[dict[Channel, int], Field(description="How many came by way of each")]


class Results(TypedDict):
    survey: str
    asked: Annotated[int, Field(description="Messages")]
    delivered: int
    answered: Annotated[int, Field(description="The first answer to each message counts")]
    repeated: Annotated[int, Field(description="Further answers, which change nothing")]
    late: Annotated[int, Field(description="Answers after the message's time to live, which change nothing")]
    options: list[OptionShown]


@router.get("/{survey}", summary="Results of a survey", response_model=Results, responses=refusals(400, 404))
async def results(survey: Annotated[Name, Path()], request: Request, caller: ReadCaller) -> Response:
    """By messageId, or by the tag that its messages were sent with. One result, whatever the channels."""
    parts: Parts = request.app.state.parts
    async with parts.database.cold_reading() as reader:
        found = await _of_message(reader, caller.account_id, survey) or await _of_tag(reader, caller.account_id, survey)
    if found is None:
        raise RequestError(404, ErrorCode.NOT_FOUND, "No survey has this messageId or tag")
    return json_answer({"survey": survey, **found})


async def _of_message(reader: Reader, account_id: int, survey: str) -> dict[str, Any] | None:
    key = key_of(account_id, survey)
    record = None if key is None else await messages.record(reader, key)
    if record is None or record.message.type is not MessageType.VIBER_SURVEY:
        return None
    answers = await surveys.answers(reader, record.key)
    options = (await surveys.options(reader, account_id, [record.key.id]))[record.key.id]
    counted = [one for one in answers if one.standing is Standing.COUNTED]
    others = {standing: sum(one.standing is standing for one in answers) for standing in Standing}
    chosen = [Chosen(one.option, one.place, one.channel, 1) for one in counted]
    return _show(Asked(1, int(record.message.status is Status.DELIVERED), options), chosen, others)


async def _of_tag(reader: Reader, account_id: int, tag: str) -> dict[str, Any] | None:
    asked = await surveys.asked(reader, account_id, tag)
    if not asked.messages:
        return None
    chosen = await surveys.chosen(reader, account_id, tag)
    return _show(asked, chosen, await surveys.others(reader, account_id, tag))


def _show(asked: Asked, chosen: Sequence[Chosen], others: dict[Standing, int]) -> dict[str, Any]:
    """Every option of the newest message, and those of older ones that somebody chose."""
    answered = sum(one.number for one in chosen)
    places = {one.option: one.place for one in chosen} | {option: place for place, option in enumerate(asked.options)}
    options = []
    for option, place in sorted(places.items(), key=lambda item: (item[1], item[0])):
        channels = {one.channel.value: one.number for one in chosen if one.option == option}
        number = sum(channels.values())
        options.append(
            {
                "number": place + 1,
                "option": option,
                "answers": number,
                "share": round(number / answered, 4) if answered else 0.0,
                "channels": channels,
            }
        )
    return {
        "asked": asked.messages,
        "delivered": asked.delivered,
        "answered": answered,
        "repeated": others.get(Standing.REPEATED, 0),
        "late": others.get(Standing.LATE, 0),
        "options": options,
    }
