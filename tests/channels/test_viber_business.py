"""What Viber takes of a business, at each limit and one beyond: as itself, as a link, or not at all."""

from typing import Any

import pytest

from cascade.channels.viber_business import Kind, Partner, shown
from cascade.core.content import Button, Content, Media
from cascade.core.words import MessageType

PROMO, PLAIN, SURVEY = MessageType.PROMO, MessageType.TRANSACTION, MessageType.VIBER_SURVEY
PARTNER = Partner(has_lists=True, needs_video_size=True, max_file_name=25)
IMAGE, VIDEO = "https://cdn.example/sale.jpg", "https://cdn.example/sale.mp4"
MB = 1024 * 1024


def of_length(url: str, length: int) -> str:
    return url.replace("cdn.example", "cdn.example/" + "x" * (length - len(url) - 1))


def picture(url: str) -> Content:
    return Content("Sale", media=Media(image=url))


def film(**media: Any) -> Content:
    given = {"video": VIDEO, "thumbnail": IMAGE, "duration_s": 10, "size_bytes": MB}
    return Content("Sale", media=Media(**{**given, **media}))


def a_button(text: str = "Open", url: str = "https://shop.example") -> Content:
    return Content("Sale", buttons=(Button(text, url),))


def question(text: str, *options: str) -> Content:
    return Content(text, options=options)


KINDS: dict[str, tuple[MessageType, Content, Kind | None]] = {  # None: Viber cannot carry it
    "1,000 signs": (PROMO, Content("x" * 1_000), Kind.TEXT),
    "1,001 signs": (PROMO, Content("x" * 1_001), None),
    "a picture's link of 1,000 signs": (PROMO, picture(of_length(IMAGE, 1_000)), Kind.IMAGE),
    "a picture's link of 1,001 signs, and no room for it": (PROMO, picture(of_length(IMAGE, 1_001)), None),
    "JPEG by its longer name": (PROMO, picture("https://cdn.example/a.JPEG?v=1"), Kind.IMAGE),
    "PNG": (PROMO, picture("https://cdn.example/a.png"), Kind.IMAGE),
    "GIF": (PROMO, picture("https://cdn.example/a.gif"), Kind.TEXT),
    "a picture of a transaction": (PLAIN, picture(IMAGE), Kind.TEXT),
    "a video of 600 s": (PROMO, film(duration_s=600), Kind.VIDEO),
    "a longer video": (PROMO, film(duration_s=601), Kind.TEXT),
    "a video of unknown length": (PROMO, film(duration_s=None), Kind.TEXT),
    "a video of 200 MB": (PROMO, film(size_bytes=200 * MB), Kind.VIDEO),
    "a larger video": (PROMO, film(size_bytes=200 * MB + 1), Kind.TEXT),
    "a video without a preview": (PROMO, film(thumbnail=None), Kind.TEXT),
    "MOV": (PROMO, film(video="https://cdn.example/a.mov"), Kind.VIDEO),
    "M4V": (PROMO, film(video="https://cdn.example/a.m4v"), Kind.VIDEO),
    "3GP": (PROMO, film(video="https://cdn.example/a.3gp"), Kind.VIDEO),
    "WebM": (PROMO, film(video="https://cdn.example/a.webm"), Kind.TEXT),
    "a list of a question of 85 signs and options of 50": (SURVEY, question("x" * 85, "a" * 50, "b"), Kind.LIST),
    "a question of 86 signs: lines": (SURVEY, question("x" * 86, "a", "b"), Kind.TEXT),
    "an option of 51 signs: lines": (SURVEY, question("So?", "a" * 51, "b"), Kind.TEXT),
    "five options": (SURVEY, question("So?", *"abcde"), Kind.LIST),
    "six options: lines": (SURVEY, question("So?", *"abcdef"), Kind.TEXT),
    "one option: lines": (SURVEY, question("So?", "a"), Kind.TEXT),
}


@pytest.mark.parametrize(("type_", "content", "kind"), KINDS.values(), ids=KINDS)
def test_the_limits_are_vibers(type_: MessageType, content: Content, kind: Kind | None) -> None:
    said = shown(content, type_, PARTNER)
    assert (said and said.kind) == kind


BUTTONS: dict[str, tuple[MessageType, Content, bool]] = {  # whether it stays one
    "a caption of 30 signs": (PROMO, a_button("x" * 30), True),
    "a caption of 31 signs": (PROMO, a_button("x" * 31), False),
    "a link of 1,000 signs": (PROMO, a_button(url="https://s.example/" + "x" * 982), True),
    "a link of 900 signs, of a transaction": (PLAIN, a_button(url="https://s.example/" + "x" * 882), False),
    "two of them": (PROMO, Content("Sale", buttons=(Button("A", IMAGE), Button("B", IMAGE))), False),
}


@pytest.mark.parametrize(("type_", "content", "is_button"), BUTTONS.values(), ids=BUTTONS)
def test_a_button_stays_one_or_becomes_a_link(type_: MessageType, content: Content, is_button: bool) -> None:
    said = shown(content, type_, PARTNER)
    assert said is not None
    assert (said.button is not None, said.text == content.text) == (is_button, is_button)


def test_a_button_whose_link_fits_neither_as_such_nor_as_text_fits_not_at_all() -> None:
    assert shown(a_button(url="https://s.example/" + "x" * 983), PROMO, PARTNER) is None


FILES = (
    *("pdf", "doc", "docx", "dot", "dotx", "rtf", "odt", "odf", "fodt", "txt", "info", "xps", "eps"),
    *("xls", "xlsx", "xlsm", "xltx", "ods", "fods", "csv"),
)


@pytest.mark.parametrize("ending", FILES)
def test_a_transaction_may_be_a_document(ending: str) -> None:
    said = shown(Content("", media=Media(file=f"https://cdn.example/a.{ending}")), PLAIN, PARTNER)
    assert said is not None
    assert (said.kind, said.media.file_name) == (Kind.FILE, f"a.{ending}")


def test_a_program_is_a_link() -> None:
    said = shown(Content("", media=Media(file="https://cdn.example/a.exe")), PLAIN, PARTNER)
    assert said is not None
    assert said.kind is Kind.TEXT


def test_a_name_too_long_for_the_partner_is_left_out() -> None:
    for name, given in {"x" * 21 + ".pdf": "x" * 21 + ".pdf", "x" * 22 + ".pdf": None}.items():
        said = shown(Content("", media=Media(file="https://cdn.example/a.pdf", file_name=name)), PLAIN, PARTNER)
        assert said is not None
        assert (said.kind, said.media.file_name) == (Kind.FILE, given)
