"""The event loop that long commands run on."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import typer


def run(work: Coroutine[Any, Any, int | None]) -> None:
    """Run to its end on the fastest event loop there is; its result is the exit code."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if sys.platform != "win32":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        raise typer.Exit(runner.run(work) or 0)
