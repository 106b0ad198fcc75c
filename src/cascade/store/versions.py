"""The version of a store, and what to say when it is not ours.

`1.3` is the third change after the first of the tables `1`. Minor versions only add: whoever knows `1.2` works on `1.3`
as well, so that nodes can be upgraded one after the other. A major one is for a change that those before it cannot live
with. docs/migrations.md tells how to write either.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

from cascade.core.errors import ConfigError

MIGRATIONS = Path(__file__).parent / "migrations"
REVISIONS = MIGRATIONS / "versions"
TABLE = """
    CREATE TABLE alembic_version (
        version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))
"""
FIND = "SELECT version_num FROM alembic_version"


class Version(NamedTuple):
    major: int
    minor: int

    @classmethod
    def of(cls, text: str) -> Self:
        """`ValueError` when it is no version."""
        major, minor = text.split(".")
        return cls(int(major), int(minor))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


UNRELEASED = Version(1, 0)
"""What stores are that were made before versions were written down so: their tables are those of the first revision."""


def known() -> list[Version]:
    """The version that each revision leads to, in order. Their files are named `v1_3_what_it_does.py`."""
    return sorted(_of(path) for path in REVISIONS.glob("v*.py"))


def _of(path: Path) -> Version:
    major, minor, *_ = path.stem.split("_")
    return Version(int(major[1:]), int(minor))


def check_line() -> None:
    """`ConfigError` unless the revisions make one line. Two with one number come of two people who wrote at a time."""
    before = "None"
    seen: set[Version] = set()
    for version, path in sorted((_of(path), path) for path in REVISIONS.glob("v*.py")):
        if version in seen or f'\nrevision = "{version}"\ndown_revision = {before}\n' not in path.read_text():
            raise ConfigError(
                path.name, f"it does not follow {before}", "Give the later of the two that were written the next number"
            )
        seen.add(version)
        before = f'"{version}"'


HEAD = known()[-1]
"""Of the tables of schema.py."""


def statements() -> list[str]:
    """What marks new tables as ours."""
    return [TABLE, f"INSERT INTO alembic_version VALUES ('{HEAD}')"]  # noqa: S608 - a number


def found(rows: Sequence[Sequence[str]]) -> Version:
    """The version that a store says it has."""
    return Version.of(rows[0][0])


def check(version: Version, shown: str) -> None:
    """`ConfigError` unless this program can work on a store of that version."""
    if version.major > HEAD.major:
        raise ConfigError(
            "store.url",
            f"{shown} was written by a newer cascade (version {version}, this one knows {HEAD})",
            "Start that one, or restore a backup from before the upgrade",
        )
    if version < HEAD:
        raise ConfigError(
            "store.url",
            f"{shown} is of version {version}, and this cascade works on {HEAD}",
            "Run `cascade store migrate`",
        )
