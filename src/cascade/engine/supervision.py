"""Keeps a loop going, whatever it meets, and lets it sleep until it is needed."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import structlog

log = structlog.get_logger()

RESTART_S = 1.0


async def wait(news: asyncio.Event, at_most_s: float) -> None:
    """Until there is news, or for so long. Unlike `asyncio.wait_for` of Python 3.11 it never misses that it is
    cancelled, which a loop that is woken and stopped at once would otherwise outlive."""
    with suppress(TimeoutError):
        async with asyncio.timeout(at_most_s):
            await news.wait()


async def supervise(name: str, loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Begin a loop again that died of something nobody foresaw: one bad row must not end the night's traffic."""
    while True:
        try:
            await loop()
        except Exception:
            log.exception("loop_died", loop=name)
            await asyncio.sleep(RESTART_S)
        else:
            return
