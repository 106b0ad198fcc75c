"""What a person's few words mean."""

import pytest

from cascade.core.replies import Keyword, Keywords, Payload, ReplyHints, chosen, read_payload

KEYWORDS = Keywords()
MEANT = {
    "STOP": Keyword.STOP,
    " stop! ": Keyword.STOP,
    "/stop": Keyword.STOP,
    "Стоп.": Keyword.STOP,
    "відписатися": Keyword.STOP,
    "«Отписаться»": Keyword.STOP,
    "Arrêt": Keyword.STOP,
    "start": Keyword.START,
    "Підписатись": Keyword.START,
    "do not stop": None,
    "stop it please": None,
    "": None,
    "!": None,
}


@pytest.mark.parametrize(("text", "keyword"), MEANT.items(), ids=MEANT)
def test_a_wish_is_all_that_was_said(text: str, keyword: Keyword | None) -> None:
    assert KEYWORDS.of(text) is keyword


def test_words_are_the_operators() -> None:
    keywords = Keywords(stop=["Genug"], start=[])
    assert (keywords.of("genug"), keywords.of("STOP")) == (Keyword.STOP, None)


OPTIONS = ("Good", "Bad", "👍", "10")
CHOSEN = {
    "1": 0,
    "2.": 1,
    " 2) ": 1,
    "good": 0,
    "BAD!": 1,
    "1. Good": 0,
    "2 bad": 1,
    "👍": 2,
    "10": 3,
    "0": None,
    "5": None,
    "1. Bad": None,
    "12": None,
    "1 2": None,
    "good bye": None,
    "": None,
}


@pytest.mark.parametrize(("text", "place"), CHOSEN.items(), ids=CHOSEN)
def test_an_option_is_chosen_by_number_or_words(text: str, place: int | None) -> None:
    assert chosen(OPTIONS, text) == place


HEX = bytes(range(16)).hex()
PAYLOADS = {
    HEX: Payload(bytes(range(16)), None),
    f"{HEX}:4": Payload(bytes(range(16)), 4),
    f"{HEX}:": None,
    f"{HEX}:44": None,
    f"{HEX}:x": None,
    f"{HEX}:²": None,
    HEX[1:]: None,
    "z" * 32: None,
    "": None,
}


@pytest.mark.parametrize(("payload", "expected"), PAYLOADS.items(), ids=PAYLOADS)
def test_a_payload_is_in_our_form_or_none(payload: str, expected: Payload | None) -> None:
    assert read_payload(payload) == expected


def test_the_hint_is_in_the_letters_of_the_text() -> None:
    hints = ReplyHints("Reply 1-{last}", "Надішліть 1-{last}")
    assert (hints.of("How?", 3), hints.of("Як?", 2)) == ("Reply 1-3", "Надішліть 1-2")
    assert ReplyHints().of("How?", 3) == ""
