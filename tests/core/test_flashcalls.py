"""The code of a flash call: which digits it is, how it is typed, and that it changes from call to call."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.core.flashcalls import choose, code_of, is_caller, is_match, pattern_of, typed_digits

CALLER = "+380441456789"
CALLERS = st.integers(10_000, 10**15 - 1).map(lambda number: f"+{number}")

TYPED = {
    "456789": "456789",
    " 456789 ": "456789",
    "+380 (44) 145-67-89": "380441456789",
    "044.145.67.89": "0441456789",
    "": None,
    "45 67 8x": None,
    "٤٥٦٧٨٩": None,
    "four": None,
    "4" * 40: None,
    "456\n789": None,
    "+": None,
}


@pytest.mark.parametrize(("text", "digits"), TYPED.items(), ids=repr)
def test_what_a_person_types_is_read_as_digits(text: str, digits: str | None) -> None:
    assert typed_digits(text) == digits


def test_the_pattern_hides_what_is_no_code() -> None:
    assert (pattern_of(CALLER, 6), code_of(CALLER, 4)) == ("***456789", "6789")


NUMBERS = {"+380441234567": True, "380441234567": True, "1234": False, "Shop": False, "+38044 123": False, "": False}


@pytest.mark.parametrize(("number", "is_one"), NUMBERS.items())
def test_only_a_number_can_call(number: str, is_one: bool) -> None:
    assert is_caller(number) is is_one


@given(CALLERS, st.integers(3, 5))
def test_the_last_digits_match_and_so_does_the_whole_number(caller: str, digits: int) -> None:
    assert is_match(code_of(caller, digits), caller, digits)
    assert is_match(caller[1:], caller, digits)


@given(CALLERS, st.integers(3, 5), st.integers(0, 4), st.integers(1, 9))
def test_one_wrong_digit_does_not(caller: str, digits: int, place: int, shift: int) -> None:
    code = code_of(caller, digits)
    place %= digits
    wrong = code[:place] + str((int(code[place]) + shift) % 10) + code[place + 1 :]
    assert not is_match(wrong, caller, digits)
    assert not is_match(code[1:], caller, digits)


@given(st.lists(CALLERS, min_size=1, max_size=6), st.integers(3, 6), st.integers(0, 5))
def test_no_code_comes_twice_in_a_row_where_there_is_another(pool: list[str], digits: int, place: int) -> None:
    last = pool[place % len(pool)]
    for pick in (lambda some: some[0], lambda some: some[-1]):
        chosen = choose(pool, last, digits, pick)
        assert chosen in pool
        if len({code_of(caller, digits) for caller in pool}) > 1:
            assert code_of(chosen, digits) != code_of(last, digits)


def test_the_first_call_may_come_from_any() -> None:
    assert choose(["+380441000001", "+380441000002"], None, 6, lambda some: some[-1]) == "+380441000002"
