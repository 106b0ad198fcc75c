"""The send door's validation: bytes in, drafts or faults out (contract, section 1).

Four passes over the batch: the JSON, the names of the fields, the schema (what one field may hold), and the rules
between fields. A key that stands twice in one object counts with its last value, as in the JSON parsers of Python,
JavaScript and PHP.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson
from pydantic import ValidationError

from cascade.api.faults import ErrorCode, Fault, InvalidRequest
from cascade.api.field_names import MAX_FIELDS, PATHS, Unknown, is_canonical, resembled, settle
from cascade.api.message_schema import (
    BATCH_IN,
    MAX_TEXT,
    REQUIRED,
    RULES,
    URL_VALUE,
    MediaIn,
    VariableIn,
    is_sound,
    rule,
    variable_of,
)
from cascade.core.content import Button, Content, Media, Variant
from cascade.core.draft import Draft, Fallback, WantedStep, Wishes
from cascade.core.prices import micros_of
from cascade.core.words import Channel, MessageType

MAX_SURVEY_TEXT: Final = 85
MAX_AHEAD_MS: Final = 30 * 86_400_000
MAX_NAME: Final = 60
"""How much of a name that a client chose is repeated to it."""
MAX_DEPTH: Final = 64
"""How deep a batch may be nested, its array included: nothing here that walks through it runs out of stack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an account may send in one request. `senders` None: any `fromName` will do; `routes` None: any name."""

    max_batch: int = 5_000
    max_body_bytes: int = 16 * 1_048_576
    strict_fields: bool = False
    senders: frozenset[str] | None = None
    routes: frozenset[str] | None = None


class Refused(NamedTuple):
    """A message that broke rules. `tracking_id` None: it has none that can be read."""

    tracking_id: str | None
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """`drafts` in the order of the request, each standing there at its place in `places`.

    By index: `ignored` names the fields without effect; `refused` is empty unless the batch may be taken in part.
    """

    drafts: list[Draft]
    ignored: dict[int, tuple[str, ...]]
    places: Sequence[int] = ()
    refused: dict[int, Refused] = field(default_factory=dict)

    def without(self, faults: Sequence[Fault]) -> "Batch":
        """The same without the drafts that turned out to be at fault, each fault naming its place."""
        by_place: dict[int, list[Fault]] = {}
        for fault in faults:
            if fault.index is not None:
                by_place.setdefault(fault.index, []).append(fault)
        refused = dict(self.refused)
        drafts, places = [], []
        for place, draft in zip(self.places, self.drafts, strict=True):
            if place in by_place:
                refused[place] = Refused(draft.tracking_id, tuple(by_place[place]))
            else:
                drafts.append(draft)
                places.append(place)
        return Batch(drafts, self.ignored, places, refused)


class TypeRule(NamedTuple):
    """What a message type may use; `media` names the parts of media it can carry."""

    type: MessageType
    default_ttl_s: int
    media: frozenset[str] = frozenset()
    has_button: bool = False


TYPES: Final = {
    "transaction": TypeRule(MessageType.TRANSACTION, 86_400, frozenset({"file", "fileName", "fileSize"})),
    "promo": TypeRule(MessageType.PROMO, 259_200, frozenset(MediaIn.__annotations__), has_button=True),
    "viber_survey": TypeRule(MessageType.VIBER_SURVEY, 604_800),
    "flashcall": TypeRule(MessageType.FLASHCALL, 300),
}
_PLAIN_TYPES = {name: TYPES[name] for name in ("transaction", "promo")}
_WISHES = frozenset({"fallback", "tgMessage", "viberMessage", "route", "maxCost", "tags"})
_SPECIAL = frozenset({"scheduledSent", "surveyOptions", "media", "button", "variables"}) | _WISHES
_RANKS = {path: rank for rank, path in enumerate(RULES)}
_FREE_TEXTS = (
    "fromName",
    "text",
    "surveyOptions",
    "media.fileName",
    "button.text",
    "fallback.text",
    "tgMessage",
    "viberMessage",
    "route",
)
_NEEDS = {  # what a viberMessage of a type must have
    "picture": "media",
    "video": "media",
    "file": "media",
    "url": "media",
    "contact": "contact",
    "location": "location",
    "sticker": "stickerId",
    "rich_media": "richMedia",
}
_OF_PROVIDER = ("contact", "location", "stickerId", "richMedia", "altText", "keyboard", "trackingData", "minApiVersion")
_MOST_BYTES: Final = 28_000  # of a rich message or keyboard; Viber takes a request of 30 KB
_CHOICE = re.compile(r"RouteStepIn$|literal\[|list\[|constrained-")
_NUL = b"\\u0000"  # JSON has no other way to write it
_NUL_WORDS = "holds a NUL character (\\u0000): remove it"


@dataclass(slots=True)
class Findings:
    """What the passes learn about a batch.

    `judged` holds, by index, the paths with a fault, which no further rule looks at; "" is the whole message.
    `spelled` holds, by index, the client's names of paths that came by another name.
    """

    faults: list[tuple[int, int, Fault]] = field(default_factory=list)
    judged: dict[int, set[str]] = field(default_factory=dict)
    spelled: dict[int, dict[str, str]] = field(default_factory=dict)
    ignored: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def add(self, index: int, path: str, code: ErrorCode, words: str, inside: str = "") -> None:
        """Note what is wrong with `path`, in words that follow its name; `inside` of it is where, as in `[2].windowS`.
        Its first fault is its only one."""
        judged = self.judged.setdefault(index, set())
        if path in judged or "" in judged:
            return
        judged.add(path)
        name = self.spelled.get(index, {}).get(path, path)
        message = "Invalid phone number format" if code is ErrorCode.INVALID_PHONE else f"{name or 'A message'} {words}"
        if inside:
            message = f"{message}: look at {name}{inside}"
        self.faults.append((index, _rank(path), Fault(code, message, name or None, index)))

    def ignore(self, index: int, name: str) -> None:
        """Note a field that this message is sent without."""
        self.ignored[index] = (*self.ignored.get(index, ()), name)

    def add_unknown(self, index: int, unknown: Unknown) -> None:
        """Note a name that is refused. The field it was meant to be is not also missed."""
        if unknown.path is not None:
            self.judged.setdefault(index, set()).add(unknown.path)
        self.faults.append((index, _rank(unknown.path), _unknown_fault(unknown, index)))

    def in_order(self) -> list[Fault]:
        return [fault for _, _, fault in sorted(self.faults, key=lambda found: found[:2])]


def parse_batch(body: bytes, *, route: str, now_ms: int, limits: Limits, is_partial: bool = False) -> Batch:
    """Read a request's body. Raises `InvalidRequest` with every fault of the whole batch.

    `is_partial`: messages at fault are left out instead, and only a body that is no batch raises.
    """
    items = _items(body, limits)
    findings = Findings()
    _settle_names(items, findings, is_strict=limits.strict_fields)
    _check_schema(items, findings)
    senders = limits.senders
    has_nul = _NUL in body
    is_clean = not findings.faults and not has_nul
    at_fault = {index for index, _, _ in findings.faults}
    drafts = []
    for index, item in enumerate(items):
        if is_clean and _SPECIAL.isdisjoint(item) and (senders is None or item["fromName"] in senders):
            text = item.get("text")
            rule = _PLAIN_TYPES.get(item["messageType"])
            if text and rule is not None:
                ttl_s = item.get("ttl") or rule.default_ttl_s
                content = Content(text)
                drafts.append(Draft(item["id"], item["fromName"], item["toPhone"], rule.type, content, ttl_s, route))
                continue
        known = len(findings.faults)
        scheduled_at_ms = _check_rules(index, item, findings, now_ms, limits, has_nul=has_nul)
        if len(findings.faults) > known:
            at_fault.add(index)
        if index not in at_fault and (is_partial or not at_fault):
            drafts.append(_draft(item, route, scheduled_at_ms))
    if not at_fault:
        return Batch(drafts, findings.ignored, range(len(drafts)))
    if not is_partial:
        raise InvalidRequest(findings.in_order())
    return _partly(items, drafts, findings)


def _partly(items: list[Any], drafts: list[Draft], findings: Findings) -> Batch:
    faults: dict[int, list[Fault]] = {}
    for fault in findings.in_order():
        if fault.index is not None:
            faults.setdefault(fault.index, []).append(fault)
    refused = {index: Refused(_tracking_id(items[index]), tuple(own)) for index, own in faults.items()}
    return Batch(drafts, findings.ignored, [index for index in range(len(items)) if index not in refused], refused)


def _tracking_id(item: Any) -> str | None:
    """The client's id of a message at fault, as far as it can be read."""
    tracking_id = item.get("id") if isinstance(item, dict) else None
    return tracking_id if isinstance(tracking_id, str) and len(tracking_id) <= 255 else None


