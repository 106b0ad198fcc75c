"""Which engine a URL names. Everything else about a store is the same."""

from pathlib import Path

from cascade.core.errors import ConfigError
from cascade.store import postgres, sqlite
from cascade.store.database import Database
from cascade.store.postgres import PostgresDatabase
from cascade.store.sqlite import SqliteDatabase
from cascade.store.versions import Version

SQLITE = "sqlite:///"
POSTGRES = ("postgresql://", "postgres://")


def database(url: str, connections: int, read_url: str | None = None, *, citus: bool = False) -> Database:
    """The store at `sqlite:///path` or `postgresql://…`, not yet open. `ConfigError` when it is neither.

    `connections`: how many PostgreSQL is asked for at most. `read_url`: its replica. `citus`: it is a Citus cluster.
    """
    if is_postgres(url):
        return PostgresDatabase(url, connections, read_url, is_citus=citus)
    if read_url is not None or citus:
        setting = "store.read_url" if read_url is not None else "store.citus"
        raise ConfigError(setting, "SQLite has no other nodes", "Leave it out, or set store.url to a PostgreSQL")
    return SqliteDatabase(sqlite_path(url))


def is_postgres(url: str) -> bool:
    return url.startswith(POSTGRES)


def shown(url: str) -> str:
    """The store as it may be shown: without user and password."""
    return postgres.shown(url) if is_postgres(url) else str(sqlite_path(url))


def sqlite_path(url: str) -> Path:
    """The file; `ConfigError` when the URL names none."""
    if not url.startswith(SQLITE) or len(url) == len(SQLITE):
        raise ConfigError("store.url", "it names no store", "Write sqlite:///cascade.db or postgresql://host/database")
    return Path(url.removeprefix(SQLITE))


async def version_of(url: str) -> Version | None:
    """Of the store that is there; None when there is none. Nothing is made or changed."""
    if is_postgres(url):
        return await postgres.version_at(url)
    path = sqlite_path(url)
    return sqlite.version_at(path) if path.exists() else None
