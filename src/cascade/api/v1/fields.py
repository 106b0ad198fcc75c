"""Fields that several doors take, each with its check."""

from typing import Annotated

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema

from cascade.api.message_in import instant_ms

LATEST_INSTANT_MS = 253_402_300_799_999
"""The last millisecond of the year 9999: what comes after it cannot be written."""
INSTANT_EXAMPLE = "2026-11-23T09:30:00Z"


def _instant_ms(written: object) -> int:
    at_ms = instant_ms(written) if isinstance(written, str) else None
    if at_ms is None or not 0 <= at_ms <= LATEST_INSTANT_MS:
        raise ValueError(f"write it as ISO 8601, like {INSTANT_EXAMPLE}; in a URL a plus sign is %2B")
    return at_ms


def _phone(written: object) -> object:
    """A plus sign that nobody escaped comes as a space."""
    return f"+{written[1:]}" if isinstance(written, str) and written.startswith(" ") else written


Instant = Annotated[
    int,
    BeforeValidator(_instant_ms),
    WithJsonSchema({"type": "string", "description": "ISO 8601; UTC unless it has an offset"}),
]
"""Milliseconds since 1970."""
Phone = Annotated[str, BeforeValidator(_phone), StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$")]
Cursor = Annotated[str, Field(max_length=400, description="`nextCursor` of the page before")]
Limit = Annotated[int, Field(ge=1, le=500)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""A client's own word: a tracking id, a tag."""
