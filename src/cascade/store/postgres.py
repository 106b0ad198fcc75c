"""The store on PostgreSQL 14 or newer, for more than one node.

Every transaction has a connection of its own, at READ COMMITTED, so here two of them really run at once. What keeps
them apart is in the statements: fences, `FOR UPDATE SKIP LOCKED`, `ON CONFLICT`; sets are written in the order of their
keys, so that two never wait for each other.

Other nodes are woken by NOTIFY, from a connection apart and after the commit: a transaction that notifies takes a lock
of the whole server until it is on the disk, so that commits would no longer share one flush (figures in
docs/decisions/0007-postgresql.md). A wake-up that a crash swallows is what the engine's polls are for.
"""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from functools import lru_cache
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import structlog

from cascade.core.errors import ConfigError, QueryTimeoutError, StoreUnavailableError, StoreUnreachableError
from cascade.core.events import Listeners
from cascade.core.turns import Lane
from cascade.store import citus, schema, versions
from cascade.store.database import (
    COLD_READERS,
    COLD_S,
    IN_LIST,
    Courier,
    Database,
    Insertion,
    NoForwarder,
    Reader,
    Row,
    Statement,
    Transaction,
    Wakes,
)
from cascade.store.recent import RecentDigests
from cascade.store.versions import Version

log = structlog.get_logger()

OLDEST_POSTGRES = (14, 0)
CONNECT_S = 5.0
STATEMENT_S = 10.0
"""How long a hot statement, or the wait for a connection, may take before the store counts as away."""
VITAL_S = 2.0
"""The same for what a node lives by, and for making its connection."""
CLOSE_S = 5.0
RECONNECT_S = 1.0
CHANNEL = "cascade"
SCHEMA_LOCK = 0x63617363
"""Of all nodes that start at once on an empty database, one makes the tables."""
CACHED_STATEMENTS = 300
MOST_USES = 1_000
"""Of a connection, until the pool may look at it."""
ARRAYS = {"bool": (16, 1000), "bytea": (17, 1001), "int8": (20, 1016), "int4": (23, 1007), "text": (25, 1009)}
"""Whose arrays the statements take: a type's number and its array's, which are the same on every server."""
SETTINGS = {
    "application_name": "cascade",
    "jit": "off",
    # A plan that was made while the table was empty and then kept may go by any index: a plan is made each time, which
    # a set of messages does not feel. And all hot statements go by indexes, in the order of their sets.
    "plan_cache_mode": "force_custom_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    # What a node that is cut off left open is taken back, and with it the locks on what it was about to claim.
    "idle_in_transaction_session_timeout": "15s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}
# Still no merge: to a page of something old it would walk through all that is newer on the other side of the join. And
# workers for a sum, not for a page: to start them takes six times as long as to read it.
COLD_SETTINGS = """
    SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; SET LOCAL parallel_setup_cost = 10000
"""
AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,  # too many connections, disk full
    asyncpg.OperatorInterventionError,  # shut down, starting up, cancelled
    asyncpg.PostgresSystemError,
    asyncpg.TransactionRollbackError,  # a deadlock, a failed serialization: the same call may succeed
    asyncpg.ReadOnlySQLTransactionError,  # a standby
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.SyntaxOrAccessError,  # the tables are not there, or not ours
    asyncpg.InternalClientError,
)

MAY_PASS = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.TransactionRollbackError,
)


@lru_cache(maxsize=1024)
def translate(statement: str) -> str:
    """Number the parameters. A list is one array."""
    numbers = count(1)
    return re.sub(r"\?", lambda _: f"${next(numbers)}", statement.replace(IN_LIST, "= ANY(?)"))


class _PostgresReader:
    """`timeout_s` None: that of the connection."""

    def __init__(self, connection: Any, timeout_s: float | None = None, *, is_distributed: bool = False) -> None:
        self._connection = connection
        self._timeout_s = timeout_s
        self.is_distributed = is_distributed

    async def rows(self, statement: str | Statement, parameters: Sequence[Any] = ()) -> list[Row]:
        found = await self._connection.fetch(translate(_text(statement)), *parameters, timeout=self._timeout_s)
        return list(map(tuple, found))


