"""What a store is: transactions over one of two engines, written for by modules that need not know which.

Statements have a `?` for each parameter and are standard SQL. Where the engines need different ones, a `Statement`
holds both. `cascade.store.engines` finds the engine of a URL.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Protocol

from cascade.core.events import NOBODY, Listeners
from cascade.core.turns import Lane
from cascade.store.recent import RecentDigests

if TYPE_CHECKING:
    from cascade.core.message import Message
    from cascade.store import messages
    from cascade.store.deliveries import Claimed
    from cascade.store.messages import Change, NewMessage

Row = tuple[Any, ...]
IN_LIST = "IN (*)"
OnReady = Callable[[Lane, int], None]
WebhookKey = tuple[int, str]
"""Account and id."""
COLD_READERS = 2
COLD_S = 20.0
"""How long a cold query may run: meanwhile what it looks at cannot be tidied up on either engine."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement in each engine's words, with the same parameters in the same order.

    For a set of rows (`many`, `each`) SQLite runs it row by row; PostgreSQL runs it once, each parameter being an array
    of one column's values.
    """

    sqlite: str
    postgres: str


def unnest(*types: str) -> str:
    """PostgreSQL's table of the rows of a set, from an array for each of these column types."""
    return f"unnest({', '.join(f'?::{type_}[]' for type_ in types)})"


@dataclass(frozen=True, eq=False)
class Insertion:
    """Inserts a set of rows. `own` columns have a value in each of them, `shared` ones the same in all; both map a
    column to PostgreSQL's type of it. `and_then`: what follows, such as ON CONFLICT. `only_if`: a condition without
    which nothing is inserted; it names shared columns in braces for their values.
    """

    table: str
    own: Mapping[str, str]
    and_then: str = ""
    shared: Mapping[str, str] = field(default_factory=dict)
    only_if: str = ""

    @cache  # noqa: B019 - there are a dozen of these, all of them constants
    def sqlite(self, rows: int) -> str:
        """For that many rows: first the shared values, then those of each row.

        Only the shared ones are numbered. From Python 3.12 on `sqlite3` looks up the name of each parameter among all
        that have one, and a number is a name: with 700 of them a row of seven took 5 us instead of one.
        """
        shared = [f"?{place}" for place in range(1, len(self.shared) + 1)]
        own = ["?"] * len(self.own)
        if self.only_if:
            values = ", ".join([f"({', '.join(own)})"] * rows)
            chosen = (
                f"SELECT {', '.join([*shared, 'own.*'])} FROM (VALUES {values}) AS own WHERE {self._condition('?')}"  # noqa: S608 - constants only
            )
            return f"INSERT INTO {self._into} {chosen} {self.and_then}"
        values = ", ".join([f"({', '.join([*shared, *own])})"] * rows)
        return f"INSERT INTO {self._into} VALUES {values} {self.and_then}"  # noqa: S608

    @cached_property
    def postgres(self) -> str:
        """For a set of any size: first the shared values, then an array for each of the other columns."""
        shared = "".join(f"?::{type_}, " for type_ in self.shared.values())
        own = f"SELECT {shared}own.* FROM {unnest(*self.own.values())} AS own"  # noqa: S608 - constants only
        where = f"WHERE {self._condition('$')}" if self.only_if else ""
        return f"INSERT INTO {self._into} {own} {where} {self.and_then}"

    def _condition(self, sign: str) -> str:
        return self.only_if.format(**{column: f"{sign}{place}" for place, column in enumerate(self.shared, 1)})

    @property
    def _into(self) -> str:
        return f"{self.table} ({', '.join([*self.shared, *self.own])})"


class Courier(Protocol):
    """Delivers what this process adds, without a claim: each delivery is stored as one that it holds already."""

    def reserve(self, webhook: WebhookKey, number: int) -> int:
        """How many of so many it can begin at once; it keeps the room until `take` or `release`."""
        ...

    def lease_ends_at_ms(self) -> int:
        """Until when it holds what it is given now."""
        ...

    def release(self, webhook: WebhookKey, number: int) -> None:
        """They were not stored."""
        ...

    def take(self, claimed: "Sequence[Claimed]") -> None:
        """They are committed: try them."""
        ...


class NoCourier:
    """Where nobody delivers, or only what was claimed."""

    def reserve(self, webhook: WebhookKey, number: int) -> int:
        return 0

    def lease_ends_at_ms(self) -> int:
        raise AssertionError("it has no room")

    def release(self, webhook: WebhookKey, number: int) -> None: ...

    def take(self, claimed: "Sequence[Claimed]") -> None: ...


class Forwarder(Protocol):
    """Sends what this process accepts, without a claim: each message is stored as one that it holds already."""

    def lane_filled(self, lane: Lane, due_at_ms: int) -> None:
        """A message is put into the lane, due at that time: from now on it is not to be overtaken."""
        ...

    def reserve(self, lane: Lane, message: "Message", number: int) -> "tuple[int, Message]":
        """How many of so many messages that begin like this one it can send at once, and how those are stored; it keeps
        the room until `take` or `release`."""
        ...

    def release(self, lane: Lane, number: int) -> None:
        """They were not stored."""
        ...

    def take(self, forwarded: "Sequence[tuple[Lane, Sequence[messages.Claimed]]]") -> None:
        """They are committed: send them."""
        ...