def _items(body: bytes, limits: Limits) -> list[Any]:
    """The array of the body, or of its envelope; not empty, and not longer than allowed."""
    if len(body) > limits.max_body_bytes:
        raise _refusal(
            ErrorCode.BODY_TOO_LARGE, f"The body is larger than {limits.max_body_bytes} bytes: send smaller batches"
        )
    try:
        items = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        message = f"The body is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        raise _refusal(ErrorCode.INVALID_JSON, message) from None
    if isinstance(items, dict) and "messages" in items:
        _check_envelope(items, is_strict=limits.strict_fields)
        items = items["messages"]
        if not isinstance(items, list):
            raise _refusal(ErrorCode.INVALID_FIELD, "messages must be an array of message objects", "messages")
    if not isinstance(items, list):
        raise _refusal(ErrorCode.INVALID_JSON, "The body must be an array of message objects, even for one: [{…}]")
    if not items:
        raise _refusal(ErrorCode.BATCH_EMPTY, "The batch is empty: send at least one message")
    if len(items) > limits.max_batch:
        raise _refusal(
            ErrorCode.BATCH_TOO_LARGE,
            f"The batch holds {len(items)} messages: send at most {limits.max_batch} in one request",
        )
    openings = body.count(b"[") + body.count(b"{") - sum(type(item) is dict for item in items)
    if openings >= MAX_DEPTH and _is_deep(items):  # plain messages open nothing but themselves
        raise _refusal(ErrorCode.INVALID_JSON, f"The batch is nested more than {MAX_DEPTH} levels deep: flatten it")
    return items


