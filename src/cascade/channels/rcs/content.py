"""How RCS shows a content, for partners who pass it on to Google (`google.py` speaks to Google itself).

- One picture or video stands in a card above the text (at most 2,000 characters and 4 chips there), or goes alone where
  there is no text; a PDF without text goes as a file. Any other medium becomes a link under the text.
- A survey's options are chips that reply, a button is a chip that opens its link: at most 11 beside a text, of 25
  characters each (a longer one is cut, and ends in an ellipsis). What is too much for chips becomes a link.
"""

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from cascade.channels.fitting import Change, Fitted
from cascade.core.content import Button, Content, Media, plain_text
from cascade.core.words import MessageType

MAX_TEXT = 3072
MAX_CARD_TEXT = 2000
MAX_CHIPS = 11
MAX_CARD_CHIPS = 4
MAX_CHIP = 25
MAX_URL = 2048
MAX_FILE_URL = 1000


class Form(StrEnum):
    TEXT = "text"
    CARD = "card"
    IMAGE = "image"  # alone, as the two that follow
    VIDEO = "video"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Shown:
    """`file` and `thumbnail` are links to what is shown, None for a text. `buttons` are those that are chips."""

    form: Form
    text: str
    file: str | None = None
    thumbnail: str | None = None
    options: tuple[str, ...] = ()
    buttons: tuple[Button, ...] = ()
    changes: tuple[Change, ...] = ()


def shown(content: Content, type: MessageType) -> Shown | None:  # noqa: A002 - the word of the house
    """None: RCS cannot carry it."""
    if type is MessageType.FLASHCALL or len(content.options) > MAX_CHIPS:
        return None
    room = MAX_CHIPS - len(content.options)
    buttons = tuple(button for button in content.buttons if len(button.url) <= MAX_URL)[:room]
    has_all_buttons = len(buttons) == len(content.buttons)
    media = content.media or Media()
    given = [url for url in (media.video, media.image, media.file) if url]
    chips = len(content.options) + len(buttons)
    if (visual := _visual(media)) is not None and has_all_buttons:
        thumbnail = media.thumbnail or (media.image if media.video else None)
        if content.text and len(content.text) <= MAX_CARD_TEXT and chips <= MAX_CARD_CHIPS:
            return Shown(Form.CARD, content.text, visual, thumbnail, content.options, buttons)
        if not content.text and not chips:
            return Shown(Form.VIDEO if media.video else Form.IMAGE, "", visual, thumbnail)
    if _is_document(content, media):
        return Shown(Form.FILE, "", media.file)
    linked = () if has_all_buttons else tuple(button for button in content.buttons if button not in buttons)
    text = plain_text(Content(content.text, media=content.media, buttons=linked))
    if not 0 < len(text) <= MAX_TEXT:
        return None
    changes = (
        *((Change.MEDIA_AS_LINKS,) if given else ()),
        *((Change.BUTTONS_AS_LINKS,) if linked else ()),
    )
    return Shown(Form.TEXT, text, options=content.options, buttons=buttons, changes=changes)


def fitted(content: Content, type: MessageType) -> Fitted | None:  # noqa: A002
    said = shown(content, type)
    return None if said is None else Fitted(said.text, said.changes)


def label(text: str) -> str:
    return text if len(text) <= MAX_CHIP else f"{text[: MAX_CHIP - 1]}…"


def payload(message_id: bytes, place: int) -> str:
    """What a tap on an option brings back to us: letters and digits that no partner changes."""
    return f"{message_id.hex()}_{place}"


def tapped(payload: str) -> str:
    """The payload of a tap as every channel of ours spells it: message and place of the option."""
    return payload.replace("_", ":")


def _visual(media: Media) -> str | None:
    """The picture or video, when that and its preview are all there is."""
    shown = media.video or media.image
    links = (shown, media.thumbnail, media.image)
    if shown is None or media.file or any(len(link) > MAX_FILE_URL for link in links if link):
        return None
    return shown


def _is_document(content: Content, media: Media) -> bool:
    is_alone = not (content.text or content.buttons or content.options or media.image or media.video)
    return (
        is_alone
        and media.file is not None
        and len(media.file) <= MAX_FILE_URL
        and urlsplit(media.file).path.lower().endswith(".pdf")
    )
