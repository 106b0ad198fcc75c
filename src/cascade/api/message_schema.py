"""What each field of a message may hold, in the contract's spelling (contract, section 1).

The schema is strict and converts nothing: a value that passes is the value that came.
"""

from typing import Annotated, Final, Literal, NamedTuple, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from cascade.api.faults import ErrorCode

MAX_TEXT: Final = 4_096
MAX_TTL_S: Final = 2_592_000
HOST_AND_REST: Final = r"://[^\s\x00/?#@\\]+([/?#][^\s\x00]*)?$"

Name = Annotated[str, Field(min_length=1, max_length=255)]
HttpsUrl = Annotated[str, Field(max_length=2_048, pattern="^[Hh][Tt][Tt][Pp][Ss]" + HOST_AND_REST)]
HttpUrl = Annotated[str, Field(max_length=2_048, pattern="^[Hh][Tt][Tt][Pp][Ss]?" + HOST_AND_REST)]


@with_config(ConfigDict(strict=True))
class MediaIn(TypedDict):
    """Links to what a promo shows, or to the file of a transaction."""

    image: NotRequired[HttpsUrl | None]
    video: NotRequired[HttpsUrl | None]
    thumbnail: NotRequired[HttpsUrl | None]
    file: NotRequired[HttpsUrl | None]
    fileName: NotRequired[Name | None]
    duration: NotRequired[Annotated[int, Field(ge=0, le=86_400, description="seconds")] | None]
    fileSize: NotRequired[Annotated[int, Field(ge=0, le=2**53 - 1, description="bytes")] | None]


@with_config(ConfigDict(strict=True))
class ButtonIn(TypedDict):
    """The button under a promo."""

    text: Name
    url: HttpUrl


@with_config(ConfigDict(strict=True))
class MessageIn(TypedDict):
    """One message of a batch."""

    id: Annotated[
        str,
        Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$", description="your tracking id"),
    ]
    fromName: Annotated[Name, Field(description="the sender's display name")]
    toPhone: Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}$", description="E.164 with the plus")]
    messageType: Literal["transaction", "promo", "viber_survey", "flashcall"]
    text: NotRequired[
        Annotated[str, Field(max_length=MAX_TEXT, description="for all but flashcall; at most 85 for viber_survey")]
        | None
    ]
    ttl: NotRequired[
        Annotated[
            int,
            Field(
                ge=1,
                le=MAX_TTL_S,
                description="seconds; by default 86400 (transaction), 259200 (promo), 604800 (viber_survey), "
                "300 (flashcall)",
            ),
        ]
        | None
    ]
    scheduledSent: NotRequired[
        Annotated[
            str,
            Field(max_length=40, description="ISO 8601 date and time, UTC without an offset, at most 30 days ahead"),
        ]
        | None
    ]
    surveyOptions: NotRequired[
        Annotated[list[Name], Field(max_length=5, json_schema_extra={"minItems": 2}, description="for viber_survey")]
        | None
    ]
    media: NotRequired[MediaIn | None]
    button: NotRequired[ButtonIn | None]


BATCH_IN: Final = TypeAdapter(list[MessageIn])
REQUIRED: Final = frozenset({"id", "fromName", "toPhone", "messageType", "button.text", "button.url"})
"""Paths that must be there and not null."""


class Rule(NamedTuple):
    """What one field must be, in words that follow its name, and the code of the fault when it is not."""

    code: ErrorCode
    must: str


_MEDIA_URL = Rule(ErrorCode.INVALID_MEDIA_URL, "must be an https:// URL of at most 2048 characters")
_NAME = Rule(ErrorCode.INVALID_FIELD, "must be a string of 1 to 255 characters")

RULES: Final = {
    "": Rule(ErrorCode.INVALID_FIELD, "must be an object with the fields of a message"),
    "id": Rule(ErrorCode.INVALID_ID, "must be a string of 1 to 255 characters without control characters"),
    "fromName": _NAME,
    "toPhone": Rule(ErrorCode.INVALID_PHONE, "must be E.164 with the plus: + and 7 to 15 digits"),
    "messageType": Rule(
        ErrorCode.INVALID_MESSAGE_TYPE, "must be one of transaction, promo, viber_survey and flashcall"
    ),
    "text": Rule(ErrorCode.INVALID_FIELD, "must be a string"),
    "ttl": Rule(ErrorCode.INVALID_TTL, "must be an integer of seconds from 1 to 2592000, not quoted, no fraction"),
    "scheduledSent": Rule(ErrorCode.INVALID_SCHEDULE, "must be an ISO 8601 date and time such as 2025-01-25T10:00:00Z"),
    "surveyOptions": Rule(
        ErrorCode.INVALID_SURVEY_OPTIONS, "must be an array of 2 to 5 strings of 1 to 255 characters each"
    ),
    "messageData": Rule(ErrorCode.INVALID_FIELD, "must be an object"),
    "media": Rule(ErrorCode.INVALID_FIELD, "must be an object"),
    "media.image": _MEDIA_URL,
    "media.video": _MEDIA_URL,
    "media.thumbnail": _MEDIA_URL,
    "media.file": _MEDIA_URL,
    "media.fileName": _NAME,
    "media.duration": Rule(ErrorCode.INVALID_FIELD, "must be an integer of seconds from 0 to 86400"),
    "media.fileSize": Rule(ErrorCode.INVALID_FIELD, "must be an integer of bytes, 0 or more"),
    "button": Rule(ErrorCode.INVALID_FIELD, "must be an object with text and url"),
    "button.text": _NAME,
    "button.url": Rule(ErrorCode.INVALID_FIELD, "must be an http:// or https:// URL of at most 2048 characters"),
}
"""By path: the field's place once aliases are resolved; "" is the message itself. Faults come in this order."""
