"""What a message costs."""

from decimal import Decimal

import pytest

from cascade.core.content import Button, Content, Media
from cascade.core.prices import Price, Prices, micros_of, written
from cascade.core.words import Channel

SMS, VIBER = Channel.SMS, Channel.VIBER_BOT
PHONE = "+380501112233"
LIST = Prices(
    [
        Price(SMS, 50_000),
        Price(SMS, 40_000, sender="Shop"),
        Price(SMS, 30_000, prefix="+380"),
        Price(SMS, 20_000, prefix="+38050"),
        Price(SMS, 10_000, sender="Shop", prefix="+380"),
        Price(VIBER, 7_000),
    ]
)
LOOK_UPS = {  # channel, sender, phone, micros
    "whoever sends, wherever to": (SMS, "Bank", "+48501112233", 50_000),
    "the sender's own": (SMS, "Shop", "+48501112233", 40_000),
    "a country": (SMS, "Bank", "+380671112233", 30_000),
    "a network within it": (SMS, "Bank", PHONE, 20_000),
    "a longer prefix beats the sender's own": (SMS, "Shop", PHONE, 20_000),
    "of two as long, the sender's own": (SMS, "Shop", "+380671112233", 10_000),
    "a prefix is no other country's": (SMS, "Bank", "+38150111223", 50_000),
    "another channel": (VIBER, "Shop", PHONE, 7_000),
    "no entry is free": (Channel.TELEGRAM_BOT, "Shop", PHONE, 0),
}


@pytest.mark.parametrize(("channel", "sender", "phone", "micros"), LOOK_UPS.values(), ids=LOOK_UPS.keys())
def test_the_most_specific_entry_counts(channel: Channel, sender: str, phone: str, micros: int) -> None:
    for _ in range(2):  # found, and remembered
        assert LIST.per_part_micros(channel, sender, phone) == micros


CONTENTS = {  # content, parts by SMS
    "one part": (Content("x" * 160), 1),
    "two parts of septets": (Content("x" * 161), 2),
    "one part of Ukrainian": (Content("ї" * 70), 1),
    "two parts of Ukrainian": (Content("ї" * 71), 2),
    "options are lines of the text": (Content("x" * 155, ("Yes", "No")), 2),
    "a link is part of the text": (Content("x" * 150, media=Media(image="https://s.ua/a.png")), 2),
    "a button is part of the text": (Content("x" * 150, buttons=(Button("Go", "https://s.ua"),)), 2),
}


@pytest.mark.parametrize(("content", "parts"), CONTENTS.values(), ids=CONTENTS.keys())
def test_an_sms_costs_its_parts_and_anything_else_one(content: Content, parts: int) -> None:
    assert LIST.cost_micros(SMS, "Bank", PHONE, content) == parts * 20_000
    assert LIST.cost_micros(VIBER, "Bank", PHONE, content) == 7_000


def test_a_typographic_sign_costs_no_second_part_where_it_is_transliterated() -> None:
    content = Content("“" + "x" * 100)
    price = Price(SMS, 1)
    assert Prices([price]).cost_micros(SMS, "Bank", PHONE, content) == 2
    assert Prices([price], transliterates_sms=True).cost_micros(SMS, "Bank", PHONE, content) == 1


def test_without_a_list_everything_is_free() -> None:
    assert Prices().channels == frozenset()
    assert Prices().cost_micros(SMS, "Bank", PHONE, Content("x")) == 0


AMOUNTS = {"0": 0, "0.05": 50_000, "1": 1_000_000, "0.000001": 1, "12.340000": 12_340_000}


@pytest.mark.parametrize(("amount", "micros"), AMOUNTS.items())
def test_money_is_exact(amount: str, micros: int) -> None:
    assert micros_of(Decimal(amount)) == micros
    assert Decimal(written(micros)) == Decimal(amount)


@pytest.mark.parametrize("amount", ["0.0000001", "-1", "NaN", "Infinity"])
def test_what_is_no_amount_is_refused(amount: str) -> None:
    with pytest.raises(ValueError, match="six decimals"):
        micros_of(Decimal(amount))


WRITTEN = {0: "0.00", 50_000: "0.05", 1: "0.000001", 1_500_000: "1.50", 12_345_678: "12.345678"}


@pytest.mark.parametrize(("micros", "text"), WRITTEN.items())
def test_money_is_written_with_two_decimals_or_as_many_as_it_has(micros: int, text: str) -> None:
    assert written(micros) == text