def _is_deep(items: list[Any]) -> bool:
    level: list[Any] = [items]
    for _ in range(MAX_DEPTH + 1):
        parts = [part.values() if isinstance(part, dict) else part for part in level if isinstance(part, dict | list)]
        if not parts:
            return False
        level = [inner for part in parts for inner in part]
    return True


def _check_envelope(envelope: dict[str, Any], *, is_strict: bool) -> None:
    """Refuse fields of a message beside `messages`: ignored there, a schedule would send a campaign at once."""
    if len(envelope) > MAX_FIELDS:
        raise _refusal(ErrorCode.INVALID_FIELD, f"The envelope has more than {MAX_FIELDS} fields: send messages alone")
    faults = []
    for name in envelope:
        if name == "messages":
            continue
        if name in PATHS[""] or resembled("", name) is not None:
            message = f"{name} belongs inside each message, not beside messages: move it"
            faults.append(Fault(ErrorCode.UNKNOWN_FIELD, message, name))
        elif is_strict:
            faults.append(_unknown_fault(Unknown(name), None))
    if faults:
        raise InvalidRequest(faults)


def _settle_names(items: list[Any], findings: Findings, *, is_strict: bool) -> None:
    """Bring every message to its canonical names, in place."""
    for index, item in enumerate(items):
        if not isinstance(item, dict) or is_canonical(item):
            continue
        settled = settle(item)
        items[index] = settled.item
        findings.spelled[index] = settled.spelled
        for path, words in settled.broken:
            findings.add(index, path, ErrorCode.INVALID_FIELD, words)
        for unknown in settled.mistyped:
            findings.add_unknown(index, unknown)
        if is_strict:
            for name in settled.ignored:
                findings.add_unknown(index, Unknown(name))
        elif settled.ignored:
            findings.ignored[index] = tuple(settled.ignored)


def _check_schema(items: list[Any], findings: Findings) -> None:
    try:
        BATCH_IN.validate_python(items)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False)
    else:
        return
    insides: dict[tuple[int, str], str] = {}
    for one in errors:
        index, path, _, inside = _place(one["loc"])
        insides[index, path] = max(insides.get((index, path), ""), inside, key=len)
    for one in errors:
        index, path, at_fault, _ = _place(one["loc"])
        code, words = RULES[path]
        if path == at_fault and (one["type"] == "missing" or (one["input"] is None and path in REQUIRED)):
            code, words = ErrorCode.MISSING_FIELD, f"is required: it {words}"
        elif path == "text" and one["type"] == "string_too_long":
            code = ErrorCode.TEXT_TOO_LONG
            words = f"is longer than {MAX_TEXT} characters (a survey's: {MAX_SURVEY_TEXT}): shorten it"
        findings.add(index, path, code, words, insides[index, path])


