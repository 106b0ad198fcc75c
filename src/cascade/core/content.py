"""What a message says, whatever channel carries it."""

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Media:
    """Links to pictures and files; https URLs. The provider fetches them, we never do."""

    image: str | None = None
    video: str | None = None
    thumbnail: str | None = None
    file: str | None = None
    file_name: str | None = None
    duration_s: int | None = None
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Button:
    text: str
    url: str


@dataclass(frozen=True, slots=True)
class Content:
    """`text` is complete: placeholders were replaced when the message was accepted; empty for a flash call.

    `options` are the answers of a survey, in order; empty for every other type.
    """

    text: str
    options: tuple[str, ...] = ()
    media: Media | None = None
    button: Button | None = None


def encode_extras(content: Content) -> str | None:
    """All but the text, as JSON to be stored beside it; None when there is nothing but text."""
    extras: dict[str, Any] = {}
    if content.options:
        extras["options"] = content.options
    if content.media is not None:
        extras["media"] = {name: value for name, value in asdict(content.media).items() if value is not None}
    if content.button is not None:
        extras["button"] = asdict(content.button)
    return json.dumps(extras, ensure_ascii=False, separators=(",", ":")) if extras else None


def decode(text: str, extras: str | None) -> Content:
    if extras is None:
        return Content(text)
    values = json.loads(extras)
    return Content(
        text,
        options=tuple(values.get("options", ())),
        media=Media(**values["media"]) if "media" in values else None,
        button=Button(**values["button"]) if "button" in values else None,
    )
