"""Commands that ask a running gateway, by HTTP alone, with an account's key."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer

from cascade.client import (
    ApiError,
    CascadeError,
    CascadeMessenger,
    ForbiddenError,
    Retries,
    UnauthorizedError,
    UnreachableError,
)
from cascade.core import errors

Url = Annotated[
    str | None,
    typer.Option("--url", envvar="CASCADE_URL", show_envvar=True, help="The gateway; none given: this machine's."),
]
Key = Annotated[
    str | None,
    typer.Option("--key", envvar="CASCADE_KEY", show_envvar=True, help="API key; other users can see a command line."),
]
SPANS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
SPAN: Final = re.compile("([0-9]{1,6})([smhd])")


IMPATIENT: Final = Retries(most=2, first_s=0.3, patience_s=10.0)
"""Somebody sits before the terminal."""


class GatewayError(errors.CascadeError):
    """The gateway refused, or did not answer."""


@contextmanager
def gateway(url: str | None, key: str | None, retries: Retries = IMPATIENT) -> Iterator[CascadeMessenger]:
    """A client; what it raises becomes one line that says what to do."""
    if not key:
        raise GatewayError("there is no key. --key or CASCADE_KEY says who asks")
    try:
        with CascadeMessenger(key, url, retries=retries) as messenger:
            yield messenger
    except UnreachableError as error:
        raise GatewayError(f"{error}. Is it running there? --url or CASCADE_URL says where") from error
    except UnauthorizedError as error:
        raise GatewayError(f"{error}. --key or CASCADE_KEY says who asks") from error
    except ForbiddenError as error:
        raise GatewayError(f"{error}. `cascade key list` says what a key may do") from error
    except ApiError as error:
        quote = f" (requestId {error.request_id})" if error.request_id else ""
        raise GatewayError(f"{error}{quote}") from error
    except CascadeError as error:
        raise GatewayError(str(error)) from error


def moment(option: str, text: str | None, *, is_ahead: bool = False) -> datetime | None:
    """A time as people write it: ISO 8601 (local time unless it has an offset), or a span such as 2h from now: back, or
    with `is_ahead` forth."""
    if text is None:
        return None
    if span := SPAN.fullmatch(text):
        length = timedelta(**{SPANS[span[2]]: int(span[1])})
        return datetime.now(UTC) + (length if is_ahead else -length)
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError as error:
        raise errors.ConfigError(
            option, f"{text!r} is no time", "Write 2026-12-01, 2026-12-01T09:30, or a span such as 90m, 2h, 3d"
        ) from error
