"""The names a client may give to the fields of a message: the contract's, its aliases, mistyped ones, and extras."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple

from cascade.api.message_schema import (
    RULES,
    ButtonIn,
    FallbackIn,
    MediaIn,
    MessageIn,
    TgMessageIn,
    ViberMessageIn,
)

MAX_FIELDS: Final = 50  # in one object, twice what the contract has: each unknown name costs a look for its like

_MEDIA = {name: f"media.{name}" for name in MediaIn.__annotations__} | {"img": "media.image", "fileUrl": "media.file"}
_BUTTON = {name: f"button.{name}" for name in ButtonIn.__annotations__}
_FALLBACK = {name: f"fallback.{name}" for name in FallbackIn.__annotations__}
_TELEGRAM = {name: f"tgMessage.{name}" for name in TgMessageIn.__annotations__} | {
    "photo_url": "tgMessage.photoUrl",
    "chat_id": "tgMessage.chatId",
}
_VIBER = {name: f"viberMessage.{name}" for name in ViberMessageIn.__annotations__} | {
    "min_api_version": "viberMessage.minApiVersion",
    "file_name": "viberMessage.fileName",
    "sticker_id": "viberMessage.stickerId",
    "rich_media": "viberMessage.richMedia",
    "alt_text": "viberMessage.altText",
    "tracking_data": "viberMessage.trackingData",
}
_BUTTON_ALIASES = {"buttonText": "button.text", "buttonAction": "button.url"}
_MESSAGE = {name: name for name in MessageIn.__annotations__}
_MESSAGE_ALIASES = {"recipient": "toPhone", "scheduledTime": "scheduledSent", "sheduledSent": "scheduledSent"}

PATHS: Final[dict[str, dict[str, str]]] = {
    "": _MESSAGE | _MESSAGE_ALIASES | _BUTTON_ALIASES | {"messageData": "messageData"},
    "media": _MEDIA,
    "button": _BUTTON,
    "messageData": _MEDIA | _BUTTON_ALIASES,
    "fallback": _FALLBACK,
    "tgMessage": _TELEGRAM,
    "viberMessage": _VIBER,
}
"""The object a name stands in ("" is the message), the name, and the path it means."""

_CANONICAL = frozenset(_MESSAGE)
_CANONICAL_INSIDE = tuple(
    (name, frozenset(inside.__annotations__))
    for name, inside in (
        ("media", MediaIn),
        ("button", ButtonIn),
        ("fallback", FallbackIn),
        ("tgMessage", TgMessageIn),
        ("viberMessage", ViberMessageIn),
    )
)
_OBJECTS = frozenset(name for name, _ in _CANONICAL_INSIDE)


class Unknown(NamedTuple):
    """A field that is not ours. `meant` is the known name it looks like, `path` what that one means; else None."""

    name: str
    meant: str | None = None
    path: str | None = None


@dataclass(slots=True)
class Settled:
    """A message under its canonical names, without nulls.

    `spelled` gives the client's name of a path that came by another one. `ignored` are extras without effect.
    `broken` pairs a path with what is wrong about its names, in words that follow the name.
    """

    item: dict[str, Any] = field(default_factory=dict)
    spelled: dict[str, str] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    mistyped: list[Unknown] = field(default_factory=list)
    broken: list[tuple[str, str]] = field(default_factory=list)


def is_canonical(item: dict[str, Any]) -> bool:
    """Whether every name is the contract's own, as nearly always, so that there is nothing to settle."""
    if not _CANONICAL.issuperset(item):
        return False
    if _OBJECTS.isdisjoint(item):
        return True
    return all(names.issuperset(item[name]) for name, names in _CANONICAL_INSIDE if isinstance(item.get(name), dict))


def settle(item: dict[str, Any]) -> Settled:
    """Resolve the aliases and sort out the unknown names of one message."""
    settled = Settled()
    _settle_inside(settled, "", item)
    return settled


def _settle_inside(settled: Settled, container: str, fields: dict[str, Any]) -> None:
    if len(fields) > MAX_FIELDS:
        settled.broken.append((container, f"has more than {MAX_FIELDS} fields: send only those of the contract"))
        return
    paths = PATHS[container]
    for name, value in fields.items():
        path = paths.get(name)
        spelled = f"{container}.{name}" if container else name
        if path is None:
            unknown = _judge(container, name, spelled, fields)
            if unknown.meant is None:
                settled.ignored.append(spelled)
            else:
                settled.mistyped.append(unknown)
        elif value is None:
            pass
        elif path not in PATHS:
            _place(settled, path, spelled, value)
        elif isinstance(value, dict):
            if path in _OBJECTS:
                settled.item.setdefault(path, {})
            _settle_inside(settled, path, value)
        else:
            settled.broken.append((path, RULES[path].must))


def _place(settled: Settled, path: str, spelled: str, value: object) -> None:
    outer, _, inner = path.rpartition(".")
    target = settled.item.setdefault(outer, {}) if outer else settled.item
    if inner in target:
        if target[inner] != value:
            other = settled.spelled.get(path, path)
            settled.broken.append((path, f"is given as {other} and, differently, as {spelled}: send one of them"))
        return
    target[inner] = value
    if spelled != path:
        settled.spelled[path] = spelled


def _judge(container: str, name: str, spelled: str, fields: dict[str, Any]) -> Unknown:
    """Tell a mistyped name from an extra.

    A near miss of a field that is there under its own name (`texts` beside `text`) is an extra.
    """
    paths = PATHS[container]
    likeness = resembled(container, name)
    if likeness is None:
        return Unknown(spelled)
    meant, is_variant = likeness
    path = paths.get(meant, meant)
    if not is_variant and any(paths.get(other, other) == path for other in fields):
        return Unknown(spelled)
    return Unknown(spelled, meant, path)


class Likeness(NamedTuple):
    """`is_variant`: the same letters, in another case or with other word marks (`to_phone`)."""

    name: str
    is_variant: bool


def resembled(container: str, name: str) -> Likeness | None:
    """The known name of `container` that an unknown name looks like; None for an extra of the client's own.

    Near is one typing slip: a letter more, less, or wrong, or two swapped. `id` and `text` have too many honest
    neighbours (`uid`, `test`), and are missed soon enough when they are not there.
    """
    if len(name) > 40:
        return None
    return _resembled(container, name)


@lru_cache(maxsize=4_096)
def _resembled(container: str, name: str) -> Likeness | None:
    word = _bare(name)
    if word in _VARIANTS[container]:
        return Likeness(_VARIANTS[container][word], is_variant=True)
    for part in _slips(word):
        if part in _NEAR[container]:
            return Likeness(_NEAR[container][part], is_variant=False)
    if not container:
        if word.startswith(("schedul", "shedul")):  # to miss it would send a campaign at once
            return Likeness("scheduledSent", is_variant=False)
        if word.startswith("ttl") or set(word) == set("ttl"):
            return Likeness("ttl", is_variant=False)
    return None


def _bare(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


def _slips(word: str) -> list[str]:
    """The word, and the word without each of its letters: two words one slip apart share one of these."""
    return [word, *(word[:place] + word[place + 1 :] for place in range(len(word)))]


_VOCABULARY = {container: [*paths] for container, paths in PATHS.items()}
_VARIANTS = {container: {_bare(name): name for name in reversed(names)} for container, names in _VOCABULARY.items()}
_NEAR = {
    container: {
        slip: name for name in reversed(names) if len(name) > 3 and name != "text" for slip in _slips(_bare(name))
    }
    for container, names in _VOCABULARY.items()
}