class NoForwarder:
    """Where nobody sends, or only what was claimed."""

    def lane_filled(self, lane: Lane, due_at_ms: int) -> None: ...

    def reserve(self, lane: Lane, message: "Message", number: int) -> "tuple[int, Message]":
        return 0, message

    def release(self, lane: Lane, number: int) -> None: ...

    def take(self, forwarded: "Sequence[tuple[Lane, Sequence[messages.Claimed]]]") -> None: ...


class Reader(Protocol):
    is_distributed: bool
    """Whether the tables lie on several nodes: then what walks through all accounts is asked of all at once."""

    async def rows(self, statement: str | Statement, parameters: Sequence[Any] = ()) -> list[Row]:
        """What a query finds. One that says `IN (*)` takes a list, however long, as its last parameter."""
        ...


class Transaction(Reader, Protocol):
    has_writing_with: bool
    """Whether one statement can change rows of one table and insert into another."""
    recent: RecentDigests | None
    """The index of recent digests; None where it is in the database."""

    async def execute(self, statement: str | Statement, parameters: Sequence[Any] = ()) -> int:
        """Run one statement; the number of rows it changed."""
        ...

    async def many(self, statement: str | Statement, parameters: Iterable[Sequence[Any]]) -> int:
        """Run one statement for each set of parameters; the number of rows changed in all."""
        ...

    async def insert(self, into: Insertion, rows: Sequence[Sequence[Any]], shared: Sequence[Any] = ()) -> int:
        """Insert a set; the number of rows inserted, or changed by what follows."""
        ...

    async def insert_all(self, sets: Sequence[tuple[Insertion, Sequence[Sequence[Any]]]]) -> None:
        """Insert sets into several tables: by one statement, where one can."""
        ...

    async def each(self, statement: Statement, parameters: Sequence[Sequence[Any]]) -> list[bool]:
        """Like `many`; of each set of parameters, whether it changed a row.

        On PostgreSQL the statement returns the places of those that did, counted from 1 (`WITH ORDINALITY`).
        """
        ...

    def lane_ready(self, lane: Lane, due_at_ms: int) -> None:
        """Once this is committed, tell whoever serves the lane that a message is due there at that time."""
        ...

    def receipts_ready(self) -> None:
        """Once this is committed, wake whoever works the receipt inbox."""
        ...

    def inbound_ready(self) -> None:
        """Once this is committed, wake whoever works what people told us."""
        ...

    @property
    def listeners(self) -> Listeners:
        """Who wants to hear of what, as of the last look at the store."""
        ...

    @property
    def courier(self) -> Courier: ...

    @property
    def forwarder(self) -> Forwarder: ...

    def forward(self, lane: Lane, claimed: "Sequence[messages.Claimed]") -> None:
        """Once this is committed, give the forwarder what it has reserved room for."""
        ...

    def hand_over(self, claimed: "Sequence[Claimed]") -> None:
        """Once this is committed, give the courier what it has reserved room for."""
        ...

    def deliveries_ready(self, webhooks: Iterable[WebhookKey]) -> None:
        """Once this is committed, wake whoever delivers to these webhooks."""
        ...

    def nodes_changed(self) -> None:
        """Once this is committed, let all nodes look who is there and what is free."""
        ...

    def added(self, new: "Sequence[NewMessage]") -> None:
        """Once this is committed, tell the observers of messages accepted."""
        ...

    def changed(self, changes: "Sequence[Change]") -> None:
        """Once this is committed, tell the observers of decisions."""
        ...


class Observer(Protocol):
    """Hears in the loop's thread of what this process committed: it counts or notes, and raises nothing."""

    def added(self, new: "Sequence[NewMessage]") -> None: ...

    def changed(self, changes: "Sequence[Change]") -> None: ...


