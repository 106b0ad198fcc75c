"""What is sent and what is answered, in the contract's spelling. At run time all of it is plain `dict`."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, Required, TypedDict

MessageType = Literal["transaction", "promo", "viber_survey", "flashcall"]
Route = Literal["standard", "tg-viber"]
DeliveryStatus = Literal["scheduled", "processing", "delivered", "undeliverable", "permanenterror"]


class Message(TypedDict, total=False):
    """One message. `scheduledSent` may be a `datetime`: one without a zone is local time, as everywhere in Python."""

    id: Required[str]
    fromName: Required[str]
    toPhone: Required[str]
    messageType: Required[MessageType]
    text: str
    ttl: int
    scheduledSent: Any
    surveyOptions: list[str]
    variables: list[dict[str, Any]]
    fallback: dict[str, str]
    media: dict[str, Any]
    button: dict[str, str]
    tgMessage: dict[str, Any]
    viberMessage: dict[str, Any]
    route: str | list[Any]
    maxCost: Any
    tags: list[str]


class Sent(TypedDict):
    """`trackinId` is your `id`. `ignored`: fields of yours that mean nothing to the gateway. `callerId`, and `pattern`
    with its last digits alone: who will call, of a flash call."""

    messageId: str
    trackinId: str
    callerId: NotRequired[str]
    pattern: NotRequired[str]
    ignored: NotRequired[list[str]]


class Fault(TypedDict):
    code: str
    message: str
    field: str | None
    index: int | None


class RefusedFault(Fault):
    details: list[Fault]


class Refused(TypedDict):
    """A message that was not accepted, in the place of its answer. `trackinId` None: it had none that could be read."""

    trackinId: str | None
    error: RefusedFault


class Preview(TypedDict):
    """What would become of a message."""

    trackinId: str
    route: str | None
    startsAt: str
    expiresAt: str
    steps: list[dict[str, Any]]
    costLow: str
    costHigh: str
    currency: str


class Listed(TypedDict):
    """A message of a list. `channel` is the one that delivered."""

    messagelistId: int
    messageId: str
    trackinId: str
    messageType: MessageType
    fromName: str
    toPhone: str
    deliverystatus: DeliveryStatus
    channel: str | None
    cost: float
    rateCurrency: str
    acceptedAt: str
    scheduledSent: str | None
    finishedAt: str | None


class Status(TypedDict):
    """One message in full: `attempts` and `timeline` say what was tried, when and why."""

    messagelistId: int
    messageId: str
    trackinId: str
    messageType: NotRequired[MessageType]
    fromName: NotRequired[str]
    toPhone: NotRequired[str]
    deliverystatus: DeliveryStatus
    channel: str | None
    deliveredVia: str | None
    partscount: int
    cost: float
    rate: float
    rateCurrency: str
    fallbacks: list[dict[str, str]]
    extendedStatuses: dict[str, str]
    read: bool
    clicks: NotRequired[int]
    machineClicks: NotRequired[int]
    survey: NotRequired[str]
    callerId: NotRequired[str]
    pattern: NotRequired[str]
    digitsMatched: NotRequired[bool]
    checksLeft: NotRequired[int]
    acceptedAt: str
    expiresAt: str
    scheduledSent: NotRequired[str | None]
    finishedAt: str | None
    attempts: list[dict[str, Any]]
    timeline: list[dict[str, Any]]


class Found(TypedDict):
    """`unknown`: the ids that were asked for and of which there is no message."""

    messages: list[Listed]
    unknown: list[str]


class FlashcallCheck(TypedDict):
    """`matched`: true once, for the right digits. `result` says why not."""

    messageId: str
    trackinId: str
    result: str
    matched: bool
    checksLeft: int


class Event(TypedDict):
    """What a webhook tells. In a batch (`type` is `batch`) `data` is a list of events, each with its `id`."""

    type: str
    timestamp: str
    data: Any
