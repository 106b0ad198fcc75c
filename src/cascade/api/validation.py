"""What pydantic finds wrong with a query or a body, in the contract's words."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from cascade.api.body import read_body
from cascade.api.faults import ErrorCode, Fault, InvalidRequest
from cascade.api.parts import Parts

MAX_NAME = 100
"""How much of a name that somebody else chose is repeated to them."""
M = TypeVar("M", bound=BaseModel)
CODES = {"phone": ErrorCode.INVALID_PHONE, "scheduledSent": ErrorCode.INVALID_SCHEDULE}


async def read_model(request: Request, model: type[M], *, if_empty: M | None = None) -> M:
    """The request's JSON body; `InvalidRequest` with everything that is wrong with it. `if_empty`: what no
    body means."""
    parts: Parts = request.app.state.parts
    body = await read_body(request, parts.limits.max_body_bytes)
    if not body and if_empty is not None:
        return if_empty
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise InvalidRequest(
            faults_of(error.errors(include_url=False, include_context=False, include_input=False))
        ) from None


def check_once(request: Request, *lists: str) -> None:
    """Of a query parameter that is given twice the framework would take the last, and say nothing. `lists` may be."""
    given = Counter(name for name, _ in request.query_params.multi_items() if name not in lists)
    faults = [
        Fault(ErrorCode.INVALID_FIELD, f"{name[:MAX_NAME]}: it is given {number} times, send it once", name[:MAX_NAME])
        for name, number in given.items()
        if number > 1
    ]
    if faults:
        raise InvalidRequest(faults)


def faults_of(errors: Sequence[Any]) -> list[Fault]:
    """One for each error, with the place in the body or query as its field."""
    return [_fault(error["type"], error["loc"], error["msg"].removeprefix("Value error, ")) for error in errors]


def unknown_field(field: str) -> Fault:
    """Of a field of the body or the query that no door of ours has."""
    return Fault(ErrorCode.UNKNOWN_FIELD, f"{field[:MAX_NAME]} is not known here: correct or remove it", field)


def _fault(kind: str, place: tuple[int | str, ...], message: str) -> Fault:
    field = ".".join(str(part) for part in place) or None
    match kind:
        case "json_invalid":
            return Fault(ErrorCode.INVALID_JSON, f"The body is not JSON: {message}")
        case "missing":
            return Fault(ErrorCode.MISSING_FIELD, f"{field} is required", field)
        case "extra_forbidden":
            return unknown_field(field or "")
        case "bool_parsing":
            return Fault(ErrorCode.INVALID_FIELD, f"{field} must be true or false", field)
        case "string_pattern_mismatch" if place[:1] == ("phone",):
            return Fault(ErrorCode.INVALID_PHONE, f"{field} must be E.164 with the plus: + and 7 to 15 digits", field)
    code = CODES.get(str(place[0]) if place else "", ErrorCode.INVALID_FIELD)
    return Fault(code, f"{field or 'The body'}: {message}", field)
