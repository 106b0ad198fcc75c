"""Where the gateway is, who asks, and how long to wait: what both messengers share."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import httpx

from . import errors
from .calls import Call
from .errors import CascadeError, UnreachableError
from .retries import Retries
from .version import __version__

URL_VARIABLE = "CASCADE_URL"
KEY_VARIABLE = "CASCADE_KEY"
DEFAULT_URL = "http://127.0.0.1:8080"
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Connection:
    url: str
    headers: dict[str, str] = field(repr=False)
    timeout: httpx.Timeout
    retries: Retries

    def request(self, http: httpx.Client | httpx.AsyncClient, call: Call[Any]) -> httpx.Request:
        headers = {**self.headers, **call.headers}
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        return http.build_request(
            call.method, self.url + call.path, params=call.query, content=call.body, headers=headers
        )

    def pause_s(self, call: Call[Any], failure: CascadeError, tried: int) -> float:
        """How long to wait before the next try; raises the failure when there is none."""
        pause_s = self.retries.pause_s(failure, tried, is_repeatable=call.is_repeatable)
        if pause_s is None:
            raise failure
        return pause_s


def connection(
    api_key: str | None,
    base_url: str | None,
    viber_token: str | None,
    telegram_key: str | None,
    timeout_s: float,
    retries: Retries,
) -> Connection:
    key = api_key if api_key is not None else os.environ.get(KEY_VARIABLE)
    credentials = {
        "X-Authorization-Key": key,
        "X-Viber-Auth-Token": viber_token,
        "X-Tg-Bot-Key": telegram_key,
    }
    headers = {name: value for name, value in credentials.items() if value}
    if not headers:
        raise errors.CascadeError(f"there is no key: give `api_key`, or set {KEY_VARIABLE}")
    if not all(value.isascii() and value.isprintable() for value in headers.values()):
        raise errors.CascadeError("the key holds signs that no key has: copy it again")
    url = (base_url or os.environ.get(URL_VARIABLE) or DEFAULT_URL).rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise errors.CascadeError(f"{url!r} is no URL of a gateway: it begins with http:// or https://")
    try:
        httpx.URL(url)
    except httpx.InvalidURL as error:
        raise errors.CascadeError(f"{url!r} is no URL of a gateway: {error}") from error
    headers["User-Agent"] = f"cascade-python/{__version__}"
    return Connection(url, headers, httpx.Timeout(timeout_s, connect=min(timeout_s, 10.0)), retries)


def unreachable(error: httpx.RequestError, url: str) -> UnreachableError:
    """httpx's own words may hold the request; its type says enough."""
    never_left = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    return UnreachableError(f"no answer from {url} ({type(error).__name__})", is_unsent=never_left)