class Wakes:
    """Who is to be woken, and for what: of each lane the earliest time, everything else once. And what the observers of
    this process are to be told."""

    def __init__(self) -> None:
        self.lanes: dict[Lane, int] = {}
        self.has_receipts = False
        self.has_inbound = False
        self.webhooks: set[WebhookKey] = set()
        self.has_nodes = False
        self.handed_over: list[Claimed] = []
        self.forwarded: list[tuple[Lane, Sequence[messages.Claimed]]] = []
        self.news_of_added: list[Sequence[NewMessage]] = []
        self.news_of_changed: list[Sequence[Change]] = []

    def __bool__(self) -> bool:
        return bool(self.lanes or self.has_receipts or self.has_inbound or self.webhooks or self.has_nodes)

    def lane_ready(self, lane: Lane, due_at_ms: int) -> None:
        earliest = self.lanes.get(lane)
        if earliest is None or due_at_ms < earliest:
            self.lanes[lane] = due_at_ms

    def receipts_ready(self) -> None:
        self.has_receipts = True

    def inbound_ready(self) -> None:
        self.has_inbound = True

    def deliveries_ready(self, webhooks: Iterable[WebhookKey]) -> None:
        self.webhooks.update(webhooks)

    def hand_over(self, claimed: "Sequence[Claimed]") -> None:
        self.handed_over += claimed

    def forward(self, lane: Lane, claimed: "Sequence[messages.Claimed]") -> None:
        self.forwarded.append((lane, claimed))

    def nodes_changed(self) -> None:
        self.has_nodes = True

    def added(self, new: "Sequence[NewMessage]") -> None:
        self.news_of_added.append(new)

    def changed(self, changes: "Sequence[Change]") -> None:
        self.news_of_changed.append(changes)

    def add(self, others: "Wakes") -> None:
        for lane, due_at_ms in others.lanes.items():
            self.lane_ready(lane, due_at_ms)
        self.has_receipts |= others.has_receipts
        self.has_inbound |= others.has_inbound
        self.webhooks |= others.webhooks
        self.has_nodes |= others.has_nodes


class Database(ABC):
    """The functions that begin with `on_` are called in the loop's thread after a commit.
    `listeners` is put here by whoever watches the webhooks, `courier` by whoever delivers to them, `forwarder` by who
    sends messages through links that are this process's alone."""

    is_shared: bool
    """Whether other nodes may be at work on it: then a lease that runs is not to be taken for a dead node's."""

    def __init__(self) -> None:
        self.on_lane_ready: OnReady = lambda lane, due_at_ms: None
        self.on_receipts_ready: Callable[[], None] = lambda: None
        self.on_inbound_ready: Callable[[], None] = lambda: None
        self.on_deliveries_ready: Callable[[Iterable[WebhookKey]], None] = lambda webhooks: None
        self.on_nodes_changed: Callable[[], None] = lambda: None
        self.listeners: Listeners = NOBODY
        self.courier: Courier = NoCourier()
        self.forwarder: Forwarder = NoForwarder()
        self.observers: list[Observer] = []

    @abstractmethod
    async def open(self, *, owner: bool) -> None:
        """Connect, making the tables when the store is new. `ConfigError` when that cannot be.

        `owner`: this process runs the engine or the doors; commands that merely read or add an account open it without.
        """

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    def reading(self) -> AbstractAsyncContextManager[Reader]:
        """What is committed, as of each statement."""

    @abstractmethod
    def cold_reading(self, *, newest: bool = False) -> AbstractAsyncContextManager[Reader]:
        """Like `reading`, for what may take long: it runs beside the loop, a few at once; the others wait their turns.

        It may come from a replica, some moments old; `newest` for whoever acts upon what is found.

        `QueryTimeoutError` after `COLD_S` seconds.
        """

    @abstractmethod
    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """All of it or nothing. On leaving it is on the disk: a crash of the process or the machine loses none of it.

        Await nothing in it but the transaction itself: on SQLite every other writer waits meanwhile.
        `StoreUnavailableError` when the store is away: nothing was stored.
        """

    def single(self) -> AbstractAsyncContextManager[Transaction]:
        """Like `transaction`, for whoever writes by one statement: PostgreSQL needs no BEGIN and COMMIT for it. If
        there are several after all, each may stay without the others."""
        return self.transaction()

    def vital_reading(self) -> AbstractAsyncContextManager[Reader]:
        """Like `reading`, as `vital_transaction` is like `transaction`."""
        return self.reading()

    def vital_transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Like `transaction`, for what a node lives by: it waits behind no other work, and not long for the store."""
        return self.transaction()

    def wake(self, wakes: Wakes) -> None:
        """Tell those of this process."""
        for lane, due_at_ms in wakes.lanes.items():
            self.on_lane_ready(lane, due_at_ms)
        if wakes.has_receipts:
            self.on_receipts_ready()
        if wakes.has_inbound:
            self.on_inbound_ready()
        if wakes.webhooks:
            self.on_deliveries_ready(wakes.webhooks)
        if wakes.has_nodes:
            self.on_nodes_changed()

    def tell(self, wakes: Wakes) -> None:
        """Give the forwarder and the courier what they are handed, and tell the observers of what was committed."""
        if wakes.forwarded:
            self.forwarder.take(wakes.forwarded)
        if wakes.handed_over:
            self.courier.take(wakes.handed_over)
        for observer in self.observers:
            for new in wakes.news_of_added:
                observer.added(new)
            for changes in wakes.news_of_changed:
                observer.changed(changes)

    def take_back(self, wakes: Wakes) -> None:
        """Nothing of it was committed."""
        for lane, claimed in wakes.forwarded:
            self.forwarder.release(lane, len(claimed))
        for one in wakes.handed_over:
            self.courier.release((one.account_id, one.webhook_id), 1)
