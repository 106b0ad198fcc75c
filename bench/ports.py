"""Ports for whoever needs some."""

import random
import socket
from contextlib import ExitStack, suppress

from bench.http_client import HOST

BELOW_EPHEMERAL = range(20_000, 32_000)
"""Ports that no outgoing connection takes while we look at them."""


def free_ports(count: int) -> int:
    """The first of so many free ports in a row."""
    while True:
        first = random.choice(BELOW_EPHEMERAL)
        with ExitStack() as stack, suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind((HOST, port))
            return first


def free_port() -> int:
    """Of many that are asked for at once no two are the same: the system gives them one after the other."""
    with socket.create_server((HOST, 0)) as server:
        port: int = server.getsockname()[1]
        return port
