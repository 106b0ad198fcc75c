"""What each field of a message may hold, in the contract's spelling (contract, section 1).

The schema is strict and converts nothing: a value that passes is the value that came.
"""

from typing import Annotated, Any, Final, Literal, NamedTuple, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from cascade.api.faults import ErrorCode
from cascade.core import placeholders
from cascade.core.placeholders import Variable
from cascade.core.short_links import redirect_target

MAX_TEXT: Final = 4_096
MAX_TTL_S: Final = 2_592_000
MAX_STEPS: Final = 10
MAX_TAGS: Final = 10
MAX_VARIABLES: Final = 1_000
URL_VALUE: Final = "must be an http:// or https:// URL of at most 2048 characters, without spaces and without a user"
NOT_IN_A_HOST: Final = (
    "\u2047\u2048\u2049\u2100\u2101\u2105\u2106\u2a74\ufe13\ufe16\ufe55\ufe56\ufe5f\ufe6b\uff03\uff0f\uff1a\uff1f\uff20"
)
"""What normalises (NFKC) to a sign that ends a host or stands before one: no parser of URLs takes it in a host."""
HOSTS: Final = "whose host is a name or an IPv4 address, not an IPv6 address in brackets"
"""No provider says that it fetches from an IPv6 address, and a phone without IPv6 cannot open it: a name serves all."""
HOST_AND_REST: Final = r"://[^\s\x00/?#@\\\[\]" + NOT_IN_A_HOST + r"]+([/?#][^\s\x00]*)?$"

Name = Annotated[str, Field(min_length=1, max_length=255)]
HttpsUrl = Annotated[str, Field(max_length=2_048, pattern="^[Hh][Tt][Tt][Pp][Ss]" + HOST_AND_REST)]
HttpUrl = Annotated[str, Field(max_length=2_048, pattern="^[Hh][Tt][Tt][Pp][Ss]?" + HOST_AND_REST)]
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
Address = Annotated[str, Field(min_length=1, max_length=64, pattern="^[!-~]+$")]
Amount = Annotated[str, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,6})?$")]
Tag = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\w.:-]*[\w:-][\w.:-]*$")]
ChannelName = Literal["telegram_bot", "viber_bot", "viber_business", "rcs", "sms"]


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
class FallbackIn(TypedDict):
    """What the standard route sends when a flash call failed."""

    messageType: NotRequired[Literal["transaction", "promo"] | None]
    text: Text


@with_config(ConfigDict(strict=True, extra="forbid"))
class TgButtonIn(TypedDict):
    """`action` is the link that it opens."""

    text: Name
    action: HttpUrl


@with_config(ConfigDict(strict=True))
class TgMessageIn(TypedDict):
    """What Telegram alone says; what is left out is the message's own."""

    text: NotRequired[Text | None]
    photoUrl: NotRequired[HttpsUrl | None]
    chatId: NotRequired[Annotated[int, Field(ge=-(2**52), le=2**52)] | Address | None]
    buttons: NotRequired[Annotated[list[TgButtonIn], Field(max_length=10)] | None]


@with_config(ConfigDict(strict=True))
class ViberSenderIn(TypedDict):
    name: NotRequired[Name | None]
    avatar: NotRequired[HttpsUrl | None]


@with_config(ConfigDict(strict=True))
class ContactIn(TypedDict):
    name: Annotated[str, Field(min_length=1, max_length=28)]
    phone_number: Annotated[str, Field(min_length=1, max_length=18)]


@with_config(ConfigDict(strict=True))
class LocationIn(TypedDict):
    lat: Annotated[float, Field(ge=-90, le=90, strict=False)]
    lon: Annotated[float, Field(ge=-180, le=180, strict=False)]


@with_config(ConfigDict(strict=True))
class ViberMessageIn(TypedDict):
    """What the Viber bot alone says; what is left out is the message's own."""

    receiver: NotRequired[Address | None]
    type: NotRequired[
        Literal["text", "picture", "video", "file", "url", "contact", "location", "sticker", "rich_media"] | None
    ]
    text: NotRequired[Annotated[str, Field(max_length=7_000)] | None]
    sender: NotRequired[ViberSenderIn | None]
    minApiVersion: NotRequired[Annotated[int, Field(ge=1, le=99)] | None]
    fallbackText: NotRequired[Text | None]
    media: NotRequired[HttpUrl | None]
    thumbnail: NotRequired[HttpsUrl | None]
    size: NotRequired[Annotated[int, Field(ge=0, le=2**53 - 1, description="bytes")] | None]
    duration: NotRequired[Annotated[int, Field(ge=0, le=86_400, description="seconds")] | None]
    fileName: NotRequired[Name | None]
    contact: NotRequired[ContactIn | None]
    location: NotRequired[LocationIn | None]
    stickerId: NotRequired[Annotated[int, Field(ge=0, le=2**31 - 1)] | None]
    richMedia: NotRequired[dict[str, Any] | None]
    altText: NotRequired[Annotated[str, Field(max_length=7_000)] | None]
    keyboard: NotRequired[dict[str, Any] | None]
    trackingData: NotRequired[Annotated[str, Field(max_length=4_000)] | None]


