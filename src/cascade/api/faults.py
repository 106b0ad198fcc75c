"""What was wrong with a request, and the body that says so (contract, section 2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import orjson

from cascade.core.errors import CascadeError

MAX_DETAILS: Final = 100


class ErrorCode(StrEnum):
    """Every code an answer may carry. Clients branch on them: none is ever renamed."""

    INVALID_JSON = "INVALID_JSON"
    MISSING_FIELD = "MISSING_FIELD"
    INVALID_FIELD = "INVALID_FIELD"
    UNKNOWN_FIELD = "UNKNOWN_FIELD"
    INVALID_ID = "INVALID_ID"
    INVALID_PHONE = "INVALID_PHONE"
    INVALID_MESSAGE_TYPE = "INVALID_MESSAGE_TYPE"
    TEXT_REQUIRED = "TEXT_REQUIRED"
    TEXT_TOO_LONG = "TEXT_TOO_LONG"
    INVALID_TTL = "INVALID_TTL"
    INVALID_SCHEDULE = "INVALID_SCHEDULE"
    INVALID_SURVEY_OPTIONS = "INVALID_SURVEY_OPTIONS"
    INVALID_MEDIA_URL = "INVALID_MEDIA_URL"
    UNKNOWN_VARIABLE = "UNKNOWN_VARIABLE"
    UNKNOWN_ROUTE = "UNKNOWN_ROUTE"
    BATCH_EMPTY = "BATCH_EMPTY"
    BATCH_TOO_LARGE = "BATCH_TOO_LARGE"
    BODY_TOO_LARGE = "BODY_TOO_LARGE"
    INVALID_SENDER = "INVALID_SENDER"
    UNAUTHORIZED = "UNAUTHORIZED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    NOT_CANCELLABLE = "NOT_CANCELLABLE"
    RATE_LIMITED = "RATE_LIMITED"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class Fault:
    """One broken rule. `message` names the field and the fix and repeats no value the client sent.

    `field` is spelled as the client spelled it, with a dot inside an object (`media.image`); None when no field is at
    fault. `index` is the place in the batch; None when the request as a whole is at fault.
    """

    code: ErrorCode
    message: str
    field: str | None = None
    index: int | None = None


class InvalidRequest(CascadeError):  # noqa: N818 - it reads as what it is
    """The request breaks the contract: answer 400 with `error_body(faults)`. Nothing of it was stored.

    `faults` holds at least one, in the order of the batch and, within a message, of the contract's table of fields.
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        first = faults[0]
        super().__init__(f"{first.code}, the first of {len(faults)} faults")
        self.faults = tuple(faults)


class RequestError(CascadeError):
    """The request is refused for one reason that lies in no message of a batch: answer `status` with `code`."""

    def __init__(self, status: int, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def error_body(faults: Sequence[Fault]) -> bytes:
    """The JSON of an answer that is nothing but an error. `faults` holds at least one."""
    return orjson.dumps({"error": error_object(faults)})


def error_object(faults: Sequence[Fault]) -> dict[str, Any]:
    """The first fault, with up to 100 further ones as its details. `faults` holds at least one."""
    first, *further = map(_entry, faults[: MAX_DETAILS + 1])
    return {**first, "details": further}


def _entry(fault: Fault) -> dict[str, str | int | None]:
    return {"code": fault.code.value, "message": fault.message, "field": fault.field, "index": fault.index}
