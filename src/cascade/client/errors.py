"""What a call may raise. All of it is a `CascadeError`; nothing here holds a key or a token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .words import Fault, Sent


class CascadeError(Exception):
    """The root. `sent`: of a bulk that took several requests, what was accepted before this one failed.

    To repeat the whole bulk is safe: what was accepted already is not sent again.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.sent: Sequence[Sent] = ()


class UnreachableError(CascadeError):
    """No answer came. `is_unsent`: the request never left, so nothing can have happened."""

    def __init__(self, message: str, *, is_unsent: bool) -> None:
        super().__init__(message)
        self.is_unsent = is_unsent


class ForgedWebhookError(CascadeError):
    """A webhook whose signature does not match, or which is too old: answer 400 and believe nothing of it."""


class ApiError(CascadeError):
    """The gateway refused. `code` is one of the contract's; `field` the field at fault, and `index` its message's place
    in the list that you gave, from 0; `details` further faults with the same four keys. `retry_after_s`: ask again
    then; None: it did not say. `request_id`: what to quote where the fault is the gateway's."""

    def __init__(
        self,
        status: int,
        error: Mapping[str, Any],
        *,
        retry_after_s: float | None = None,
        request_id: str | None = None,
    ) -> None:
        self.status = status
        self.code: str = error.get("code") or "INTERNAL_ERROR"
        self.message: str = error.get("message") or f"HTTP {status}"
        self.field: str | None = error.get("field")
        self.index: int | None = error.get("index")
        self.details: list[Fault] = list(error.get("details") or ())
        self.retry_after_s = retry_after_s
        self.request_id = request_id
        place = "" if self.index is None else f" (message {self.index})"
        more = f", and {len(self.details)} more" if self.details else ""
        super().__init__(f"{self.code}: {self.message}{place}{more}")


class InvalidRequestError(ApiError):
    """400: a rule of the contract is broken. To repeat it as it is would be no better."""


class UnauthorizedError(ApiError):
    """401: no key, a wrong or an expired one, or keys of different accounts."""


class ForbiddenError(ApiError):
    """403: the key is right but may not do this, or not from here."""


class NotFoundError(ApiError):
    """404: no such message, or another account's."""


class RateLimitedError(ApiError):
    """429: too many requests, even after the retries."""


class ServerError(ApiError):
    """5xx, even after the retries."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: InvalidRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    429: RateLimitedError,
}


def of_answer(status: int, body: Any, *, offset: int, retry_after_s: float | None) -> ApiError:
    """`offset`: the place in the caller's list of the request's first message."""
    told = body if isinstance(body, dict) else {}
    error = told.get("error")
    fallback = ServerError if status >= 500 else ApiError
    return _BY_STATUS.get(status, fallback)(
        status,
        moved(error, offset) if isinstance(error, dict) else {},
        retry_after_s=retry_after_s,
        request_id=told.get("requestId"),
    )


def moved(error: Mapping[str, Any], offset: int) -> dict[str, Any]:
    """The error with places in the caller's list instead of the request."""
    shifted = dict(error)
    if shifted.get("index") is not None:
        shifted["index"] += offset
    if shifted.get("details"):
        shifted["details"] = [moved(one, offset) for one in shifted["details"]]
    return shifted