def _place(loc: tuple[int | str, ...]) -> tuple[int, str, str, str]:
    """Where pydantic found a fault: the index, the path that has a rule, the path of the fault itself, and what the
    latter has beyond the former, as it is written. What pydantic calls the choices of a union is left out.
    """
    index, *place = loc
    at_fault = ".".join(part for part in place if isinstance(part, str))
    path, _ = rule(at_fault)
    beyond = place[path.count(".") + 1 :] if path else []
    parts = [part for part in beyond if isinstance(part, int) or not _CHOICE.match(part)]
    inside = "".join(f"[{part}]" if isinstance(part, int) else f".{part[:MAX_NAME]}" for part in parts)
    return int(index), path, at_fault, inside


def _check_rules(
    index: int, item: Any, findings: Findings, now_ms: int, limits: Limits, *, has_nul: bool
) -> int | None:
    """Check what one field means for another; give the schedule, None for now."""
    judged: set[str] = findings.judged.get(index, set())
    if "" in judged:
        return None
    values = {name: value for name, value in item.items() if name not in judged} if judged else item
    if has_nul:
        for path in _FREE_TEXTS:
            if _holds_nul(values, path):
                findings.add(index, path, RULES[path].code, _NUL_WORDS)
    _check_sender(index, "fromName", values.get("fromName"), findings, limits)
    if "messageType" in values:
        _check_type(index, values, TYPES[values["messageType"]], findings)
    if not _WISHES.isdisjoint(values):
        viber = values.get("viberMessage") or {}
        _check_viber_message(index, viber, findings)
        if "viberMessage.sender" not in judged:
            sender = (viber.get("sender") or {}).get("name")
            _check_sender(index, "viberMessage.sender", sender, findings, limits, ".name")
        _check_route(index, values.get("route"), findings, limits)
    if values.get("variables"):
        _check_variables(index, values["variables"], findings)
    return _schedule(index, values.get("scheduledSent"), findings, now_ms)


def _check_variables(index: int, variables: list[VariableIn], findings: Findings) -> None:
    unsound = next((place for place, variable in enumerate(variables) if not is_sound(variable)), None)
    if unsound is not None:
        words = f"of type url or short_url: the value {URL_VALUE}"
        findings.add(index, "variables", ErrorCode.INVALID_FIELD, words, f"[{unsound}].value")


def _check_sender(
    index: int, path: str, sender: str | None, findings: Findings, limits: Limits, inside: str = ""
) -> None:
    if limits.senders is not None and sender is not None and sender not in limits.senders:
        words = "is not one of this account's senders: use one of them, or have it added"
        if inside:
            words = "names somebody who is not one of this account's senders: use one of them, or have it added"
        findings.add(index, path, ErrorCode.INVALID_SENDER, words, inside)


def _check_route(index: int, route: str | list[Any] | None, findings: Findings, limits: Limits) -> None:
    if isinstance(route, str):
        if limits.routes is not None and route not in limits.routes:
            words = f"is no configured route: choose one of {', '.join(sorted(limits.routes))}, or send its steps"
            findings.add(index, "route", ErrorCode.UNKNOWN_ROUTE, words)
    elif route:
        for place, step in enumerate(route):
            if isinstance(step, dict):
                _check_sender(index, "route", step.get("from"), findings, limits, f"[{place}].from")


def _check_viber_message(index: int, message: dict[str, Any], findings: Findings) -> None:
    """Check that a message of its type has what makes it one, and that Viber would take its size."""
    if any(name.startswith("viberMessage") for name in findings.judged.get(index, ())):
        return
    kind = message.get("type")
    needed = _NEEDS.get(kind or "")
    if needed is not None and message.get(needed) is None:
        words = f"is required for type {kind}: it {RULES[f'viberMessage.{needed}'].must}"
        findings.add(index, f"viberMessage.{needed}", ErrorCode.MISSING_FIELD, words)
    if kind != "url" and not (message.get("media") or "https").lower().startswith("https"):
        findings.add(index, "viberMessage.media", *RULES["viberMessage.media"])
    for name in ("richMedia", "keyboard"):
        if message.get(name) is not None and len(orjson.dumps(message[name])) > _MOST_BYTES:
            findings.add(
                index,
                f"viberMessage.{name}",
                ErrorCode.INVALID_FIELD,
                f"is larger than {_MOST_BYTES} bytes: shorten it",
            )


