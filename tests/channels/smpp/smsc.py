"""A scripted SMSC on a real socket: the test decides what is answered, when, and what goes wrong."""

import asyncio
import ssl
import struct
from dataclasses import dataclass
from typing import Self

import smpp34

BIND_TX, BIND_RX, BIND_TRX = 0x02, 0x01, 0x09
SUBMIT_SM, DELIVER_SM, UNBIND, ENQUIRE_LINK = 0x04, 0x05, 0x06, 0x15
GENERIC_NACK, RESPONSE = 0x80000000, 0x80000000
DELIVER_SM_RESP, UNBIND_RESP, ENQUIRE_LINK_RESP = DELIVER_SM | RESPONSE, UNBIND | RESPONSE, ENQUIRE_LINK | RESPONSE
PATIENCE_S = 5
"""A test waits no longer than this for anything: it fails then."""


@dataclass(frozen=True)
class Request:
    """A PDU from the gateway, and the connection that it came by."""

    peer: "Peer"
    command_id: int
    status: int
    sequence: int
    octets: bytes

    @property
    def submit(self) -> smpp34.SubmitSm:
        read = smpp34.decode(self.octets)
        assert isinstance(read, smpp34.SubmitSm)
        return read

    def answer(self, message_id: str = "", status: int = 0) -> bytes:
        body = b"" if status else message_id.encode() + b"\0"
        return frame(self.command_id | RESPONSE, self.sequence, body, status)


class Peer:
    """One connection of the gateway."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.is_gone = asyncio.Event()

    def send(self, *octets: bytes) -> None:
        """All in one write, so that the gateway gets them in one read."""
        self._writer.write(b"".join(octets))

    def close(self) -> None:
        self._writer.close()

    async def gone(self) -> None:
        """Until the gateway's side has closed."""
        async with asyncio.timeout(PATIENCE_S):
            await self.is_gone.wait()


class ScriptedSmsc:
    """Answers binds (with `bind_statuses` in turn, then 0), enquiries unless `is_mute`, and unbinds; hands everything
    else to the test."""

    def __init__(self, tls: ssl.SSLContext | None = None, bind_statuses: tuple[int, ...] = ()) -> None:
        self._tls = tls
        self._bind_statuses = list(bind_statuses)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._arrived: asyncio.Queue[Request] = asyncio.Queue()
        self.is_mute = False
        self.port = 0
        self.binds: list[Request] = []
        self.unbinds = 0
        self.bound: asyncio.Queue[Peer] = asyncio.Queue()
        self.enquired: asyncio.Queue[Peer] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.close()
        await self._server.wait_closed()

    async def peer(self) -> Peer:
        """The next connection that has bound."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.bound.get()

    async def requests(self, count: int, command_id: int = SUBMIT_SM) -> list[Request]:
        """The next PDUs, which must be of this kind."""
        async with asyncio.timeout(PATIENCE_S):
            arrived = [await self._arrived.get() for _ in range(count)]
        assert [request.command_id for request in arrived] == [command_id] * count
        return arrived

    async def request(self, command_id: int = SUBMIT_SM) -> Request:
        [request] = await self.requests(1, command_id)
        return request

    @property
    def waiting(self) -> int:
        """PDUs that came and were not asked for yet."""
        return self._arrived.qsize()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(writer)
        self._writers.add(writer)
        try:
            while True:
                length = await reader.readexactly(4)
                octets = length + await reader.readexactly(int.from_bytes(length, "big") - 4)
                command_id, status, sequence = struct.unpack(">III", octets[4:16])
                self._take(Request(peer, command_id, status, sequence, octets))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            peer.is_gone.set()
            self._writers.discard(writer)
            writer.close()

    def _take(self, request: Request) -> None:
        match request.command_id:
            case 0x01 | 0x02 | 0x09:
                self.binds.append(request)
                status = self._bind_statuses.pop(0) if self._bind_statuses else 0
                request.peer.send(request.answer("smsc", status))
                if status == 0:
                    self.bound.put_nowait(request.peer)
            case 0x15:
                self.enquired.put_nowait(request.peer)
                if not self.is_mute:
                    request.peer.send(frame(ENQUIRE_LINK_RESP, request.sequence))
            case 0x06:
                self.unbinds += 1
                request.peer.send(frame(UNBIND_RESP, request.sequence))
            case _:
                self._arrived.put_nowait(request)


def frame(command_id: int, sequence: int, body: bytes = b"", status: int = 0) -> bytes:
    return struct.pack(">IIII", 16 + len(body), command_id, status, sequence) + body


def receipt(message_id: str, sequence: int = 1, stat: str = "DELIVRD", *, esm_class: int = 4) -> bytes:
    text = f"id:{message_id} sub:001 dlvrd:001 submit date:2611230400 done date:2611230400 stat:{stat} err:000 text:Hi"
    encoded = smpp34.DeliverSm("380501112233", "Shop", text.encode(), esm_class=esm_class, sequence_number=sequence)
    return encoded.encode()
