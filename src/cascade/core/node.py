"""Nodes: what one is for, and its part of what all have in common."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a node does. Any number of each may work on one PostgreSQL; SQLite has one process, which does all."""

    ALL = "all"
    API = "api"
    ENGINE = "engine"

    @property
    def has_doors(self) -> bool:
        return self is not Role.ENGINE

    @property
    def has_engine(self) -> bool:
        return self is not Role.API


@dataclass(frozen=True, slots=True)
class Share:
    """The node is number `index` of `count` engines. Until a change of theirs is known to all, two may hold the same
    share: it spreads work and guards nothing."""

    index: int
    count: int

    @property
    def is_first(self) -> bool:
        """Whether this node does what one node is enough for."""
        return self.index == 0

    def quota(self, links: int) -> int:
        """How many of so many links it serves: all nodes as many as the others, the first ones the rest."""
        return links // self.count + (self.index < links % self.count)


ALONE = Share(0, 1)