class _PostgresTransaction(_PostgresReader, Wakes):
    forwarder = NoForwarder()  # a link may be another node's

    def __init__(self, connection: Any, listeners: Listeners, courier: Courier, *, is_distributed: bool) -> None:
        _PostgresReader.__init__(self, connection, is_distributed=is_distributed)
        Wakes.__init__(self)
        self.has_writing_with = not is_distributed
        self.listeners = listeners
        self.courier = courier
        self.recent: RecentDigests | None = None

    async def execute(self, statement: str | Statement, parameters: Sequence[Any] = ()) -> int:
        return _count(await self._connection.execute(translate(_text(statement)), *parameters))

    async def many(self, statement: str | Statement, parameters: Iterable[Sequence[Any]]) -> int:
        rows = list(parameters)
        if not rows:
            return 0
        if isinstance(statement, Statement):
            return _count(await self._connection.execute(translate(statement.postgres), *zip(*rows, strict=True)))
        # Only a row that comes back is counted when statements go out in one pipeline.
        changed = await self._connection.fetchmany(f"{translate(statement)} RETURNING 1", rows)
        return len(changed)

    async def insert(self, into: Insertion, rows: Sequence[Sequence[Any]], shared: Sequence[Any] = ()) -> int:
        if not rows:
            return 0
        return _count(await self._connection.execute(translate(into.postgres), *shared, *zip(*rows, strict=True)))

    async def insert_all(self, sets: Sequence[tuple[Insertion, Sequence[Sequence[Any]]]]) -> None:
        some = [(into, rows) for into, rows in sets if rows]
        if self.has_writing_with and len(some) > 1:
            *first, last = [into.postgres for into, _ in some]
            others = ", ".join(f"insertion_{place} AS ({text})" for place, text in enumerate(first))
            columns = [column for _, rows in some for column in zip(*rows, strict=True)]
            await self._connection.execute(translate(f"WITH {others} {last}"), *columns)
        else:
            for into, rows in some:
                await self.insert(into, rows)

    async def each(self, statement: Statement, parameters: Sequence[Sequence[Any]]) -> list[bool]:
        if not parameters:
            return []
        found = await self._connection.fetch(translate(statement.postgres), *zip(*parameters, strict=True))
        places = {place for (place,) in found}
        return [place in places for place in range(1, len(parameters) + 1)]


def _text(statement: str | Statement) -> str:
    return statement if isinstance(statement, str) else statement.postgres


def _count(tag: str) -> int:
    """The number at the end of PostgreSQL's word for what it did, such as `INSERT 0 3`."""
    return int(tag.rpartition(" ")[2])


def _number(text: str) -> int | float:
    """A sum of BIGINT is a NUMERIC."""
    return float(text) if "." in text else int(text)


async def _prepare(connection: Any) -> None:
    await connection.set_type_codec("numeric", schema="pg_catalog", encoder=str, decoder=_number, format="text")
    # Else each connection asks what an array is when it first meets one: 7 ms of the server's CPU. Last: a codec of our
    # own makes it forget them.
    connection.get_settings().register_data_types(
        {"oid": array, "name": f"_{name}", "ns": "pg_catalog", "kind": b"b", "basetype": None, "elemtype": element}
        | {"elemdelim": ",", "range_subtype": None, "attrtypoids": None}
        for name, (element, array) in ARRAYS.items()
    )


def _there(connections: "_Connections | None") -> "_Connections":
    if connections is None:
        raise StoreUnavailableError("not connected yet")
    return connections


class _Connections:
    """Up to `number` of a pool's connections, which stay with us between two uses: to give one back and to take it
    again costs us half of what a short statement does (docs/decisions/0007). Whose use ends in an error goes back, for
    the pool to tidy up; so does one now and then, for the pool to replace it when it is old."""

    def __init__(self, pool: Any, number: int) -> None:
        self._pool = pool
        self._room = asyncio.Semaphore(number)
        self._kept: list[tuple[Any, int]] = []
        self._is_closing = False

    @asynccontextmanager
    async def acquire(self, timeout: float) -> AsyncIterator[Any]:  # noqa: ASYNC109 - as the pool has it
        """One for whoever asks, the last used first: its caches are the warmest."""
        if self._room.locked():
            async with asyncio.timeout(timeout):
                await self._room.acquire()
        else:
            await self._room.acquire()
        try:
            connection, uses = await self._take(timeout)
            try:
                yield connection
            except BaseException:
                await self._pool.release(connection)
                raise
            if uses < MOST_USES and not self._is_closing:
                self._kept.append((connection, uses + 1))
            else:
                await self._pool.release(connection)
        finally:
            self._room.release()

    async def _take(self, timeout: float) -> tuple[Any, int]:  # noqa: ASYNC109
        while self._kept:
            connection, uses = self._kept.pop()
            with suppress(asyncpg.InterfaceError):  # it ended meanwhile, and the pool has it back
                if not connection.is_closed():
                    return connection, uses
            await self._pool.release(connection)
        return await self._pool.acquire(timeout=timeout), 0

    async def close(self) -> None:
        """Wait for those that are in use, but not for long."""
        self._is_closing = True
        while self._kept:
            await self._pool.release(self._kept.pop()[0])
        await _close(self._pool)


