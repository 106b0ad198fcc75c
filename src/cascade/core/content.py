"""What a message says, whatever channel carries it, and what single steps of its route say instead."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

from cascade.core.words import MessageType


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
    """A button that opens a link."""

    text: str
    url: str


@dataclass(slots=True)  # changed by nobody, and not frozen: that would take several times as long to make
class Content:
    """`text` is complete: placeholders were replaced when the message was accepted; empty for a flash call.

    `options` are the answers of a survey, in order; empty for every other type. `reply_hint` says how to answer where
    they can only be listed. `native` holds what only one provider has and the client wrote for it, under the contract's
    names: that provider's adapter knows each of them, and no other adapter is given any.
    """

    text: str
    options: tuple[str, ...] = ()
    media: Media | None = None
    buttons: tuple[Button, ...] = ()
    native: Mapping[str, Any] | None = None
    reply_hint: str = ""

    @property
    def is_text(self) -> bool:
        """Whether there is nothing but text."""
        return not (self.options or self.media or self.buttons or self.native)


@dataclass(frozen=True, slots=True)
class Variant:
    """What one step says in place of the message's own; None: the same. `Media()` is no media at all."""

    text: str | None = None
    sender: str | None = None
    type: MessageType | None = None
    media: Media | None = None
    buttons: tuple[Button, ...] | None = None
    native: Mapping[str, Any] | None = None

    def over(self, other: "Variant | None") -> "Variant":
        """Both in one: this one's word counts where both speak."""
        if other is None:
            return self
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return Variant(**{name: getattr(other, name) if said is None else said for name, said in own.items()})


class Said(NamedTuple):
    """What a step says. `sender` and `type` None: the message's own."""

    content: Content
    sender: str | None = None
    type: MessageType | None = None


def plain_text(content: Content) -> str:
    """The content as text alone: options as numbered lines and how to answer, then links, the buttons last."""
    if content.is_text:
        return content.text
    lines = [content.text, *(f"{number}. {option}" for number, option in enumerate(content.options, 1))]
    if content.options:
        lines.append(content.reply_hint)
    if content.media is not None:
        lines += [link for link in (content.media.image, content.media.video, content.media.file) if link]
    text = "\n".join(line for line in lines if line)
    for button in content.buttons:
        link = f"{button.text}: {button.url}"
        text = f"{text} {link}" if text else link
    return text


def varied(content: Content, variant: Variant | None) -> Content:
    """The content as a step with this variant says it."""
    if variant is None:
        return content
    return Content(
        content.text if variant.text is None else variant.text,
        content.options,
        content.media if variant.media is None else None if variant.media == Media() else variant.media,
        content.buttons if variant.buttons is None else variant.buttons,
        variant.native,
        content.reply_hint,
    )


def encode_extras(content: Content, variants: Sequence[Variant | None] = ()) -> str | None:
    """All but the text, as JSON to be stored beside it; None when there is nothing but text.

    `variants` stand in the order of the route's steps.
    """
    if content.is_text and not variants:
        return None
    extras: dict[str, Any] = {}
    if content.options:
        extras["options"] = content.options
        if content.reply_hint:
            extras["hint"] = content.reply_hint
    if content.media is not None:
        extras["media"] = _encode_media(content.media)
    if content.buttons:
        extras["buttons"] = [asdict(button) for button in content.buttons]
    steps = {str(step): _encode_variant(variant) for step, variant in enumerate(variants) if variant is not None}
    if steps:
        extras["steps"] = steps
    return json.dumps(extras, ensure_ascii=False, separators=(",", ":")) if extras else None


def for_step(text: str, extras: str | None, step: int) -> Said:
    """What the step at that place of the route says, read from what was stored."""
    if extras is None:
        return Said(Content(text))
    values = json.loads(extras)
    content = Content(
        text,
        options=tuple(values.get("options", ())),
        media=Media(**values["media"]) if "media" in values else None,
        buttons=_decode_buttons(values.get("buttons", ())),
        reply_hint=values.get("hint", ""),
    )
    said = values.get("steps", {}).get(str(step))
    if said is None:
        return Said(content)
    variant = _decode_variant(said)
    return Said(varied(content, variant), variant.sender, variant.type)


def _encode_media(media: Media) -> dict[str, Any]:
    return {name: value for name, value in asdict(media).items() if value is not None}


def _encode_variant(variant: Variant) -> dict[str, Any]:
    values = {field.name: getattr(variant, field.name) for field in fields(variant)}
    said = {name: value for name, value in values.items() if value is not None}
    if variant.media is not None:
        said["media"] = _encode_media(variant.media)
    if variant.buttons is not None:
        said["buttons"] = [asdict(button) for button in variant.buttons]
    return said


def _decode_variant(said: dict[str, Any]) -> Variant:
    return Variant(
        text=said.get("text"),
        sender=said.get("sender"),
        type=MessageType(said["type"]) if "type" in said else None,
        media=Media(**said["media"]) if "media" in said else None,
        buttons=_decode_buttons(said["buttons"]) if "buttons" in said else None,
        native=said.get("native"),
    )


def _decode_buttons(buttons: Sequence[dict[str, str]]) -> tuple[Button, ...]:
    return tuple(Button(**button) for button in buttons)
