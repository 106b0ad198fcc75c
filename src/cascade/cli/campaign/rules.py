"""What a campaign's messages must be before the gateway is asked: its own rules, found in the row at once."""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

PHONE: Final = re.compile(r"\+[1-9][0-9]{6,14}")
WITH_FRACTION: Final = re.compile(r"(\+?[0-9]+)[.,]0+")
CUT: Final = re.compile(r"[0-9]+[.,]?[0-9]*[eE]\+?[0-9]+")
# The marks of direction and of no width come along when a phone is copied from a list of contacts or a web page; the
# apostrophe marks a text in a spreadsheet.
SEPARATORS: Final = re.compile(r"^'|[\s().\-‐-―/\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]+")
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
TYPES: Final = ("transaction", "promo", "viber_survey", "flashcall")
LONGEST_NAME: Final = 255
LONGEST_TEXT: Final = 4_096
LONGEST_SURVEY: Final = 85


class Fault(NamedTuple):
    """In the words of the API: `code` and `field` are the contract's."""

    code: str
    field: str | None
    reason: str


def phone(written: str, country: str | None) -> str:
    """The number as the contract wants it, as far as that can be known: without what people put between the digits,
    with the plus for 00. `country` (such as 380) is for numbers without a plus: 0671112233 and 380671112233. A table
    that took phones for numbers may have written 380671112233.0, whose last digit is none of the phone's."""
    written = written.strip()
    fraction = WITH_FRACTION.fullmatch(written)
    number = SEPARATORS.sub("", written if fraction is None else fraction[1])
    if number.startswith("00"):
        return f"+{number[2:]}"
    if country is not None and number.isdecimal():
        if number.startswith(country):
            return f"+{number}"
        if number.startswith("0"):
            return f"+{country}{number[1:]}"
    return number


def cut_phone(written: str) -> Fault | None:
    """Why there is no phone in 3.80671E+11, as spreadsheets show and save long numbers: some digits are gone."""
    if CUT.fullmatch(written.strip()) is None:
        return None
    reason = "a spreadsheet cut its last digits: make the column text there, and fill it in anew"
    return Fault("INVALID_PHONE", "toPhone", reason)


def fault(message: Mapping[str, Any]) -> Fault | None:
    """The first rule that a message breaks; None: it may be sent, for all we know here."""
    number = message.get("toPhone") or ""
    if not PHONE.fullmatch(number):
        hint = ": no plus; --country 380 makes one of 067… or 38067…" if str(number).isdecimal() else ""
        return Fault("INVALID_PHONE", "toPhone", f"not + and 7 to 15 digits{hint}")
    for name, code in (("id", "INVALID_ID"), ("fromName", "INVALID_FIELD")):
        value = message.get(name) or ""
        if not 1 <= len(value) <= LONGEST_NAME or (name == "id" and CONTROL.search(value)):
            return Fault(code, name, f"not 1 to {LONGEST_NAME} characters")
    if message.get("messageType") not in TYPES:
        return Fault("INVALID_MESSAGE_TYPE", "messageType", f"not one of {', '.join(TYPES)}")
    text = message.get("text") or ""
    if not text and message["messageType"] != "flashcall":
        return Fault("TEXT_REQUIRED", "text", "there is no text")
    longest = LONGEST_SURVEY if message["messageType"] == "viber_survey" else LONGEST_TEXT
    if len(text) > longest:
        return Fault("TEXT_TOO_LONG", "text", f"{len(text)} characters, more than {longest}")
    return None
