"""A connection to whichever of a host's addresses answers: one that is away must not stand in front of the others."""

import asyncio
import ssl
from collections.abc import Callable, Iterable
from socket import IPPROTO_TCP, SOCK_STREAM, TCP_NODELAY
from typing import TypeVar, cast

import aiohappyeyeballs

NEXT_ADDRESS_S = 0.25
"""How long one of a host's addresses may take before the next is tried beside it (RFC 8305)."""

AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]

P = TypeVar("P", bound=asyncio.Protocol)


async def look_up(host: str, port: int) -> list[AddressInfo]:
    """A host's addresses. Raises OSError or, for a name that can be none, UnicodeError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=SOCK_STREAM)
    return cast(list[AddressInfo], found)


async def connect(
    make: Callable[[], P],
    addresses: Iterable[AddressInfo],
    tls: ssl.SSLContext | None,
    server_name: str,
    local: Iterable[AddressInfo] = (),
) -> P:
    """The protocol that `make` made, connected without Nagle's delay. `server_name` is whose certificate `tls` wants;
    `local`, the addresses to speak from; none: any. Raises OSError."""
    loop = asyncio.get_running_loop()
    socket = await aiohappyeyeballs.start_connection(
        list(addresses),
        local_addr_infos=list(local) or None,
        happy_eyeballs_delay=NEXT_ADDRESS_S,
        interleave=1,
        loop=loop,
    )
    try:
        socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        _, protocol = await loop.create_connection(
            make, sock=socket, ssl=tls, server_hostname=server_name if tls is not None else None
        )
    except BaseException:
        socket.close()
        raise
    return protocol
