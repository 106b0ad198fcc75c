"""What is found in a row before the gateway is asked."""

from typing import Any

import pytest

from cascade.cli.campaign import rules

PHONES = {  # as written, --country -> as sent
    "+380501112233": (None, "+380501112233"),
    " +38 (050) 111-22-33 ": (None, "+380501112233"),
    "+38\u00a0050\u2011111\u201122\u201133": (None, "+380501112233"),
    "00380501112233": (None, "+380501112233"),
    "\u202a+380501112233\u202c": (None, "+380501112233"),
    "\ufeff+38050\u200b1112233": (None, "+380501112233"),
    "'+380501112233": (None, "+380501112233"),
    "380501112233": (None, "380501112233"),
    "0501112233": ("380", "+380501112233"),
    "380 50 111 22 33": ("380", "+380501112233"),
    "+48501112233": ("380", "+48501112233"),
    "501112233": ("380", "501112233"),
    "380501112233.0": ("380", "+380501112233"),
    "+380501112233,00": (None, "+380501112233"),
    "050.111.22.00": ("380", "+380501112200"),
    "call me": ("380", "callme"),
}


@pytest.mark.parametrize("written", PHONES)
def test_phone(written: str) -> None:
    country, sent = PHONES[written]
    assert rules.phone(written, country) == sent


CUT = {  # as written: whether digits are gone
    "3.80501E+11": True,
    "3,80501E+11": True,
    " 3.8E11 ": True,
    "380501112233": False,
    "+380501112233": False,
    "Eve": False,
    "": False,
}


@pytest.mark.parametrize("written", CUT)
def test_a_phone_that_a_spreadsheet_cut_is_told_from_others(written: str) -> None:
    found = rules.cut_phone(written)
    assert (found is not None) is CUT[written]
    assert found is None or (found.code, "column text" in found.reason) == ("INVALID_PHONE", True)


GOOD = {"id": "a", "fromName": "Acme", "toPhone": "+380501112233", "messageType": "promo", "text": "Hi"}
FAULTS: dict[str, tuple[dict[str, Any], str | None]] = {
    "good": ({}, None),
    "no plus": ({"toPhone": "380501112233"}, "INVALID_PHONE"),
    "no digits": ({"toPhone": "Olena"}, "INVALID_PHONE"),
    "no phone": ({"toPhone": ""}, "INVALID_PHONE"),
    "no id": ({"id": ""}, "INVALID_ID"),
    "a long id": ({"id": "a" * 256}, "INVALID_ID"),
    "a line feed in an id": ({"id": "a\nb"}, "INVALID_ID"),
    "no sender": ({"fromName": ""}, "INVALID_FIELD"),
    "a type that nobody knows": ({"messageType": "email"}, "INVALID_MESSAGE_TYPE"),
    "no text": ({"text": ""}, "TEXT_REQUIRED"),
    "a flash call needs none": ({"messageType": "flashcall", "text": ""}, None),
    "the longest text": ({"text": "x" * 4096}, None),
    "a longer one": ({"text": "x" * 4097}, "TEXT_TOO_LONG"),
    "the longest survey": ({"messageType": "viber_survey", "text": "x" * 85}, None),
    "a longer survey": ({"messageType": "viber_survey", "text": "x" * 86}, "TEXT_TOO_LONG"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_fault(case: str) -> None:
    changes, code = FAULTS[case]
    found = rules.fault(GOOD | changes)
    assert (found and found.code) == code


def test_a_number_without_its_plus_is_told_how_to_get_it() -> None:
    found = rules.fault(GOOD | {"toPhone": "380501112233"})
    assert found is not None
    assert "--country" in found.reason