RouteStepIn = TypedDict(  # `from` is a word of Python's, so this one cannot be written as a class
    "RouteStepIn",
    {
        "channel": ChannelName,
        "windowS": NotRequired[
            Annotated[int, Field(ge=1, le=MAX_TTL_S, description="seconds; absent: the rest of the ttl")] | None
        ],
        "until": NotRequired[Literal["delivered", "read"] | None],
        "text": NotRequired[Text | None],
        "from": NotRequired[Name | None],
    },
)
"""One step of a message's own route."""
with_config(ConfigDict(strict=True, extra="forbid"))(RouteStepIn)


@with_config(ConfigDict(strict=True))
class VariableIn(TypedDict):
    """A value for the placeholder `%type=id%`."""

    id: (
        Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
        | Annotated[str, Field(pattern=f"^{placeholders.ID}$", description="short text")]
    )
    type: Annotated[str, Field(pattern=f"^{placeholders.TYPE}$")]
    value: Annotated[
        str,
        Field(max_length=MAX_TEXT, pattern=r"^[^\x00]*$", description="an http(s) URL where type is url or short_url"),
    ]


def is_sound(variable: VariableIn) -> bool:
    """Whether a value that must be a URL is one."""
    return variable["type"] not in placeholders.URL_TYPES or redirect_target(variable["value"]) is not None


def variable_of(variable: VariableIn) -> Variable:
    return Variable(variable["type"], str(variable["id"]), variable["value"])


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
    variables: NotRequired[
        Annotated[
            list[VariableIn],
            Field(max_length=MAX_VARIABLES, description="for this text alone; they win over those of /api/items"),
        ]
        | None
    ]
    media: NotRequired[MediaIn | None]
    button: NotRequired[ButtonIn | None]
    fallback: NotRequired[FallbackIn | None]
    tgMessage: NotRequired[TgMessageIn | None]
    viberMessage: NotRequired[ViberMessageIn | None]
    route: NotRequired[
        Annotated[
            Annotated[str, Field(min_length=1, max_length=64)]
            | Annotated[list[ChannelName | RouteStepIn], Field(min_length=1, max_length=MAX_STEPS)],
            Field(description="a named route, or the steps in order: channel names or objects"),
        ]
        | None
    ]
    maxCost: NotRequired[Annotated[Amount, Field(description="a decimal in the account's currency")] | None]
    tags: NotRequired[
        Annotated[list[Tag], Field(max_length=MAX_TAGS, description="letters, digits, and . _ : -, not dots alone")]
        | None
    ]


BATCH_IN: Final = TypeAdapter(list[MessageIn])
REQUIRED: Final = frozenset({"id", "fromName", "toPhone", "messageType", "button.text", "button.url", "fallback.text"})
"""Paths that must be there and not null."""


class Rule(NamedTuple):
    """What one field must be, in words that follow its name, and the code of the fault when it is not."""

    code: ErrorCode
    must: str


