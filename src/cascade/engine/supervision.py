"""Keeps a loop going, whatever it meets."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

log = structlog.get_logger()

RESTART_S = 1.0


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
