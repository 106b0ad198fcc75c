"""What comes while a set is under way is the next set, and nobody suffers for another."""

import asyncio
from collections.abc import Sequence

import pytest

from cascade.api.together import Together
from cascade.core.errors import StoreUnavailableError

from .doors import AUTH, OTHER_KEY, SEND, Doors, message


class Desk:
    """Doubles numbers, a set at a time, and waits to be let go on before each."""

    def __init__(self) -> None:
        self.sets: list[list[int]] = []
        self.may_go = asyncio.Semaphore(0)
        self.is_away = False

    async def work(self, numbers: Sequence[int]) -> list[int]:
        self.sets.append(list(numbers))
        await self.may_go.acquire()
        if self.is_away:
            raise StoreUnavailableError("away")
        return [2 * number if number >= 0 else 1 // 0 for number in numbers]

    def go(self, times: int = 100) -> None:
        for _ in range(times):
            self.may_go.release()


async def asked(together: Together[int, int], numbers: Sequence[int]) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(together.do(number)) for number in numbers]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def results(tasks: Sequence[asyncio.Task[int]]) -> list[int | type[BaseException]]:
    found = await asyncio.gather(*tasks, return_exceptions=True)
    return [type(one) if isinstance(one, BaseException) else one for one in found]


async def test_the_first_begins_at_once_and_what_comes_meanwhile_is_one_set() -> None:
    desk = Desk()
    together = Together(desk.work, most=3)
    tasks = await asked(together, [1])
    tasks += await asked(together, [2, 3, 4, 5])
    assert desk.sets == [[1]]
    desk.go()
    assert await results(tasks) == [2, 4, 6, 8, 10]
    assert desk.sets == [[1], [2, 3, 4], [5]]
    assert await together.do(6) == 12


async def test_several_sets_may_be_under_way() -> None:
    desk = Desk()
    together = Together(desk.work, most=1, at_once=2)
    tasks = await asked(together, [1, 2, 3])
    assert desk.sets == [[1], [2]]
    desk.go()
    assert await results(tasks) == [2, 4, 6]


async def test_one_that_cannot_be_done_harms_no_other() -> None:
    desk = Desk()
    desk.go()
    tasks = await asked(Together(desk.work, most=9), [1, -1, 2])
    assert await results(tasks) == [2, ZeroDivisionError, 4]


async def test_a_store_that_is_away_is_asked_once() -> None:
    desk = Desk()
    desk.is_away = True
    desk.go()
    tasks = await asked(Together(desk.work, most=9), [1, 2, 3])
    assert await results(tasks) == [StoreUnavailableError] * 3
    assert len(desk.sets) == 1


async def test_whoever_has_gone_is_not_waited_for() -> None:
    desk = Desk()
    together = Together(desk.work, most=9)
    first, gone, last = await asked(together, [1, 2, 3])
    gone.cancel()
    desk.go()
    assert await results([first, gone, last]) == [2, asyncio.CancelledError, 6]


@pytest.mark.parametrize("rounds", [3])
async def test_single_requests_at_once_are_each_told_of_their_own(doors_of_each: Doors, rounds: int) -> None:
    """Of two accounts, with repeats among them and across the rounds."""
    doors = doors_of_each
    orders = [message(id=f"at-once-{number}") for number in range(20)]
    told: dict[tuple[str, str], set[str]] = {}
    for _ in range(rounds):
        asks = [(key, order) for order in (*orders, *orders[:5]) for key in (AUTH["X-Authorization-Key"], OTHER_KEY)]
        answers = await asyncio.gather(
            *(doors.call("POST", SEND, [order], headers={"X-Authorization-Key": key}) for key, order in asks)
        )
        for (key, order), answer in zip(asks, answers, strict=True):
            [sent] = answer.json
            assert sent["trackinId"] == order["id"]
            told.setdefault((key, order["id"]), set()).add(sent["messageId"])
    assert {len(ids) for ids in told.values()} == {1}
    assert len(set.union(*told.values())) == 40 == await doors.stored()
