"""Ports for whoever needs some."""

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import cycle

from bench.http_client import HOST

BELOW_EPHEMERAL = range(20_000, 32_000)
"""Ports that no outgoing connection takes between our look at them and their use."""

_first = random.randrange(len(BELOW_EPHEMERAL))
_walk: Iterator[int] = cycle([*BELOW_EPHEMERAL[_first:], *BELOW_EPHEMERAL[:_first]])


def free_ports(count: int) -> int:
    """The first of so many free ports in a row. None is given out twice, until all were: nobody may
    listen on the last one yet."""
    while True:
        ports = [next(_walk) for _ in range(count)]
        if ports[-1] - ports[0] != count - 1:
            continue  # at the end of the range
        with ExitStack() as stack, suppress(OSError):
            for port in ports:
                stack.enter_context(socket.socket()).bind((HOST, port))
            return ports[0]


def free_port() -> int:
    return free_ports(1)
