"""A short run of `python -m bench.fuzz`: the OpenAPI document is true, and no input gets a 5xx."""

import random

import pytest

from bench.fuzz import DOORS, fuzz


@pytest.mark.proof
@pytest.mark.timeout(180)
def test_no_door_breaks_its_own_description() -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    made, faults, told = fuzz(4 * DOORS, seed, "fuzzing")
    assert made >= DOORS
    assert faults == 0, f"CASCADE_SEED={seed}\n{told}"
