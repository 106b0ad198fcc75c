"""What RCS takes, for partners who pass it on to Google, at each limit and one beyond."""

import pytest

from cascade.channels.rcs.content import Form, label, shown
from cascade.core.content import Button, Content, Media
from cascade.core.words import MessageType

IMAGE = "https://cdn.example/sale.jpg"
OPEN = Button("Open", "https://shop.example")


def of_length(url: str, length: int) -> str:
    return url.replace("cdn.example", "cdn.example/" + "x" * (length - len(url) - 1))


def chips(count: int) -> tuple[str, ...]:
    return tuple(f"Option {number}" for number in range(count))


FORMS: dict[str, tuple[Content, tuple[Form, int, int] | None]] = {  # its form, options and buttons that stay such
    "3,072 signs": (Content("x" * 3_072), (Form.TEXT, 0, 0)),
    "3,073 signs": (Content("x" * 3_073), None),
    "2,000 signs under a picture": (Content("x" * 2_000, media=Media(image=IMAGE)), (Form.CARD, 0, 0)),
    "2,001 signs and a picture": (Content("x" * 2_001, media=Media(image=IMAGE)), (Form.TEXT, 0, 0)),
    "four chips under a picture": (Content("Sale", chips(3), Media(image=IMAGE), (OPEN,)), (Form.CARD, 3, 1)),
    "five chips and a picture": (Content("Sale", chips(4), Media(image=IMAGE), (OPEN,)), (Form.TEXT, 4, 1)),
    "eleven chips": (Content("Sale", chips(10), buttons=(OPEN,)), (Form.TEXT, 10, 1)),
    "eleven options and a button: a link": (Content("Sale", chips(11), buttons=(OPEN,)), (Form.TEXT, 11, 0)),
    "twelve options": (Content("Sale", chips(12)), None),
    "a button's link of 2,048 signs": (
        Content("Sale", buttons=(Button("Open", of_length(IMAGE, 2_048)),)),
        (Form.TEXT, 0, 1),
    ),
    "a button's link of 2,049 signs": (
        Content("Sale", buttons=(Button("Open", of_length(IMAGE, 2_049)),)),
        (Form.TEXT, 0, 0),
    ),
    "a picture's link of 1,000 signs": (
        Content("Sale", media=Media(image=of_length(IMAGE, 1_000))),
        (Form.CARD, 0, 0),
    ),
    "a picture's link of 1,001 signs": (
        Content("Sale", media=Media(image=of_length(IMAGE, 1_001))),
        (Form.TEXT, 0, 0),
    ),
    "a picture alone": (Content("", media=Media(image=IMAGE)), (Form.IMAGE, 0, 0)),
    "a video alone": (Content("", media=Media(video="https://cdn.example/a.mp4")), (Form.VIDEO, 0, 0)),
    "a PDF alone": (Content("", media=Media(file="https://cdn.example/a.PDF")), (Form.FILE, 0, 0)),
    "a table alone": (Content("", media=Media(file="https://cdn.example/a.csv")), (Form.TEXT, 0, 0)),
}


@pytest.mark.parametrize(("content", "expected"), FORMS.values(), ids=FORMS)
def test_the_limits_are_those_of_rcs(content: Content, expected: tuple[Form, int, int] | None) -> None:
    said = shown(content, MessageType.PROMO)
    assert (said and (said.form, len(said.options), len(said.buttons))) == expected
    if said is not None and len(said.buttons) < len(content.buttons):
        assert content.buttons[-1].url in said.text


def test_a_chip_has_25_signs() -> None:
    assert (label("x" * 25), label("x" * 26)) == ("x" * 25, "x" * 24 + "…")