def _check_type(index: int, values: dict[str, Any], rule: TypeRule, findings: Findings) -> None:
    """Check what the message's type demands and allows."""
    text = values.get("text")
    options = values.get("surveyOptions")
    misused = f"cannot be sent with messageType {rule.type.value}: remove it"
    if rule.type is MessageType.FLASHCALL:
        if text:
            findings.ignore(index, "text")
        for name in ("tgMessage", "viberMessage", "route"):
            if values.get(name) is not None and values.get("fallback") is None:
                findings.ignore(index, name)
    elif not text:
        longest = MAX_SURVEY_TEXT if rule.type is MessageType.VIBER_SURVEY else MAX_TEXT
        words = f"is required for messageType {rule.type.value}: 1 to {longest} characters"
        findings.add(index, "text", ErrorCode.TEXT_REQUIRED, words)
    if rule.type is not MessageType.FLASHCALL and values.get("fallback") is not None:
        findings.ignore(index, "fallback")
    if rule.type is MessageType.VIBER_SURVEY:
        if text and len(text) > MAX_SURVEY_TEXT:
            words = f"is longer than the {MAX_SURVEY_TEXT} characters of a survey: shorten it"
            findings.add(index, "text", ErrorCode.TEXT_TOO_LONG, words)
        if options is None or len(options) < 2:
            findings.add(index, "surveyOptions", *RULES["surveyOptions"])
    elif options:
        findings.add(index, "surveyOptions", ErrorCode.INVALID_SURVEY_OPTIONS, misused)
    for name, value in (values.get("media") or {}).items():
        if value is not None and name not in rule.media:
            findings.add(index, f"media.{name}", ErrorCode.INVALID_FIELD, misused)
    if values.get("button") is not None and not rule.has_button:
        findings.add(index, "button", ErrorCode.INVALID_FIELD, misused)


def _schedule(index: int, written: str | None, findings: Findings, now_ms: int) -> int | None:
    if written is None:
        return None
    at_ms = instant_ms(written)
    if at_ms is None:
        findings.add(index, "scheduledSent", *RULES["scheduledSent"])
    elif at_ms > now_ms + MAX_AHEAD_MS:
        words = "is more than 30 days ahead: choose an earlier time"
        findings.add(index, "scheduledSent", ErrorCode.INVALID_SCHEDULE, words)
    elif at_ms > now_ms:
        return at_ms
    return None


_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,9})?)?(Z|[+-][0-9]{2}(:?[0-5][0-9])?)?",
    re.IGNORECASE,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@lru_cache(maxsize=1_024)
def instant_ms(written: str) -> int | None:
    """ISO 8601 to milliseconds since 1970, rounded down; None when it is no date and time.

    Without an offset it is UTC. A date alone is refused, for nobody means midnight UTC by it.
    """
    if _DATE_TIME.fullmatch(written) is None:
        return None
    try:
        instant = datetime.fromisoformat(written.upper())
    except ValueError:
        return None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return (instant - _EPOCH) // _MILLISECOND


def _draft(item: dict[str, Any], route: str, scheduled_at_ms: int | None) -> Draft:
    """The message as core knows it. It broke no rule."""
    rule = TYPES[item["messageType"]]
    media = item.get("media") or {}
    button = item.get("button")
    is_survey = rule.type is MessageType.VIBER_SURVEY
    content = Content(
        "" if rule.type is MessageType.FLASHCALL else item["text"],
        tuple(item["surveyOptions"]) if is_survey else (),
        _media(media) if any(value is not None for value in media.values()) else None,
        (Button(button["text"], button["url"]),) if button is not None else (),
    )
    ttl_s = item.get("ttl") or rule.default_ttl_s
    named = item.get("route")
    return Draft(
        item["id"],
        item["fromName"],
        item["toPhone"],
        rule.type,
        content,
        ttl_s,
        named if isinstance(named, str) else route,
        scheduled_at_ms,
        None if _WISHES.isdisjoint(item) else _wishes(item),
        tuple(map(variable_of, item.get("variables") or ())),
    )


