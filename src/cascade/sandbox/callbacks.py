"""Callbacks to the gateway: in order where it matters, repeated until acknowledged, never in the way of a send."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout

log = structlog.get_logger()

TIMEOUT = ClientTimeout(total=10)
RETRIES_S = (0.5, 1.0, 2.0, 4.0, *[8.0] * 8)
"""Delays before the second and further tries: about a minute, and so many that a gateway may restart again and again
meanwhile."""


@dataclass(frozen=True, slots=True)
class Callback:
    """One POST, acknowledged by exactly 200."""

    url: str
    body: bytes
    headers: Mapping[str, str]


class Callbacks:
    """Posts callbacks with at most `concurrency` at once. What is not acknowledged after all tries is dropped."""

    def __init__(
        self, session: ClientSession, *, retries_s: Sequence[float] = RETRIES_S, concurrency: int = 16
    ) -> None:
        self._session = session
        self._retries_s = tuple(retries_s)
        self._concurrency = concurrency
        self._due: asyncio.Queue[tuple[tuple[Callback, ...], int]] = asyncio.Queue()
        self._later: set[asyncio.TimerHandle] = set()
        self._workers: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._concurrency)]

    async def stop(self) -> None:
        """Drop what is still to be posted."""
        for timer in self._later:
            timer.cancel()
        self._later.clear()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._workers.clear()  # aiohttp remembers handlers, and so us, long after we stopped

    def post(self, *callbacks: Callback, after_s: float = 0.0) -> None:
        """Post these one after another, each when the one before is acknowledged or given up.

        One without a URL is nobody's: the sender has set no webhook up.
        """
        if wanted := tuple(callback for callback in callbacks if callback.url):
            self._enqueue(wanted, 0, after_s)

    async def ask(self, callback: Callback) -> bool:
        """Post once, now. Whether it was acknowledged."""
        try:
            async with self._session.post(
                callback.url, data=callback.body, headers=callback.headers, timeout=TIMEOUT, allow_redirects=False
            ) as response:
                return response.status == 200
        except (ClientError, TimeoutError, ValueError):  # ValueError: a host that no name can be
            return False

    def _enqueue(self, callbacks: tuple[Callback, ...], tries: int, after_s: float) -> None:
        if after_s <= 0:
            self._due.put_nowait((callbacks, tries))
            return

        def put() -> None:
            self._later.discard(timer)
            self._due.put_nowait((callbacks, tries))

        timer = asyncio.get_running_loop().call_later(after_s, put)
        self._later.add(timer)

    async def _work(self) -> None:
        while True:
            callbacks, tries = await self._due.get()
            while callbacks:
                if not await self.ask(callbacks[0]):
                    if tries < len(self._retries_s):
                        # The wait is a timer's, not this worker's: one deaf gateway must not occupy them all.
                        self._enqueue(callbacks, tries + 1, self._retries_s[tries])
                        break
                    log.warning("callback_given_up", tries=tries + 1)
                callbacks, tries = callbacks[1:], 0
