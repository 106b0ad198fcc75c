"""Tells the gateway who has talked to its bots, as a customer's import of subscribers would."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout

TIMEOUT = ClientTimeout(total=10)
PATHS = {"telegram_bot": "tg_bot", "viber_bot": "viber_bot"}


class DirectoryRefusedError(Exception):
    """The gateway did not take a subscriber; the message says why. Look at its URL, its key and its bots."""


class Directory:
    """The subscriber directories of a gateway's bots: `POST {url}/api/tg_bot/{token}` and `…/viber_bot/{token}`."""

    def __init__(self, session: ClientSession, url: str, key: str) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._headers = {"Content-Type": "application/json", "X-Authorization-Key": key}

    async def add(self, channel: str, token: str, entry: Mapping[str, Any]) -> None:
        """Put one person into the directory of one bot. Raises DirectoryRefusedError."""
        url = f"{self._url}/api/{PATHS[channel]}/{quote(token, safe='')}"
        try:
            async with self._session.post(
                url, data=orjson.dumps(entry), headers=self._headers, timeout=TIMEOUT, allow_redirects=False
            ) as response:
                if response.ok and response.status < 300:
                    return
                reason = f"{response.status} {(await response.text(errors='replace'))[:500]}"
        except (ClientError, TimeoutError) as error:
            reason = type(error).__name__
        raise DirectoryRefusedError(f"the gateway did not take the {channel} subscriber: {reason}")