def _wishes(item: dict[str, Any]) -> Wishes | None:
    """What the message asks for beyond the ordinary; None when it comes to nothing."""
    telegram = item.get("tgMessage") or {}
    viber = item.get("viberMessage") or {}
    variants = {Channel.TELEGRAM_BOT: _telegram_variant(telegram), Channel.VIBER_BOT: _viber_variant(viber)}
    addresses = {Channel.TELEGRAM_BOT: telegram.get("chatId"), Channel.VIBER_BOT: viber.get("receiver")}
    route = item.get("route")
    fallback = item.get("fallback")
    max_cost = item.get("maxCost")
    wishes = Wishes(
        steps=tuple(map(_step, route)) if isinstance(route, list) else (),
        variants=tuple((channel, said) for channel, said in variants.items() if said != _SAME),
        addresses=tuple((channel, str(address)) for channel, address in addresses.items() if address is not None),
        text_after_viber=viber.get("fallbackText"),
        fallback=_fallback(fallback) if fallback is not None and item["messageType"] == "flashcall" else None,
        max_cost_micros=None if max_cost is None else micros_of(Decimal(max_cost)),
        tags=tuple(dict.fromkeys(item.get("tags") or ())),
    )
    return None if wishes == _NO_WISHES else wishes


def _fallback(fallback: dict[str, Any]) -> Fallback:
    return Fallback(MessageType(fallback.get("messageType") or "transaction"), fallback["text"])


def _step(step: str | dict[str, Any]) -> WantedStep:
    if isinstance(step, str):
        return WantedStep(Channel(step))
    return WantedStep(
        Channel(step["channel"]), step.get("windowS"), step.get("until") == "read", step.get("text"), step.get("from")
    )


def _telegram_variant(message: dict[str, Any]) -> Variant:
    photo, buttons = message.get("photoUrl"), message.get("buttons")
    return Variant(
        text=message.get("text"),
        media=Media(image=photo) if photo is not None else None,
        buttons=tuple(Button(button["text"], button["action"]) for button in buttons) if buttons is not None else None,
    )


def _viber_variant(message: dict[str, Any]) -> Variant:
    """What Viber's own types have in common with every channel's content is that; the rest is native."""
    kind = message.get("type")
    sender = message.get("sender") or {}
    native = {name: message[name] for name in _OF_PROVIDER if message.get(name) is not None}
    if sender.get("avatar") is not None:
        native["avatar"] = sender["avatar"]
    if kind in ("url", "contact", "location", "sticker", "rich_media"):
        native["type"] = kind
        if kind == "url":
            native["media"] = message["media"]
    return Variant(
        text=message.get("text"), sender=sender.get("name"), media=_viber_media(message), native=native or None
    )


def _viber_media(message: dict[str, Any]) -> Media | None:
    """None: as every other channel; no media at all for a text that says it is one."""
    url, kind = message.get("media"), message.get("type")
    if kind == "text":
        return Media()
    if url is None or kind == "url":
        return None
    size_bytes = message.get("size")
    thumbnail = message.get("thumbnail")
    if kind == "video":
        return Media(video=url, thumbnail=thumbnail, duration_s=message.get("duration"), size_bytes=size_bytes)
    if kind == "file":
        return Media(file=url, file_name=message.get("fileName"), size_bytes=size_bytes)
    return Media(image=url, thumbnail=thumbnail)


_SAME = Variant()
_NO_WISHES = Wishes()


def _media(media: dict[str, Any]) -> Media:
    return Media(
        image=media.get("image"),
        video=media.get("video"),
        thumbnail=media.get("thumbnail"),
        file=media.get("file"),
        file_name=media.get("fileName"),
        duration_s=media.get("duration"),
        size_bytes=media.get("fileSize"),
    )


def _holds_nul(values: dict[str, Any], path: str) -> bool:
    outer, _, inner = path.partition(".")
    value = values.get(outer)
    if inner and isinstance(value, dict):
        value = value.get(inner)
    return _has_nul(value)


def _has_nul(value: object) -> bool:
    if isinstance(value, dict):
        return any(_has_nul(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return any(map(_has_nul, value))
    return isinstance(value, str) and "\0" in value


def _rank(path: str | None) -> int:
    return len(_RANKS) if path is None else _RANKS.get(path, len(_RANKS))


def _unknown_fault(unknown: Unknown, index: int | None) -> Fault:
    shown = unknown.name if len(unknown.name) <= MAX_NAME else f"{unknown.name[:MAX_NAME]}…"
    fix = "remove it" if unknown.meant is None else f"did you mean {unknown.meant}?"
    return Fault(ErrorCode.UNKNOWN_FIELD, f"{shown} is not a known field: {fix}", unknown.name, index)


def _refusal(code: ErrorCode, message: str, name: str | None = None) -> InvalidRequest:
    return InvalidRequest([Fault(code, message, name)])
