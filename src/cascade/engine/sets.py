"""Works a set in one go; when that fails, one by one, so that what nobody foresaw in one holds up no other."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from cascade.core.errors import StoreUnavailableError

T = TypeVar("T")


async def work(
    whole: Sequence[T],
    work_some: Callable[[Sequence[T]], Awaitable[None]],
    set_aside: Callable[[T], Awaitable[None]],
) -> None:
    """`work_some` does all of what it is given or nothing. `set_aside` is called while the fault is being handled, so
    that its log line can show it. Raises `StoreUnavailableError`: then some of the set may be done already."""
    try:
        await work_some(whole)
    except StoreUnavailableError:
        raise
    except Exception:
        for one in whole:
            try:
                await work_some([one])
            except StoreUnavailableError:
                raise
            except Exception:
                await set_aside(one)
