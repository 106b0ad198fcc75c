"""Asks a bot's provider for news, where it has no way to call us: one poller for each bot, on the node that serves it.

What an answer brought is stored before the next request confirms it; what a crash lets come twice is told by its id.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from cascade.channels.base import Heard
from cascade.channels.http import HttpResponse, HttpTransport, Polled, Polls
from cascade.core.errors import ProviderUnreachableError, StoreUnavailableError

log = structlog.get_logger()

SHORTEST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


class Poller:
    """`take` stores; its `StoreUnavailableError` means that nothing was."""

    def __init__(self, transport: HttpTransport, link: str, take: Callable[[str, Heard], Awaitable[None]]) -> None:
        if not isinstance(transport.adapter, Polls):
            raise TypeError(f"{link} cannot be polled")
        self._transport = transport
        self._adapter: Polls = transport.adapter
        self._link = link
        self._take = take
        self._log = log.bind(link=link)

    async def run(self) -> None:
        pause_s = SHORTEST_PAUSE_S
        next_: int | None = None
        is_ready = False
        while True:
            try:
                if not is_ready:
                    await self._transport.fetch(self._adapter.before_polls())
                    is_ready = True
                polled = self._read(await self._transport.fetch(self._adapter.poll_request(next_)))
                if polled.problem is None:
                    if polled.heard:
                        await self._take(self._link, polled.heard)
                    next_ = next_ if polled.next is None else polled.next
                    pause_s = SHORTEST_PAUSE_S
                    continue
                # Two pollers, or a webhook that somebody set: the other side must end it, or we take it away again.
                self._log.warning("poll_refused", detail=polled.problem)
                is_ready = False
            except ProviderUnreachableError as error:
                # One that breaks off is nothing: the next brings what it would have brought.
                say = self._log.info if pause_s == SHORTEST_PAUSE_S else self._log.warning
                say("poll_failed", error=str(error))
            except StoreUnavailableError as error:
                self._log.error("inbound_delayed", error=str(error))
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _read(self, response: HttpResponse) -> Polled:
        try:
            return self._adapter.polled(response)
        except Exception as fault:  # whatever the adapter stumbled over, the answer was not what is documented
            return Polled(problem=f"not understood ({type(fault).__name__})")
