"""`POST /api/items`: values for the placeholders of later texts (contract, section 3)."""

from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from cascade.api.access import SendCaller
from cascade.api.body import read_body
from cascade.api.faults import ErrorCode, Fault, InvalidRequest, RequestError
from cascade.api.message_schema import MAX_TEXT, URL_VALUE, VariableIn, is_sound, variable_of
from cascade.api.openapi import body_of, refusals
from cascade.api.parts import Parts
from cascade.store import variables

router = APIRouter(tags=["Sending"])

MOST: Final = 5_000
EXAMPLE: Final = {
    "variables": [
        {"id": 1, "type": "name", "value": "John"},
        {"id": 4, "type": "short_url", "value": "https://shop.example/sale?utm_source=sms"},
    ]
}
MUST: Final = {
    "id": "must be an integer, or 1 to 64 letters, digits, _ . and -",
    "type": "must be 1 to 32 letters and _",
    "value": f"must be a string of at most {MAX_TEXT} characters, without NUL",
}


class Items(BaseModel):
    """A later value for the same type and id overwrites the earlier one."""

    variables: Annotated[list[VariableIn], Field(min_length=1, max_length=MOST)]


class Stored(BaseModel):
    stored: Annotated[int, Field(examples=[2])]


VARIABLES: Final = TypeAdapter(list[VariableIn])


@router.post(
    "/api/items",
    summary="Store values for placeholders",
    response_model=Stored,
    responses=refusals(400),
    openapi_extra=body_of(Items, EXAMPLE),
)
async def put_items(request: Request, caller: SendCaller) -> dict[str, int]:
    """`%name=1%` in a text becomes the value stored for the type `name` and the id 1, when the message is accepted."""
    parts: Parts = request.app.state.parts
    items = _read(await read_body(request, parts.limits.max_body_bytes))
    async with parts.database.transaction() as tx:
        await variables.put(tx, caller.account_id, map(variable_of, items), parts.now_ms())
    return {"stored": len(items)}


def _read(body: bytes) -> list[VariableIn]:
    """The variables of a body; raises with everything that is wrong with them."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, ErrorCode.INVALID_JSON, f"The body is not JSON: {error.msg}") from None
    if not isinstance(value, dict):
        raise RequestError(400, ErrorCode.INVALID_JSON, 'The body must be an object: {"variables": [{…}]}')
    if "variables" not in value:
        raise InvalidRequest([Fault(ErrorCode.MISSING_FIELD, "variables is required: it is an array", "variables")])
    items = value["variables"]
    if not isinstance(items, list):
        raise InvalidRequest([Fault(ErrorCode.INVALID_FIELD, "variables must be an array of objects", "variables")])
    if not items:
        raise RequestError(400, ErrorCode.BATCH_EMPTY, "variables is empty: send at least one")
    if len(items) > MOST:
        raise RequestError(400, ErrorCode.BATCH_TOO_LARGE, f"Send at most {MOST} variables at once")
    faults = _faults(items)
    if faults:
        raise InvalidRequest(faults)
    return items


def _faults(items: list[Any]) -> list[Fault]:
    """One for each field at fault, in the order of the variables."""
    found: dict[tuple[int, str], Fault] = {}
    try:
        VARIABLES.validate_python(items)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_context=False, include_input=False):
            index, field = [*one["loc"], ""][:2]
            place = (int(index), str(field))
            found.setdefault(place, _fault(one["type"], *place))
    at_fault = {index for index, _ in found}
    for index, item in enumerate(items):
        if index not in at_fault and not is_sound(item):
            message = f"value {URL_VALUE} for type url or short_url"
            found[index, "value"] = Fault(ErrorCode.INVALID_FIELD, message, "value", index)
    return [found[place] for place in sorted(found, key=lambda place: (place[0], [*MUST, ""].index(place[1])))]


def _fault(kind: str, index: int, field: str) -> Fault:
    if not field:
        return Fault(ErrorCode.INVALID_FIELD, "A variable must be an object with id, type and value", None, index)
    if kind == "missing":
        return Fault(ErrorCode.MISSING_FIELD, f"{field} is required: it {MUST[field]}", field, index)
    return Fault(ErrorCode.INVALID_FIELD, f"{field} {MUST[field]}", field, index)
