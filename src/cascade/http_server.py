"""The HTTP server: uvicorn, that ends without cutting a request off, and that nobody can hold for nothing."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cascade.core.errors import ConfigError

GRACE_S = 3
LINGER_S = 1.0
LOOK_S = 0.02
READY = "/health/ready"
MAX_HEAD_BYTES = 65_536
HEAD_LIMIT_S = 30.0
TICKS_PER_SWEEP = 20
"""Of uvicorn's ticks, ten a second."""


class _Protocol(HttpToolsProtocol):
    """uvicorn's, which would keep a head that never ends in memory, and so the trailers after a body in chunks."""

    _apart = 0
    """Octets that came since the last one of a body, or the end of a request: those of a head, and around chunks."""

    def data_received(self, data: bytes) -> None:
        self._apart += len(data)
        super().data_received(data)
        if self._apart > MAX_HEAD_BYTES and not self.transport.is_closing():
            if self.is_owed:
                self.send_400_response(f"The head of a request is at most {MAX_HEAD_BYTES} bytes.")
            else:  # an answer is being written
                self.transport.abort()

    def on_body(self, body: bytes) -> None:
        self._apart = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._apart = 0
        super().on_message_complete()

    @property
    def is_owed(self) -> bool:
        """Whether the client has begun something that it has to finish before we can do anything: nothing is being
        answered, and no keep-alive is running out."""
        return self.timeout_keep_alive_task is None and (self.cycle is None or self.cycle.response_complete)


class Server(uvicorn.Server):
    """uvicorn without its signal handling: it would end the process before the engine has drained."""

    _leaving: asyncio.Task[None] | None = None

    def __init__(self, config: uvicorn.Config, leave_s: float) -> None:
        super().__init__(config)
        self._leave_s = leave_s
        self._owed: dict[_Protocol, tuple[Any, float]] = {}
        """Whoever has not finished a head, the request it had finished last, and since when we know."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def on_tick(self, counter: int) -> bool:
        if counter % TICKS_PER_SWEEP == 0:
            self._sweep(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    def _sweep(self, now_s: float) -> None:
        """Let go of whoever sends the head of a request too slowly: uvicorn waits for it for ever."""
        owed: dict[_Protocol, tuple[Any, float]] = {}
        for connection in self.server_state.connections:
            if not isinstance(connection, _Protocol) or not connection.is_owed:
                continue
            last, since_s = self._owed.get(connection, (None, now_s))
            if last is not connection.cycle:
                since_s = now_s
            if now_s - since_s >= HEAD_LIMIT_S:
                connection.transport.abort()
            else:
                owed[connection] = (connection.cycle, since_s)
        self._owed = owed

    def leave(self, listening: socket.socket) -> None:
        """End so that no request is cut off. Asked twice, end at once."""
        if self._leaving is not None:
            self.should_exit = True
        else:
            self._leaving = asyncio.create_task(self._leave(listening))

    async def _leave(self, listening: socket.socket) -> None:
        """From now on an answer ends its connection, so that the next request goes to another node. Who leaves a
        connection idle is waited for a little, and so is the request of whoever connected a moment ago; and so long
        as a balancer may still take us for ready, whoever comes is answered."""
        self.config.loaded_app = closing = _Closing(self.config.loaded_app)
        for connection in self.server_state.connections:
            connection.app = closing  # type: ignore[union-attr]
        await asyncio.sleep(self._leave_s)
        loop = asyncio.get_running_loop()
        until_s = loop.time() + LINGER_S
        while self.server_state.connections and loop.time() < until_s:  # noqa: ASYNC110 - it is uvicorn's set
            await asyncio.sleep(LOOK_S)
        for server in getattr(self, "servers", ()):
            server.close()
        listening.close()
        await asyncio.sleep(LOOK_S)
        self.should_exit = True


class _Closing:
    """The same app, whose every answer ends its connection, and which is not ready."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_last(event: Any) -> None:
            if event["type"] == "http.response.start":
                headers = [*event["headers"], (b"connection", b"close")]
                event = {**event, "headers": headers} | ({"status": 503} if scope["path"] == READY else {})
            await send(event)

        await self._app(scope, receive, send_last)


def listen(host: str, port: int, setting: str) -> socket.socket:
    """A listening socket; `ConfigError` naming `setting` when the port is taken, `http.host` when it is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol by its name: asyncio lets only such connections send at once. On the others, an answer in two writes,
    # head and body, waits 40 ms for the acknowledgement of the first.
    server = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((host, port))
        server.listen(2048)
    except OSError as error:
        server.close()
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise ConfigError(
                "http.host", f"{host} is no address of this machine", "Write 127.0.0.1, or 0.0.0.0 for all it has"
            ) from error
        raise ConfigError(
            setting, f"cannot listen on {host}:{port}: {error.strerror or error}", "Stop what uses it, or name another"
        ) from error
    server.setblocking(False)
    return server


def http_server(app: Any, trusted_proxies: list[str], leave_s: float = 0) -> Server:
    """`leave_s`: see `http.leave_s`."""
    config = uvicorn.Config(
        app,
        loop="none",
        http=_Protocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=GRACE_S,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=trusted_proxies,
    )
    return Server(config, leave_s)
