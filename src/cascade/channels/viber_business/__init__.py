"""Viber Business Messages: how Viber shows a content, whichever partner carries it there.

- A `transaction` is text, or one file without text: a picture or a button would make it a promotion, or be refused.
- A `promo` has a picture, or a video of known length with a preview, beside the text, and one button. What Viber would
  not take so, and every further medium and button, becomes a link under the text.
- A survey is a list of 2 to 5 options where the partner has such, else numbered lines.

Sources: https://www.infobip.com/docs/viber/business-messages, https://developer.vonage.com/en/messages/concepts/viber.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import urlsplit

from cascade.channels.fitting import Change, Fitted
from cascade.core.content import Button, Content, Media, plain_text
from cascade.core.words import MessageType

MAX_TEXT = 1000
MAX_URL = 1000
MAX_BUTTON = 30
MAX_QUESTION = 85
MAX_OPTION = 50
OPTIONS = range(2, 6)
MAX_VIDEO_S = 600
MAX_VIDEO_BYTES = 200 * 1024 * 1024
PICTURES = (".jpg", ".jpeg", ".png")
VIDEOS = (".3gp", ".m4v", ".mov", ".mp4")
DOCUMENTS = (".pdf", ".doc", ".docx", ".dot", ".dotx", ".rtf", ".odt", ".odf", ".fodt", ".txt", ".info", ".xps", ".eps")
TABLES = (".xls", ".xlsx", ".xlsm", ".xltx", ".ods", ".fods", ".csv")
FILES = DOCUMENTS + TABLES
SHORTEST_TTL_S = 30


NOTHING = Media()


class Kind(StrEnum):
    TEXT = "text"
    IMAGE = "image"
    VIDEO = "video"
    FILE = "file"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class Partner:
    """What partners differ in. `max_file_name`: a file whose name is longer is sent without it."""

    has_lists: bool = False
    buttons_on_videos: bool = True
    needs_video_size: bool = False
    max_file_name: int = 255


@dataclass(frozen=True, slots=True)
class Shown:
    """`media` holds what goes as such, nothing of it as a link. `options` only of a list."""

    kind: Kind
    text: str
    media: Media = NOTHING
    button: Button | None = None
    options: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()


def shown(content: Content, type: MessageType, partner: Partner) -> Shown | None:  # noqa: A002
    """None: Viber cannot carry it."""
    if type is MessageType.FLASHCALL:
        return None
    if content.options:
        return _survey(content, partner)
    given = content.media or Media()
    kind, media = _as_such(content, given, type, partner)
    button = _button(content, kind, type, partner)
    linked = Content(content.text, media=_rest(given, media), buttons=() if button is not None else content.buttons)
    text = plain_text(linked)
    changes = (
        *((Change.MEDIA_AS_LINKS,) if linked.media is not None else ()),
        *((Change.BUTTONS_AS_LINKS,) if linked.buttons else ()),
    )
    if len(text) > MAX_TEXT or (kind is Kind.TEXT and not text.strip()):
        return None
    return Shown(kind, text, media, button, changes=changes)


def fitted(content: Content, type: MessageType, partner: Partner) -> Fitted | None:  # noqa: A002
    said = shown(content, type, partner)
    return None if said is None else Fitted(said.text, said.changes)


def file_name(media: Media) -> str:
    """The name that the phone shows for a file."""
    return media.file_name or urlsplit(media.file or "").path.rpartition("/")[2]


def _survey(content: Content, partner: Partner) -> Shown | None:
    is_list = (
        partner.has_lists
        and len(content.options) in OPTIONS
        and 0 < len(content.text) <= MAX_QUESTION
        and all(0 < len(option) <= MAX_OPTION for option in content.options)
    )
    if is_list:
        return Shown(Kind.LIST, content.text, options=content.options)
    text = plain_text(content)
    if len(text) > MAX_TEXT:
        return None
    return Shown(Kind.TEXT, text, changes=(Change.OPTIONS_AS_NUMBERED_LINES,))


def _as_such(content: Content, media: Media, type: MessageType, partner: Partner) -> tuple[Kind, Media]:  # noqa: A002
    """The one medium that goes as itself, and what kind of message that makes."""
    if type is not MessageType.TRANSACTION:
        preview = media.thumbnail or media.image
        if _is_video(media, partner) and _is_link(preview, PICTURES):
            return Kind.VIDEO, replace(media, thumbnail=preview, image=None, file=None)
        if _is_link(media.image, PICTURES) and media.video is None:
            return Kind.IMAGE, Media(image=media.image)
    is_alone = not (content.text or content.buttons or media.image or media.video)
    if is_alone and _is_link(media.file, FILES) and file_name(media).lower().endswith(FILES):
        name = file_name(media)
        return Kind.FILE, Media(file=media.file, file_name=name if len(name) <= partner.max_file_name else None)
    return Kind.TEXT, NOTHING


def _button(content: Content, kind: Kind, type: MessageType, partner: Partner) -> Button | None:  # noqa: A002
    """The button that goes as such: one, of a promotion that has a text beside it."""
    if type is MessageType.TRANSACTION or len(content.buttons) != 1 or not content.text:
        return None
    if kind is Kind.VIDEO and not partner.buttons_on_videos:
        return None
    (button,) = content.buttons
    return button if 0 < len(button.text) <= MAX_BUTTON and len(button.url) <= MAX_URL else None


def _rest(given: Media, used: Media) -> Media | None:
    """What is left to be a link; a video's picture was its preview."""
    rest = Media(
        image=None if used.image or used.thumbnail == given.image else given.image,
        video=None if used.video else given.video,
        file=None if used.file else given.file,
    )
    return rest if rest.image or rest.video or rest.file else None


def _is_video(media: Media, partner: Partner) -> bool:
    return (
        _is_link(media.video, VIDEOS)
        and 0 < (media.duration_s or 0) <= MAX_VIDEO_S
        and (media.size_bytes or (0 if partner.needs_video_size else 1)) in range(1, MAX_VIDEO_BYTES + 1)
    )


def _is_link(url: str | None, endings: tuple[str, ...]) -> bool:
    return url is not None and len(url) <= MAX_URL and urlsplit(url).path.lower().endswith(endings)
