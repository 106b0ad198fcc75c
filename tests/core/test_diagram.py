"""The picture of the machine is the machine."""

from pathlib import Path

from cascade.core import diagram
from cascade.core.message import State, Status

PAGE = Path(__file__).parents[2] / "docs" / "state-machine.md"


def test_the_page_shows_what_the_machine_does_today() -> None:
    drawn = diagram.mermaid()
    assert drawn in PAGE.read_text(encoding="utf-8"), "run `python -m cascade.core.diagram` and put its output there"


def test_every_state_can_be_left_and_nothing_leaves_delivered() -> None:
    edges = diagram.transitions()
    assert {before for before, _, _, _ in edges} == set(State)
    assert all(status is Status.DELIVERED for before, _, _, status in edges if before is State.FINAL)
