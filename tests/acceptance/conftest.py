"""What the acceptance tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .processes import City, demo

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.acceptance)


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    """A demo of its own."""
    with demo(tmp_path) as city:
        yield city
