"""Whatever would leave this machine fails: a connection, a datagram, the look-up of a name."""

import ipaddress
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cascade.core.errors import CascadeError

_watching: list[list[str]] = []


class LeftTheMachineError(CascadeError):
    """The test spoke to somebody outside."""


def _is_here(host: object) -> bool:
    if host in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return False


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching or event not in ("socket.connect", "socket.sendto", "socket.getaddrinfo"):
        return
    host = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
    if isinstance(host, tuple):
        host = host[0]
    elif event != "socket.getaddrinfo":
        return  # a socket of this machine alone
    if not _is_here(host if not isinstance(host, bytes) else host.decode()):
        _watching[-1].append(f"{event} {host}")
        raise LeftTheMachineError(f"{event} to {host}")


sys.addaudithook(_watch)


@contextmanager
def staying_here() -> Iterator[list[str]]:
    """The list of what tried to leave, since a transport takes the refusal for a provider that is down."""
    left: list[str] = []
    _watching.append(left)
    try:
        yield left
    finally:
        _watching.pop()
