"""Every client, for what all of them promise."""

import pytest

from .speakers import SPEAKERS, Ask


@pytest.fixture(params=SPEAKERS)
def ask(request: pytest.FixtureRequest) -> Ask:
    return SPEAKERS[request.param]