async def _close(pool: Any) -> None:
    try:
        await asyncio.wait_for(pool.close(), CLOSE_S)
    except TimeoutError:
        pool.terminate()


async def _keep(connection: Any) -> None:
    """Nothing here changes a session, so giving a connection back costs no question to the server."""


@contextmanager
def _store_errors() -> Iterator[None]:
    """The caller's words for a store that is away."""
    try:
        yield
    except asyncpg.InterfaceError as error:
        if isinstance(error, ValueError):  # a value that does not fit its column: our mistake
            raise
        raise StoreUnavailableError(str(error)) from error
    except AWAY as error:
        raise StoreUnavailableError(str(error) or type(error).__name__) from error


async def version_of(connection: Any) -> Version | None:
    """Of the store in a database's schema; None: nothing is in it yet."""
    names = ("alembic_version", "schema_version", "store_copy")
    is_there = dict(
        await connection.fetch("SELECT name, to_regclass(name) IS NOT NULL FROM unnest($1::text[]) name", names)
    )
    if is_there["store_copy"]:
        raise ConfigError("store.url", "it holds half a copy", "Run the same `cascade store copy` again to finish it")
    if is_there["alembic_version"]:
        return versions.found(await connection.fetch(versions.FIND))
    return versions.UNRELEASED if is_there["schema_version"] else None


async def version_at(url: str) -> Version | None:
    """Of the store there, which stays as it is."""
    async with connected(url) as connection:
        return await version_of(connection)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    """One connection for a command, whose statements may take as long as they want."""
    with _opening(url):
        connection = await asyncpg.connect(url, timeout=CONNECT_S)
    try:
        yield connection
    finally:
        await connection.close()


@contextmanager
def _opening(url: str) -> Iterator[None]:
    try:
        yield
    except (asyncpg.ClientConfigurationError, ValueError) as error:
        raise ConfigError(
            "store.url", "it is no PostgreSQL URL", "Write postgresql://user:password@host:5432/database"
        ) from error
    except asyncpg.InsufficientPrivilegeError as error:
        fix = "Let the role make tables there: GRANT CREATE ON SCHEMA … TO it, or let it own the database"
        raise ConfigError("store.url", f"cannot open {shown(url)}: {error}", fix) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise (StoreUnreachableError if _may_pass(error) else ConfigError)(
            "store.url",
            f"cannot open {shown(url)}: {str(error) or 'no answer'}",
            "Start PostgreSQL there, or correct host, database, user and password",
        ) from error


def _may_pass(error: Exception) -> bool:
    """Whether the same start may succeed later: the server is away, starting or full. Else a setting is wrong."""
    if isinstance(error, socket.gaierror):
        return error.errno == socket.EAI_AGAIN
    return isinstance(error, MAY_PASS)


