"""What a campaign remembers, wherever its process died."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cascade.cli.campaign.journal import open_journal
from cascade.core.errors import ConfigError


def begun(path: Path) -> None:
    with open_journal(path) as journal:
        journal.begin({"rows": 3000})
        journal.sending(1, 1000)
        journal.sent(1, 1000, 998, 2)
        journal.sending(1001, 2000)


def test_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "j"
    begun(path)
    with open_journal(path) as journal:
        assert journal.head == {"version": 1, "rows": 3000}
        assert (journal.sent_rows, journal.accepted, journal.refused) == (1000, 998, 2)
        assert journal.open_window is not None
        assert (journal.open_window.first, journal.open_window.last) == (1001, 2000)
        assert journal.finished_at is None
        journal.sent(1001, 2000, 1000, 0)
        journal.finish()
    with open_journal(path) as journal:
        assert (journal.sent_rows, journal.accepted, journal.open_window) == (2000, 1998, None)
        assert journal.finished_at is not None


def test_an_open_window_is_as_old_as_its_first_try(tmp_path: Path) -> None:
    path = tmp_path / "j"
    first, second = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)
    for at in (first, second):
        with open_journal(path) as journal:
            journal.now = lambda at=at: at  # type: ignore[misc]
            if journal.head is None:
                journal.begin({})
            journal.sending(1, 1000)
    with open_journal(path) as journal:
        assert journal.open_window is not None
        assert journal.open_window.begun_at == first


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_line_that_was_being_written_is_forgotten(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "j"
    begun(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    with open_journal(path) as journal:
        assert (journal.sent_rows, journal.open_window) == (1000, None)
        journal.sending(1001, 2000)
    with open_journal(path) as journal:
        assert journal.open_window is not None


def test_nothing_begun_leaves_nothing(tmp_path: Path) -> None:
    with open_journal(tmp_path / "j"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_two_at_once_are_one_too_many(tmp_path: Path) -> None:
    path = tmp_path / "j"
    begun(path)
    with open_journal(path), pytest.raises(ConfigError, match="is being sent"), open_journal(path):
        pass


@pytest.mark.parametrize("content", [b"hello\n", b'["a"]\n', b'{"sent": 1}\n', b'{"version": 99}\n'])
def test_another_file_is_left_alone(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="--journal"), open_journal(path):
        pass
    assert path.read_bytes() == content
