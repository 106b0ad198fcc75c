"""Between a command and the gateway: sees each request, and may act before it arrives or before its answer does."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import requests

HOP = frozenset({"connection", "content-length", "transfer-encoding", "host", "content-encoding", "date", "server"})


@dataclass
class Seen:
    path: str
    body: bytes
    headers: dict[str, str]

    @property
    def is_send(self) -> bool:
        """A request that sends, and is no preview."""
        split = urlsplit(self.path)
        return "send_message" in split.path and "validate" not in split.query


Act = Callable[[int], Any]
"""Called with the number of the request that sends, from 1."""


def _nothing(number: int) -> None:
    pass


@dataclass
class Proxy:
    url: str = ""
    sends: list[Seen] = field(default_factory=list)
    before: Act = _nothing
    after: Act = _nothing


@contextmanager
def proxy(gateway: str) -> Iterator[Proxy]:
    between = Proxy()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
            seen = Seen(self.path, body, headers)
            number = 0
            if seen.is_send:
                between.sends.append(seen)
                number = len(between.sends)
                between.before(number)
            answer = requests.request(self.command, gateway + self.path, data=body, headers=headers, timeout=60)
            if number:
                between.after(number)
            try:
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name.lower() not in HOP:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)
            except OSError:
                self.close_connection = True  # whoever asked was killed

        do_GET = do_POST = _pass  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    between.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield between
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
