"""Ports of the bench and of tests."""

import socket

import pytest

from bench import ports
from bench.http_client import HOST
from bench.ports import BELOW_EPHEMERAL, free_port, free_ports


def test_of_many_ports_that_nobody_uses_yet_no_two_are_the_same() -> None:
    first = free_ports(3)

    given = [first, first + 1, first + 2, *(free_port() for _ in range(3_000))]

    assert len(set(given)) == len(given)
    assert set(given) <= set(BELOW_EPHEMERAL)


def test_a_port_that_is_in_use_is_passed_by(monkeypatch: pytest.MonkeyPatch) -> None:
    first = free_ports(5)
    monkeypatch.setattr(ports, "_walk", iter(range(first, first + 5)))
    with socket.socket() as taken:
        taken.bind((HOST, first))

        assert free_port() in range(first + 1, first + 5)
