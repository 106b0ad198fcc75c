"""What comes while the store is busy is done in one go: requests of one message share a transaction and an insert."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from cascade.core.errors import StoreUnavailableError

One = TypeVar("One")
Done = TypeVar("Done")


class Together(Generic[One, Done]):
    """`work` does a set, all of it or nothing, and says of each what came of it. At most `at_once` sets are under way,
    and none waits for company: the first one begins at once, and what comes meanwhile is the next set."""

    def __init__(self, work: Callable[[Sequence[One]], Awaitable[Sequence[Done]]], most: int, at_once: int = 1) -> None:
        self._work = work
        self._most = most
        self._at_once = at_once
        self._waiting: list[tuple[One, asyncio.Future[Done]]] = []
        self._workers: set[asyncio.Task[None]] = set()

    async def do(self, one: One) -> Done:
        """What came of it, once its set is done. Raises what its set, or it alone, raised."""
        done: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self._waiting.append((one, done))
        if len(self._workers) < self._at_once:
            worker = asyncio.create_task(self._run())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        return await done

    async def _run(self) -> None:
        while self._waiting:
            some, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            try:
                await self._do(some)
            except Exception as error:
                if len(some) == 1 or isinstance(error, StoreUnavailableError):
                    for _, done in some:
                        _settle(done, error)
                else:  # whoever it was that cannot be done, the others can
                    for one in some:
                        try:
                            await self._do([one])
                        except Exception as own_error:
                            _settle(one[1], own_error)

    async def _do(self, some: Sequence[tuple[One, asyncio.Future[Done]]]) -> None:
        results = await self._work([one for one, _ in some])
        for (_, done), result in zip(some, results, strict=True):
            if not done.done():  # nobody waits any more where the client has gone
                done.set_result(result)


def _settle(done: asyncio.Future[Done], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)
