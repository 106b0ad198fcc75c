"""A secret is seen only where it is revealed."""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from cascade.core.secret import Secret

VALUE = "123456:AAH-very-secret"


@dataclass(frozen=True)
class Bot:
    token: Secret


SHOWN = {
    "repr": lambda secret: repr(secret),
    "str": lambda secret: str(secret),
    "f-string": lambda secret: f"{secret}",
    "f-string with a width": lambda secret: f"{secret!s:>40}",
    "percent": lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - a log call of the old kind
    "inside a dataclass": lambda secret: repr(Bot(secret)),
    "inside a dataclass made a dict": lambda secret: repr(dataclasses.asdict(Bot(secret))),
    "inside a container": lambda secret: repr([{"token": secret}]),
}


@pytest.mark.parametrize("show", SHOWN.values(), ids=SHOWN)
def test_it_is_never_shown(show: Callable[[Secret], str]) -> None:
    shown = show(Secret(VALUE))

    assert "***" in shown
    assert "secret" not in shown
    assert "123456" not in shown


def test_it_is_revealed_on_request() -> None:
    assert Secret(VALUE).reveal() == VALUE


def test_equal_values_are_equal_and_hash_alike() -> None:
    assert Secret(VALUE) == Secret(VALUE)
    assert hash(Secret(VALUE)) == hash(Secret(VALUE))
    assert Secret(VALUE) != Secret("other")
    assert Secret("ключ") == Secret("ключ")
    assert Secret(VALUE) != VALUE


def test_an_empty_one_is_false() -> None:
    assert not Secret("")
    assert Secret(VALUE)


MISUSES = {
    "joined": lambda secret: "".join([secret]),
    "added": lambda secret: "/bot" + secret,
    "made JSON": lambda secret: json.dumps({"token": secret}),
}


@pytest.mark.parametrize("misuse", MISUSES.values(), ids=MISUSES)
def test_taking_it_for_a_text_fails(misuse: Callable[[Secret], str]) -> None:
    with pytest.raises(TypeError):
        misuse(Secret(VALUE))
