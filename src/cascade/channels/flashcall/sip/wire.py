"""The way to the trunk: one connected UDP socket, or one TCP or TLS connection. Messages in, bytes out."""

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

import structlog

from cascade.channels.dialling import connect, look_up
from cascade.channels.flashcall.sip.call import Place
from cascade.channels.flashcall.sip.message import Message, SipError, StreamReader, decode
from cascade.channels.flashcall.sip.settings import Carrier, SipSettings
from cascade.core.errors import ConfigError

log = structlog.get_logger()

MOST_UNREAD_OCTETS = 4 * 1024 * 1024
"""Of what we say to a trunk that does not read it, at which we hang up."""


class Wire(asyncio.DatagramProtocol, asyncio.Protocol):
    """In use until `ended` is done. `hear` gets each message that can be read, `refused` is called when nobody listens
    at the trunk's UDP port; neither may raise. Each is told which wire it is."""

    def __init__(
        self, settings: SipSettings, hear: Callable[["Wire", Message], None], refused: Callable[["Wire"], None]
    ) -> None:
        self._settings = settings
        self._hear = hear
        self._refused = refused
        self.was_given_up = False
        self.is_closed = False
        self._transport: asyncio.BaseTransport | None = None
        self._reader = StreamReader()
        self._log = log.bind(host=settings.host, port=settings.port, carrier=settings.carrier.value)
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self, tls: ssl.SSLContext | None) -> None:
        """Raises OSError or TimeoutError."""
        settings, loop = self._settings, asyncio.get_running_loop()
        local = None
        if settings.local_host is not None or settings.local_port:
            local = (settings.local_host or ("::" if ":" in settings.host else "0.0.0.0"), settings.local_port)  # noqa: S104
        host = settings.host.strip("[]")
        async with asyncio.timeout(settings.connect_timeout_s):
            if settings.carrier is Carrier.UDP:
                await loop.create_datagram_endpoint(lambda: self, local, remote_addr=(host, settings.port))
            else:
                here = () if local is None else await look_up(*local)
                await connect(lambda: self, await look_up(host, settings.port), tls, host, here)

    @property
    def place(self) -> Place:
        assert self._transport is not None  # noqa: S101 - asked only of an open wire
        host, port = self._transport.get_extra_info("sockname")[:2]
        return Place(self._settings.carrier.value.upper(), self._settings.public_host or host, port)

    def write(self, data: bytes) -> None:
        """What cannot be written is lost, as on any wire: the calls' own timers see to it."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._settings.carrier is Carrier.UDP:
            cast(asyncio.DatagramTransport, self._transport).sendto(data)
        else:
            stream = cast(asyncio.WriteTransport, self._transport)
            stream.write(data)
            if stream.get_write_buffer_size() > MOST_UNREAD_OCTETS:
                self._log.warning("peer_does_not_read")
                stream.abort()

    def give_up(self) -> None:
        """Let another take over. Whoever opened it closes it, once its calls are over."""
        self.was_given_up = True
        self._end()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # -- what the event loop calls ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not data.strip(b"\r\n\0"):
            return  # a keep-alive
        try:
            message = decode(data)
        except SipError as error:
            self._log.warning("message_malformed", detail=str(error))
            return
        self._hear(self, message)

    def error_received(self, exc: Exception) -> None:
        self._log.warning("datagram_refused", error=type(exc).__name__)
        if isinstance(exc, ConnectionRefusedError):
            self._refused(self)

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._reader.feed(data):
                self._hear(self, message)
        except SipError as error:
            self._log.warning("stream_broken", detail=str(error))
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        self._end()

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


def tls_context(settings: SipSettings) -> ssl.SSLContext:
    """Raises ConfigError when the CA file cannot be read."""
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca_file)
    except OSError as error:
        raise ConfigError(
            "sip.tls_ca_file", f"cannot be read: {error.strerror}", "Name a PEM file that can be read"
        ) from error
    if not settings.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
