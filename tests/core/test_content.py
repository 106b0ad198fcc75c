"""What each step says, through the store and back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.core.content import Button, Content, Media, Said, Variant, encode_extras, for_step, plain_text, varied
from cascade.core.words import MessageType

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
links = texts.map(lambda text: f"https://example.com/{text}")
buttons = st.lists(st.builds(Button, texts, links), max_size=2).map(tuple)
media = st.builds(
    Media,
    image=st.none() | links,
    video=st.none() | links,
    thumbnail=st.none() | links,
    file=st.none() | links,
    file_name=st.none() | texts,
    duration_s=st.none() | st.integers(0, 600),
    size_bytes=st.none() | st.integers(0, 2**40),
)
contents = st.builds(
    Content, texts, st.lists(texts, max_size=5).map(tuple), media=st.none() | media, buttons=buttons, native=st.none()
)
variants = st.builds(
    Variant,
    text=st.none() | texts,
    sender=st.none() | texts,
    type=st.none() | st.sampled_from(MessageType),
    media=st.none() | media,
    buttons=st.none() | buttons,
    native=st.none() | st.dictionaries(texts, texts | st.integers() | st.booleans(), max_size=2),
)


@given(contents, st.lists(st.none() | variants, max_size=4))
def test_each_step_says_what_it_was_given_to_say(content: Content, given_: list[Variant | None]) -> None:
    extras = encode_extras(content, given_)
    for step, variant in enumerate([*given_, None]):
        own = variant or Variant()
        assert for_step(content.text, extras, step) == Said(varied(content, variant), own.sender, own.type)


@given(texts)
def test_plain_text_takes_no_room_beside_itself(text: str) -> None:
    assert encode_extras(Content(text), [None, None]) is None
    assert for_step(text, None, 3) == Said(Content(text))


def test_extras_are_readable() -> None:
    extras = encode_extras(Content("Так?", ("так", "ні"), Media(image="https://example.com/a.png")))
    assert extras is not None
    assert json.loads(extras) == {"options": ["так", "ні"], "media": {"image": "https://example.com/a.png"}}
    assert "так" in extras


SHOP = Button("Shop", "https://example.com/shop")
PICTURE = Media(image="https://example.com/a.png")
RICH = Content("Hello", media=PICTURE, buttons=(SHOP,))
VARIED = {  # variant: what the step says
    "nothing of its own": (Variant(), RICH),
    "its own text": (Variant(text="Hi"), Content("Hi", media=PICTURE, buttons=(SHOP,))),
    "no media at all": (Variant(media=Media()), Content("Hello", buttons=(SHOP,))),
    "no buttons at all": (Variant(buttons=()), Content("Hello", media=PICTURE)),
    "what only its provider knows": (
        Variant(native={"min_api_version": 7}),
        Content("Hello", media=PICTURE, buttons=(SHOP,), native={"min_api_version": 7}),
    ),
}


@pytest.mark.parametrize(("variant", "expected"), VARIED.values(), ids=VARIED.keys())
def test_a_step_with(variant: Variant, expected: Content) -> None:
    assert varied(RICH, variant) == expected


@given(variants, st.none() | variants)
def test_of_two_variants_the_first_word_counts(one: Variant, other: Variant | None) -> None:
    both = one.over(other)
    for name in ("text", "sender", "type", "media", "buttons", "native"):
        mine, theirs = getattr(one, name), getattr(other, name, None)
        assert getattr(both, name) == (theirs if mine is None else mine)


PLAIN = {
    "text alone": (Content("Hello"), "Hello"),
    "a survey's options, numbered": (Content("Так?", ("так", "ні")), "Так?\n1. так\n2. ні"),
    "a picture's link": (Content("Hello", media=PICTURE), "Hello\nhttps://example.com/a.png"),
    "a button's link": (RICH, "Hello\nhttps://example.com/a.png Shop: https://example.com/shop"),
    "a button alone": (Content("", buttons=(SHOP,)), "Shop: https://example.com/shop"),
}


@pytest.mark.parametrize(("content", "expected"), PLAIN.values(), ids=PLAIN.keys())
def test_where_only_text_goes(content: Content, expected: str) -> None:
    assert plain_text(content) == expected
