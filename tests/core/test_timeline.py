"""A timeline is text that only grows, and reads back as it was written."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cascade.core.message import Status
from cascade.core.timeline import Entry, Mark, decode, encode
from cascade.core.words import Reason

PAGE = Path(__file__).parents[2] / "docs" / "statuses.md"

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
entries = st.lists(
    st.builds(
        Entry,
        st.integers(0, 2**53),
        st.integers(-1, 9),
        st.integers(0, 999),
        st.sampled_from(Mark),
        st.none() | st.sampled_from(Reason),
        st.none() | texts,
        st.none() | texts,
    ),
    max_size=5,
)


@given(entries)
def test_it_reads_back_as_it_was_written(written: list[Entry]) -> None:
    assert decode(encode(written)) == written


@given(entries, entries)
def test_what_is_appended_comes_after(first: list[Entry], second: list[Entry]) -> None:
    assert decode(encode(first) + encode(second)) == first + second


def test_an_entry_takes_no_more_room_than_it_says() -> None:
    """A hundred million rows hold these."""
    assert encode([Entry(1, 0, 1, Mark.DELIVERED)]) == '[1,0,1,"delivered"],'
    assert encode([Entry(1, 0, 0, Mark.SKIPPED, Reason.NO_CHANNEL)]) == '[1,0,0,"skipped","no_channel"],'
    assert encode([Entry(1, 0, 1, Mark.ACCEPTED, None, "77")]) == '[1,0,1,"accepted",null,"77"],'
    passed_over = [Entry(1, step, 0, Mark.SKIPPED, Reason.NO_CHANNEL) for step in range(3)]
    assert encode(passed_over) == '[1,[0,1,2],0,"skipped","no_channel"],'


def test_a_new_timeline_is_empty() -> None:
    assert (encode([]), decode("")) == ("", [])


def test_every_status_mark_and_reason_has_its_line_on_the_page() -> None:
    statuses, marks, reasons = PAGE.read_text(encoding="utf-8").split("\n## ")[1:4]
    for part, words in ((statuses, Status), (marks, Mark), (reasons, Reason)):
        said = " ".join(line.split("|")[1] for line in part.splitlines() if line.startswith("|"))
        assert [word for word in words if f"`{word.value}`" not in said] == []
