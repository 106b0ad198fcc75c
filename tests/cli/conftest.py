"""The `cascade` command, run in the test's own process."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from cascade.cli import logs
from cascade.cli.main import main


class Ended(NamedTuple):
    code: int
    output: str
    errors: str


Run = Callable[..., Ended]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands keep what they are told."""
    path = tmp_path / "cascade.db"
    monkeypatch.setenv("CASCADE_STORE__URL", f"sqlite:///{path}")
    return path


@pytest.fixture
def cascade(store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command as its arguments would, with a store of the test's own."""
    monkeypatch.setattr(logs, "configure", lambda level, format_: None)  # it is the process's, not a test's

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["cascade", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        output, errors = capsys.readouterr()
        return Ended(int(ended.value.code or 0), output, errors)

    return run
