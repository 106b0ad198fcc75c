"""Commands that work on the store itself, beside a running gateway or without one."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from cascade.cli import logs
from cascade.settings import Settings, load
from cascade.store.database import Transaction

T = TypeVar("T")
NEVER = "never"


def in_store(config: Path | None, work: Callable[[Transaction, Settings], Coroutine[Any, Any, T]]) -> T:
    """What `work` answers, in one transaction."""
    settings = load(config)
    logs.configure("warning", "text")

    async def inside() -> T:
        database = settings.store.database()
        await database.open(owner=False)
        try:
            async with database.transaction() as tx:
                return await work(tx, settings)
        finally:
            await database.close()

    return asyncio.run(inside())


def written(at_ms: int | None) -> str:
    """A time to the minute, UTC."""
    return NEVER if at_ms is None else f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M}"
