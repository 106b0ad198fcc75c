"""The front hall's own work: the file with the key that seals secrets."""

import os
from pathlib import Path

import pytest

from cascade.core.errors import ConfigError
from cascade.core.secret import Secret
from cascade.serve import open_seal
from cascade.settings import Settings, Store


def at(home: Path) -> Settings:
    return Settings(store=Store(url=f"sqlite:///{home / 'cascade.db'}"))


def test_the_first_start_makes_the_key_and_the_next_one_uses_it(tmp_path: Path) -> None:
    sealed = open_seal(at(tmp_path)).close(Secret("token"))
    assert open_seal(at(tmp_path)).open(sealed) == Secret("token")
    [file] = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_key_that_could_not_be_written_whole_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        open_seal(at(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_another_start_makes_meanwhile_is_the_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = open_seal(at(tmp_path)).close(Secret("token"))
    with monkeypatch.context() as earlier:
        earlier.setattr(Path, "exists", lambda _: False)
        assert open_seal(at(tmp_path)).open(sealed) == Secret("token")