class PostgresDatabase(Database):
    """`connections`: at most so many at once, one more that listens and one for what is vital. `read_url`: a replica
    that answers cold queries, as long as it is there. `is_citus`: the tables are distributed (store/citus.py)."""

    is_shared = True

    def __init__(self, url: str, connections: int, read_url: str | None = None, *, is_citus: bool = False) -> None:
        super().__init__()
        self._url = url
        self._read_url = read_url
        self._replica: Any = None
        self._is_citus = is_citus
        self._connections = connections
        self._pool: _Connections | None = None
        self._vital: _Connections | None = None
        self._cold_turns = asyncio.Semaphore(COLD_READERS)
        self._post: _Post | None = None

    async def open(self, *, owner: bool) -> None:
        try:
            with _opening(self._url):
                hot = await self._connect(self._url, self._connections, CONNECT_S, STATEMENT_S)
                self._pool = _Connections(hot, self._connections)
                self._vital = _Connections(await self._connect(self._url, 1, VITAL_S, VITAL_S), 1)
                if self._read_url is not None:
                    self._replica = await self._connect(self._read_url, COLD_READERS, CONNECT_S, STATEMENT_S)
                await self._make_tables()
        except BaseException:
            await self.close()
            raise
        if owner:
            self._post = _Post(self._url, self.wake)
            self._post.start()

    @staticmethod
    async def _connect(url: str, connections: int, connect_s: float, statement_s: float) -> Any:
        return await asyncpg.create_pool(
            url,
            min_size=0,  # with more, asyncpg fills the log with its own tries while the server is away
            max_size=connections,
            init=_prepare,
            reset=_keep,
            timeout=connect_s,
            command_timeout=statement_s,
            statement_cache_size=CACHED_STATEMENTS,
            server_settings=SETTINGS,
        )

    async def _make_tables(self) -> None:
        async with _there(self._pool).acquire(STATEMENT_S) as connection, connection.transaction():
            server = connection.get_server_version()
            if server < OLDEST_POSTGRES:
                raise ConfigError(
                    "store.url", f"PostgreSQL {server.major} is too old", "Upgrade it to PostgreSQL 14 or newer"
                )
            if await connection.fetchval("SHOW server_encoding") != "UTF8":
                raise ConfigError(
                    "store.url", "the database is not in UTF-8", "Make one with CREATE DATABASE … ENCODING 'UTF8'"
                )
            version = await version_of(connection)
            if version is None:
                # Only then: who waits for this lock would keep an index from being added to a store that is there.
                await connection.execute("SELECT pg_advisory_xact_lock($1)", SCHEMA_LOCK)
                version = await version_of(connection)
            if version is None:
                await connection.execute(";".join(schema.postgres_statements()))
            else:
                versions.check(version, shown(self._url))
            if self._is_citus:
                await citus.distribute(connection)

    async def close(self) -> None:
        if self._post is not None:
            await self._post.stop()
            self._post = None
        for connections in (self._vital, self._pool):
            if connections is not None:
                await connections.close()
        if self._replica is not None:
            await _close(self._replica)
        self._vital = self._pool = self._replica = None

    def reading(self) -> AbstractAsyncContextManager[Reader]:
        return self._reading(self._pool, STATEMENT_S)

    def vital_reading(self) -> AbstractAsyncContextManager[Reader]:
        return self._reading(self._vital, VITAL_S)

    @asynccontextmanager
    async def _reading(self, connections: _Connections | None, patience_s: float) -> AsyncIterator[Reader]:
        with _store_errors():
            async with _there(connections).acquire(patience_s) as connection:
                yield _PostgresReader(connection, is_distributed=self._is_citus)

    @asynccontextmanager
    async def cold_reading(self, *, newest: bool = False) -> AsyncIterator[Reader]:
        async with self._cold_turns:
            try:
                with _store_errors():
                    async with (
                        self._cold_connection(newest=newest) as connection,
                        connection.transaction(readonly=True),
                    ):
                        await connection.execute(COLD_SETTINGS)
                        yield _PostgresReader(connection, COLD_S, is_distributed=self._is_citus)
            except StoreUnavailableError as error:
                if isinstance(error.__cause__, TimeoutError):
                    raise QueryTimeoutError(f"It took longer than {COLD_S:.0f} s") from error
                raise

    @asynccontextmanager
    async def _cold_connection(self, *, newest: bool) -> AsyncIterator[Any]:
        """The replica's, or, while that is away, the primary's."""
        pool = _there(self._pool)
        if self._replica is not None and not newest:
            try:
                connection = await self._replica.acquire(timeout=CONNECT_S)
            except (asyncpg.InterfaceError, *AWAY) as error:
                log.warning("replica_away", error=str(error) or type(error).__name__)
            else:
                try:
                    yield connection
                finally:
                    await self._replica.release(connection)
                return
        async with pool.acquire(STATEMENT_S) as connection:
            yield connection

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        return self._transaction(self._pool, STATEMENT_S)

    def single(self) -> AbstractAsyncContextManager[Transaction]:
        return self._transaction(self._pool, STATEMENT_S, is_single=not self._is_citus)

    def vital_transaction(self) -> AbstractAsyncContextManager[Transaction]:
        return self._transaction(self._vital, VITAL_S)

    @asynccontextmanager
    async def _transaction(
        self, connections: _Connections | None, patience_s: float, *, is_single: bool = False
    ) -> AsyncIterator[Transaction]:
        transaction: _PostgresTransaction | None = None
        try:
            with _store_errors():
                async with (
                    _there(connections).acquire(patience_s) as connection,
                    nullcontext() if is_single else connection.transaction(),
                ):
                    transaction = _PostgresTransaction(
                        connection, self.listeners, self.courier, is_distributed=self._is_citus
                    )
                    yield transaction
        except BaseException:
            if transaction is not None:
                self.take_back(transaction)
            raise
        self.tell(transaction)
        if transaction:
            self.wake(transaction)
            if self._post is not None:
                self._post.send(transaction)


