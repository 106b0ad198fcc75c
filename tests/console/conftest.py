"""A gateway with a sandbox and a few messages for the tests that only look, and a browser that is signed in."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
import pytest_asyncio
from argon2 import PasswordHasher

from api.doors import Doors, opened
from cascade.console import access
from cascade.core.words import Channel
from cascade.settings import PriceEntry

from .visits import Visits, users_added

PRICES = [
    PriceEntry(channel=Channel.VIBER_BOT, price=Decimal("0.002")),
    PriceEntry(channel=Channel.SMS, price=Decimal("0.05")),
]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def city(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Doors]:
    """One for all tests of this process, with a user of each role. A test leaves alone what others look at."""
    access.HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # the real one takes 50 ms a guess
    async with opened(tmp_path_factory.mktemp("city"), has_sandbox=True, prices=PRICES) as doors:
        await users_added(doors.gateway)
        await doors.gateway.webhooks_settled()
        yield doors


@pytest.fixture
def visits(city: Doors) -> Visits:
    return Visits(city)
