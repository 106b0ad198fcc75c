"""A port for whoever needs one."""

import socket

from bench.http_client import HOST


def free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        port: int = server.getsockname()[1]
        return port
