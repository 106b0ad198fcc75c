"""Gateways for the tests of the doors."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cascade.settings import Secrets, Store

from .doors import Doors, opened


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[Doors]:
    """A gateway without providers."""
    async with opened(tmp_path) as doors:
        yield doors


@pytest.fixture
async def doors_of_each(store_url: str, tmp_path: Path) -> AsyncIterator[Doors]:
    """The same on each engine's store."""
    key_file = str(tmp_path / "cascade.key")
    async with opened(tmp_path, store=Store(url=store_url), secrets=Secrets(key_file=key_file)) as doors:
        yield doors


@pytest.fixture
async def city_of_each(store_url: str, tmp_path: Path) -> AsyncIterator[Doors]:
    """A city on each engine's store."""
    more: dict[str, Any] = {"store": Store(url=store_url), "secrets": Secrets(key_file=str(tmp_path / "cascade.key"))}
    async with opened(tmp_path, has_sandbox=True, **more) as doors:
        await doors.gateway.webhooks_settled()
        yield doors


@pytest.fixture
async def city(tmp_path: Path) -> AsyncIterator[Doors]:
    """A gateway whose providers are a sandbox's, with people to reach."""
    async with opened(tmp_path, has_sandbox=True) as doors:
        await doors.gateway.webhooks_settled()
        yield doors
