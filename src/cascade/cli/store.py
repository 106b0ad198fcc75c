"""`cascade store`: what is done to a store as a whole."""

import asyncio

import typer

from cascade.cli import logs, output
from cascade.cli.options import Config, Json
from cascade.settings import Settings, load
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
