"""`cascade store`: what is done to a store as a whole."""

import asyncio
from typing import Annotated, Self

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from cascade.cli import logs, output
from cascade.cli.options import Config, Json
from cascade.core.errors import ConfigError
from cascade.settings import COPY_TO_VARIABLE, Settings, load
from cascade.store import engines, versions

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="The store as a whole: its version, and bringing it up to date."
)


@app.command("version")
def show_version(config: Config = None, json: Json = False) -> None:
    """The version of the store and the one that this cascade works on; exit code 2 when the two do not fit."""
    settings = load(config)
    found = asyncio.run(engines.version_of(settings.store.url))
    version = None if found is None else str(found)
    output.fields(
        {"store": settings.store.shown, "version": version or "none yet", "needed": str(versions.HEAD)}, is_json=json
    )
    if found is not None:
        versions.check(found, settings.store.shown)


@app.command("migrate")
def migrate_store(config: Config = None) -> None:
    """Bring the store to the version of this cascade. On PostgreSQL the nodes may be at work meanwhile."""
    settings = load(config)
    logs.configure("info", "text")
    before = asyncio.run(engines.version_of(settings.store.url))
    asyncio.run(_migrate(settings))
    after = asyncio.run(engines.version_of(settings.store.url))
    what = f"is of version {after} already" if before == after else f"was {before or 'empty'} and is now {after}"
    output.say(f"{settings.store.shown} {what}")


async def _migrate(settings: Settings) -> None:
    is_postgres = engines.is_postgres(settings.store.url)
    if is_postgres and await engines.version_of(settings.store.url) is not None:
        from cascade.store import migrate

        await migrate.on_postgres(settings.store.url, settings.store.shown)
    database = settings.store.database()
    await database.open(owner=not is_postgres)  # a file is migrated by its owner; where nothing is, a store is made
    await database.close()


@app.command("copy")
def copy_store(
    from_: Annotated[str, typer.Option("--from", help="sqlite:///path, with no gateway running on it.")],
    to: Annotated[
        str, typer.Option(envvar=COPY_TO_VARIABLE, help="postgresql://…, empty. Better from the environment.")
    ],
) -> None:
    """Copy a store from SQLite to PostgreSQL, and compare the two. After an interruption run it again: it goes on."""
    if engines.is_postgres(from_) or not engines.is_postgres(to):
        raise ConfigError(
            "--from, --to", "the way is from SQLite to PostgreSQL", "Write sqlite:///… and postgresql://…"
        )
    path = engines.sqlite_path(from_).resolve()
    if not path.exists():
        raise ConfigError("--from", f"there is no {path}", "Name the file of a store")
    logs.configure("warning", "text")
    from cascade.store.copy import copy

    with _CopyBars() as bars:
        copied = asyncio.run(copy(path, to, bars))
    output.say(f"{sum(copied.values())} rows of {len(copied)} tables are in {engines.shown(to)}, compared and alike.")
    output.say("Now set store.url, and give every node the contents of cascade.key as secrets.keys.")


class _CopyBars:
    """A bar for each table that has rows."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._shown = Progress(*columns, console=output.errors)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._shown.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.stop()

    def begin(self, table: str, rows: int, done: int) -> None:
        if rows:
            self._tasks[table] = self._shown.add_task(table, total=rows, completed=done)

    def advance(self, table: str, rows: int) -> None:
        self._shown.advance(self._tasks[table], rows)

    def verified(self, table: str) -> None:
        if table in self._tasks:
            self._shown.update(self._tasks[table], description=f"{table} compared")