_MEDIA_URL = Rule(ErrorCode.INVALID_MEDIA_URL, f"must be an https:// URL of at most 2048 characters, {HOSTS}")
_NAME = Rule(ErrorCode.INVALID_FIELD, "must be a string of 1 to 255 characters")
_TEXT = Rule(ErrorCode.INVALID_FIELD, f"must be a string of 1 to {MAX_TEXT} characters")
_OBJECT = Rule(ErrorCode.INVALID_FIELD, "must be an object")
_BYTES = Rule(ErrorCode.INVALID_FIELD, "must be an integer of bytes, 0 or more")
_SECONDS = Rule(ErrorCode.INVALID_FIELD, "must be an integer of seconds from 0 to 86400")
_ADDRESS = Rule(ErrorCode.INVALID_FIELD, "must be 1 to 64 visible ASCII characters")

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
    "variables": Rule(
        ErrorCode.INVALID_FIELD,
        f"must be an array of up to {MAX_VARIABLES} objects with id (an integer, or up to 64 letters, digits, _ . -),"
        f" type (up to 32 letters and _) and value (a string of up to {MAX_TEXT} characters)",
    ),
    "messageData": _OBJECT,
    "media": _OBJECT,
    "media.image": _MEDIA_URL,
    "media.video": _MEDIA_URL,
    "media.thumbnail": _MEDIA_URL,
    "media.file": _MEDIA_URL,
    "media.fileName": _NAME,
    "media.duration": _SECONDS,
    "media.fileSize": _BYTES,
    "button": Rule(ErrorCode.INVALID_FIELD, "must be an object with text and url"),
    "button.text": _NAME,
    "button.url": Rule(
        ErrorCode.INVALID_FIELD, f"must be an http:// or https:// URL of at most 2048 characters, {HOSTS}"
    ),
    "fallback": Rule(ErrorCode.INVALID_FIELD, "must be an object with messageType and text"),
    "fallback.messageType": Rule(ErrorCode.INVALID_MESSAGE_TYPE, "must be transaction or promo"),
    "fallback.text": _TEXT,
    "tgMessage": _OBJECT,
    "tgMessage.text": _TEXT,
    "tgMessage.photoUrl": _MEDIA_URL,
    "tgMessage.chatId": Rule(ErrorCode.INVALID_FIELD, "must be an integer, or 1 to 64 visible ASCII characters"),
    "tgMessage.buttons": Rule(
        ErrorCode.INVALID_FIELD, f"must be an array of up to 10 objects with text and action, an http(s):// URL {HOSTS}"
    ),
    "viberMessage": _OBJECT,
    "viberMessage.receiver": _ADDRESS,
    "viberMessage.type": Rule(
        ErrorCode.INVALID_FIELD,
        "must be one of text, picture, video, file, url, contact, location, sticker and rich_media",
    ),
    "viberMessage.text": Rule(ErrorCode.INVALID_FIELD, "must be a string of at most 7000 characters"),
    "viberMessage.sender": Rule(
        ErrorCode.INVALID_FIELD, f"must be an object with name and avatar, an https:// URL {HOSTS}"
    ),
    "viberMessage.minApiVersion": Rule(ErrorCode.INVALID_FIELD, "must be an integer from 1 to 99"),
    "viberMessage.fallbackText": _TEXT,
    "viberMessage.media": Rule(ErrorCode.INVALID_MEDIA_URL, f"must be an https:// URL (http:// with type url) {HOSTS}"),
    "viberMessage.thumbnail": _MEDIA_URL,
    "viberMessage.size": _BYTES,
    "viberMessage.duration": _SECONDS,
    "viberMessage.fileName": _NAME,
    "viberMessage.contact": Rule(
        ErrorCode.INVALID_FIELD, "must be an object with name (up to 28) and phone_number (up to 18 characters)"
    ),
    "viberMessage.location": Rule(ErrorCode.INVALID_FIELD, "must be an object with lat and lon in degrees"),
    "viberMessage.stickerId": Rule(ErrorCode.INVALID_FIELD, "must be an integer, 0 or more"),
    "viberMessage.richMedia": _OBJECT,
    "viberMessage.altText": Rule(ErrorCode.INVALID_FIELD, "must be a string of at most 7000 characters"),
    "viberMessage.keyboard": _OBJECT,
    "viberMessage.trackingData": Rule(ErrorCode.INVALID_FIELD, "must be a string of at most 4000 characters"),
    "route": Rule(
        ErrorCode.INVALID_FIELD,
        f"must be the name of a route, or 1 to {MAX_STEPS} steps, each a channel (telegram_bot, viber_bot,"
        " viber_business, rcs, sms) or an object with channel and, if wished, windowS, until (delivered or read), text"
        " and from",
    ),
    "maxCost": Rule(ErrorCode.INVALID_FIELD, 'must be a decimal in quotes, such as "0.05", with up to six decimals'),
    "tags": Rule(
        ErrorCode.INVALID_FIELD,
        f"must be an array of up to {MAX_TAGS} strings of 1 to 64 letters, digits, and . _ : -, not of dots alone",
    ),
}
"""By path: the field's place once aliases are resolved; "" is the message itself. Faults come in this order."""


def rule(path: str) -> tuple[str, Rule]:
    """The path, or the nearest one around it, that has a rule; and the rule."""
    while path not in RULES:
        path = path.rpartition(".")[0]
    return path, RULES[path]
