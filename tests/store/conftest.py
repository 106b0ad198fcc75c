"""An empty store of each engine: what is tested with `database` is true of both."""

from collections.abc import AsyncIterator

import pytest

from cascade.store import engines
from cascade.store.database import Database

CONNECTIONS = 8


@pytest.fixture
async def database(store_url: str) -> AsyncIterator[Database]:
    opened = engines.database(store_url, CONNECTIONS)
    await opened.open(owner=True)
    yield opened
    await opened.close()