class _Post:
    """Tells the other nodes whom to wake, and hears it from them. What comes up while a letter is on its way goes with
    the next one."""

    def __init__(self, url: str, wake: Callable[[Wakes], None]) -> None:
        self._url = url
        self._wake = wake
        self._outgoing = Wakes()
        self._news = asyncio.Event()
        self._task: asyncio.Task[None]
        self._own_pid = 0
        self.listening = asyncio.Event()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def send(self, wakes: Wakes) -> None:
        self._outgoing.add(wakes)
        self._news.set()

    async def _run(self) -> None:
        while True:
            try:
                with _store_errors():
                    await self._serve()
            except StoreUnavailableError as error:
                log.warning("listening_interrupted", error=str(error))
            except asyncpg.PostgresError:
                log.exception("listening_failed")
            await asyncio.sleep(RECONNECT_S)

    async def _serve(self) -> None:
        # Losing a wake-up costs a poll; waiting for the disk would cost the others their time.
        connection = await asyncpg.connect(
            self._url,
            timeout=CONNECT_S,
            command_timeout=STATEMENT_S,
            server_settings={"application_name": "cascade wake-ups", "synchronous_commit": "off"},
        )
        try:
            self._own_pid = connection.get_server_pid()
            connection.add_termination_listener(lambda _: self._news.set())
            await connection.add_listener(CHANNEL, self._hear)
            self.listening.set()
            while not connection.is_closed():
                await self._news.wait()
                self._news.clear()
                wakes, self._outgoing = self._outgoing, Wakes()
                if wakes:
                    await connection.execute(
                        "SELECT pg_notify($1, letter) FROM unnest($2::text[]) AS letter", CHANNEL, _letters(wakes)
                    )
            raise ConnectionResetError("the listening connection was closed")
        finally:
            self.listening.clear()
            connection.terminate()

    def _hear(self, connection: Any, sender: int, channel: str, letter: str) -> None:
        if sender == self._own_pid:
            return
        wakes = Wakes()
        try:
            match json.loads(letter):
                case ["lane", account_id, link, is_urgent, due_at_ms]:
                    wakes.lane_ready(Lane(account_id, link, is_urgent), due_at_ms)
                case ["receipts"]:
                    wakes.receipts_ready()
                case ["inbound"]:
                    wakes.inbound_ready()
                case ["webhook", account_id, id_]:
                    wakes.deliveries_ready([(account_id, id_)])
                case ["nodes"]:
                    wakes.nodes_changed()
        except ValueError:
            log.warning("wake_up_unreadable")  # somebody else's, on our channel
        self._wake(wakes)


def _letters(wakes: Wakes) -> list[str]:
    letters: list[list[Any]] = [["lane", *lane, due_at_ms] for lane, due_at_ms in wakes.lanes.items()]
    if wakes.has_receipts:
        letters.append(["receipts"])
    if wakes.has_inbound:
        letters.append(["inbound"])
    letters += [["webhook", *key] for key in wakes.webhooks]
    if wakes.has_nodes:
        letters.append(["nodes"])
    return [json.dumps(letter) for letter in letters]


def shown(url: str) -> str:
    """The URL as it may be shown: without user, password and options."""
    parts = urlsplit(url)
    return f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"
