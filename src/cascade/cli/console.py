"""`cascade console`: who may come into the console."""

import asyncio
import secrets
from typing import Annotated, Any

import typer

from cascade.cli import output
from cascade.cli.in_store import in_store, written
from cascade.cli.options import Config, Json
from cascade.console import access
from cascade.core.errors import ConfigError
from cascade.serve import now_ms
from cascade.settings import CONSOLE_PASSWORD_VARIABLE, Settings
from cascade.store import console
from cascade.store.console import Done, Role
from cascade.store.database import Transaction

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Users of the console.")

WHO = "command line"
Password = Annotated[
    str,
    typer.Option(
        envvar=CONSOLE_PASSWORD_VARIABLE,
        show_envvar=True,
        help="From the environment, so that no process list shows it; none given: one is made and printed.",
    ),
]


@app.command("add")
def add_user(
    name: str,
    role: Annotated[Role, typer.Option(help="viewer looks, operator sends and cancels, admin rules.")] = Role.VIEWER,
    password: Password = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """Add a user who may sign in at /console, and print the password if none was given."""
    if not 1 <= len(name) <= access.LONGEST_NAME or not name.isprintable():
        raise ConfigError("name", f"{name!r} is no name", f"Write 1 to {access.LONGEST_NAME} visible characters")
    chosen, hashed = _password(password)

    async def work(tx: Transaction, settings: Settings) -> bool:
        is_added = await console.add_user(tx, name, hashed, role, now_ms())
        await _audit(tx, "user_added", f"{name}: {role.value}")
        return is_added

    if not in_store(config, work):
        raise ConfigError(
            "name", f"there is a user {name!r} already", f"For a new password: `cascade console password {name}`"
        )
    _tell(name, chosen, password, f"user {name!r} ({role.value}) added", json)


@app.command("list")
def list_users(config: Config = None, json: Json = False) -> None:
    """Every user, what they may do, and whether they may come in."""

    async def work(tx: Transaction, settings: Settings) -> list[dict[str, Any]]:
        return [
            {
                "name": user.name,
                "role": user.role.value,
                "enabled": user.is_enabled,
                "added": written(user.created_at_ms),
            }
            for user in await console.users(tx)
        ]

    columns = {"name": "name", "role": "role", "enabled": "may come in", "added": "added"}
    output.rows(columns, in_store(config, work), is_json=json)


@app.command("role")
def set_role(name: str, role: Role, config: Config = None, json: Json = False) -> None:
    """Give a user another role; it counts from their next page on."""

    async def work(tx: Transaction, settings: Settings) -> None:
        user = await console.known_user(tx, name)
        await console.set_role(tx, user.id, role)
        await _audit(tx, "user_changed", f"{name}: {role.value}")

    in_store(config, work)
    output.done(f"{name!r} is {role.value} now", {"name": name, "role": role.value}, is_json=json)


@app.command("disable")
def disable_user(name: str, config: Config = None, json: Json = False) -> None:
    """Let a user in no more, and end their sessions at once."""
    _enable(name, config, json, is_enabled=False)


@app.command("enable")
def enable_user(name: str, config: Config = None, json: Json = False) -> None:
    """Let a user in again."""
    _enable(name, config, json, is_enabled=True)


def _enable(name: str, config: Config, json: Json, *, is_enabled: bool) -> None:
    word = "enabled" if is_enabled else "disabled"

    async def work(tx: Transaction, settings: Settings) -> None:
        user = await console.known_user(tx, name)
        await console.enable(tx, user.id, is_enabled=is_enabled)
        await _audit(tx, "user_changed", f"{name}: {word}")

    in_store(config, work)
    output.done(f"{name!r} is {word}", {"name": name, "enabled": is_enabled}, is_json=json)


@app.command("password")
def set_password(name: str, password: Password = "", config: Config = None, json: Json = False) -> None:
    """Give a user a new password, and print it if none was given. It ends their sessions."""
    chosen, hashed = _password(password)

    async def work(tx: Transaction, settings: Settings) -> None:
        user = await console.known_user(tx, name)
        await console.set_password(tx, user.id, hashed)
        await _audit(tx, "password_set", name)

    in_store(config, work)
    _tell(name, chosen, password, f"{name!r} has a new password", json)


def _password(given: str) -> tuple[str, str]:
    """The one given, or one that is made, and its hash."""
    if given and not access.SHORTEST_PASSWORD <= len(given) <= access.LONGEST_PASSWORD:
        raise ConfigError(
            CONSOLE_PASSWORD_VARIABLE,
            "the password is too short or too long",
            f"Write at least {access.SHORTEST_PASSWORD} characters",
        )
    chosen = given or secrets.token_urlsafe(12)
    return chosen, asyncio.run(access.hash_password(chosen))


def _tell(name: str, password: str, given: str, sentence: str, is_json: bool) -> None:
    if is_json:
        output.as_json({"name": name} | ({} if given else {"password": password}))
    elif given:
        output.say(sentence)
    else:
        output.say(f"{sentence}. The password, shown this once:")
        output.bare(password)


async def _audit(tx: Transaction, action: str, about: str) -> None:
    await console.audit(tx, Done(now_ms(), WHO, "", action, None, about))
