"""The directories of the bots: who can be written to, told by the client (contract, section 4)."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from cascade.api.access import SendCaller
from cascade.api.body import read_body
from cascade.api.faults import ErrorCode, Fault, InvalidRequest, RequestError
from cascade.api.openapi import one_or_many, refusals
from cascade.api.parts import Parts
from cascade.core.words import Channel
from cascade.store import subscribers
from cascade.store.subscribers import Subscriber

router = APIRouter(prefix="/api", tags=["Subscribers"])

MOST = 5_000
Text = Annotated[str, Field(max_length=255)]
Phone = Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}\z")]
Address = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[!-~]+\z")]


class TelegramUser(BaseModel):
    """`id` is the chat id, as a number or a text."""

    model_config = ConfigDict(extra="ignore")

    id: Annotated[int, Field(strict=True)] | Address
    phone: Phone
    firstName: Text | None = None  # noqa: N815 - the contract's spelling
    lastName: Text | None = None  # noqa: N815
    userName: Text | None = None  # noqa: N815
    languageCode: Text | None = None  # noqa: N815


class ViberUser(BaseModel):
    """`id` is the user's id with this bot."""

    model_config = ConfigDict(extra="ignore")

    id: Address
    phone: Phone
    name: Text | None = None
    country: Text | None = None
    language: Text | None = None
    avatar: Annotated[str, Field(max_length=2048)] | None = None


MUST = {
    "id": "must be 1 to 64 visible ASCII characters; Telegram's may be an integer",
    "phone": "must be E.164 with the plus: + and 7 to 15 digits",
    "avatar": "must be a string of at most 2048 characters",
}
TEXT_MUST = "must be a string of at most 255 characters"
TELEGRAM = TypeAdapter(list[TelegramUser])
VIBER = TypeAdapter(list[ViberUser])


@router.post(
    "/tg_bot/{token}",
    summary="Tell a Telegram bot's subscribers",
    responses=refusals(400, 404),
    openapi_extra=one_or_many(TelegramUser, MOST, {"id": 501112233, "phone": "+380501112233", "firstName": "Olena"}),
)
async def put_telegram(token: str, request: Request, caller: SendCaller) -> dict[str, int]:
    """An object or an array of up to 5,000. A phone that is known gets its new chat id."""
    return await _put(request, caller.account_id, Channel.TELEGRAM_BOT, token, TELEGRAM)


@router.post(
    "/viber_bot/{token}",
    summary="Tell a Viber bot's subscribers",
    responses=refusals(400, 404),
    openapi_extra=one_or_many(ViberUser, MOST, {"id": "01234567890A=", "phone": "+380501112233", "name": "Olena"}),
)
async def put_viber(token: str, request: Request, caller: SendCaller) -> dict[str, int]:
    """An object or an array of up to 5,000. A phone that is known gets its new user id."""
    return await _put(request, caller.account_id, Channel.VIBER_BOT, token, VIBER)


async def _put(
    request: Request, account_id: int, channel: Channel, token: str, schema: TypeAdapter[Any]
) -> dict[str, int]:
    parts: Parts = request.app.state.parts
    bot = parts.directory().bot_of_token(channel, token)
    if bot is None or bot.account_id != account_id:
        raise RequestError(404, ErrorCode.NOT_FOUND, "No such bot of this account: check the token in the path")
    body = await read_body(request, parts.limits.max_body_bytes)
    users = _read(body, schema)
    rows = [
        Subscriber(user.phone, str(user.id), user.model_dump_json(exclude={"id", "phone"}, exclude_none=True))
        for user in users
    ]
    async with parts.database.transaction() as tx:
        await subscribers.put(tx, account_id, bot.link, rows, parts.now_ms())
    return {"stored": len(rows)}


def _read(body: bytes, schema: TypeAdapter[Any]) -> list[Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, ErrorCode.INVALID_JSON, f"The body is not JSON: {error}") from None
    if isinstance(value, dict):
        value = [value]
    if isinstance(value, list) and len(value) > MOST:
        raise RequestError(400, ErrorCode.BATCH_TOO_LARGE, f"Send at most {MOST} subscribers at once")
    try:
        users: list[Any] = schema.validate_python(value)
    except ValidationError as error:
        faults = [_fault(one) for one in error.errors(include_url=False, include_input=False)]
        raise InvalidRequest([*dict.fromkeys(faults)]) from None  # an id that is neither number nor text is one fault
    return users


def _fault(error: Any) -> Fault:
    index, field = [*error["loc"], None, None][:2]
    if index is None:
        return Fault(ErrorCode.INVALID_FIELD, "The body must be a subscriber, an object, or an array of them")
    if field is None:
        return Fault(ErrorCode.INVALID_FIELD, "A subscriber must be an object with id and phone", None, index)
    must = MUST.get(field, TEXT_MUST)
    if error["type"] == "missing":
        return Fault(ErrorCode.MISSING_FIELD, f"{field} is required: it {must}", field, index)
    if field == "phone":
        return Fault(ErrorCode.INVALID_PHONE, "Invalid phone number format", field, index)
    return Fault(ErrorCode.INVALID_FIELD, f"{field} {must}", field, index)
