"""Programs of other people that tests drive for real."""

import os
import shutil

import pytest


def program(name: str) -> str:
    """Where a program of .ci/packages.txt lies. Without it the test is skipped, and in CI it fails."""
    path = shutil.which(name)
    if path is None:
        words = f"{name} is not installed: run `make system-packages` as root"
        if os.environ.get("CI") == "true":
            pytest.fail(words)
        pytest.skip(words)
    return path
