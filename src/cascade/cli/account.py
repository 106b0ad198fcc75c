"""`cascade account`: who sends, and within which limits."""

import secrets
from dataclasses import replace
from typing import Annotated, Any

import typer

from cascade.cli import output
from cascade.cli.in_store import in_store
from cascade.cli.options import Config, Json
from cascade.core.directory import Account, ApiKey, Rate
from cascade.core.errors import ConfigError
from cascade.core.secret import Secret
from cascade.serve import now_ms
from cascade.settings import Limits, Settings
from cascade.store import accounts, webhooks
from cascade.store.database import Transaction

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Accounts: who sends, and within which limits.")

GATEWAYS_OWN = "default"


@app.command("add")
def add_account(name: str, config: Config = None, json: Json = False) -> None:
    """Add an account and print its first API key, which is shown this once."""
    key = secrets.token_urlsafe(32)

    async def work(tx: Transaction, settings: Settings) -> None:
        if any(name == known for known, _, _ in await accounts.list_accounts(tx)):
            fix = (
                f"For another key: `cascade key add {name} --name NAME`; to change its limits: `cascade account limit`"
            )
            raise ConfigError("account", f"there is an account {name!r} already", fix)
        account_id = await accounts.add_account(tx, name, now_ms())
        await accounts.add_key(tx, ApiKey(account_id, "first"), Secret(key), now_ms())

    in_store(config, work)
    if json:
        output.as_json({"account": name, "key": key})
    else:
        output.say(f"account {name!r} added. Its API key, shown this once:")
        output.bare(key)


@app.command("list")
def list_accounts(config: Config = None, json: Json = False) -> None:
    """Every account with its number of keys and bots."""

    async def work(tx: Transaction, settings: Settings) -> list[dict[str, Any]]:
        return [{"account": name, "keys": keys, "bots": bots} for name, keys, bots in await accounts.list_accounts(tx)]

    output.rows({"account": "account", "keys": "keys", "bots": "bots"}, in_store(config, work), is_json=json)


@app.command("show")
def show_account(name: str, config: Config = None, json: Json = False) -> None:
    """One account: its limits, keys, bots and webhooks."""

    async def work(tx: Transaction, settings: Settings) -> dict[str, Any]:
        account = await accounts.account(tx, await accounts.find_account(tx, name))
        keys = await accounts.list_keys(tx, account.id)
        bots = await accounts.list_bots(tx, account.id)
        return {
            "account": name,
            **_limits(account, settings.limits),
            "keys": [key for key, _, _, _ in keys],
            "bots": [bot.link for bot, _ in bots],
            "webhooks": [webhook.url for webhook in await webhooks.of_account(tx, account.id)],
        }

    output.fields(in_store(config, work), is_json=json)


@app.command("limit")
def limit_account(
    name: str,
    strict: Annotated[bool | None, typer.Option("--strict/--lenient", help="Refuse every unknown field?")] = None,
    sender: Annotated[list[str] | None, typer.Option(help="A fromName it may use; those given are all it may.")] = None,
    any_sender: Annotated[bool, typer.Option("--any-sender", help="It may use every fromName again.")] = False,
    send_rate: Annotated[
        str | None, typer.Option(help="PER_SECOND:BURST for sending, such as 100:150; default: the configuration's.")
    ] = None,
    read_rate: Annotated[str | None, typer.Option(help="The same for reading.")] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Set what sets this account apart from the configuration. What is not given stays as it is."""
    if sender and any_sender:
        raise ConfigError("--any-sender", "it makes no sense beside --sender", "Give one of them")
    changes: dict[str, Any] = {}
    if strict is not None:
        changes["is_strict"] = strict
    if sender or any_sender:
        changes["senders"] = frozenset(sender) if sender else None
    if send_rate is not None:
        changes["send_rate"] = _rate("--send-rate", send_rate)
    if read_rate is not None:
        changes["read_rate"] = _rate("--read-rate", read_rate)

    async def work(tx: Transaction, settings: Settings) -> dict[str, Any]:
        account = await accounts.account(tx, await accounts.find_account(tx, name))
        if changes:
            account = replace(account, **changes)
            await accounts.limit_account(tx, account)
        return {"account": name, **_limits(account, settings.limits)}

    output.fields(in_store(config, work), is_json=json)


def _limits(account: Account, limits: Limits) -> dict[str, Any]:
    return {
        "strict": account.is_strict,
        "senders": "any" if account.senders is None else sorted(account.senders),
        "sendRate": _written(account.send_rate, limits.send_rate, limits.send_burst),
        "readRate": _written(account.read_rate, limits.read_rate, limits.read_burst),
    }


def _written(rate: Rate | None, per_s: int, burst: int) -> str:
    return f"{per_s}:{burst} ({GATEWAYS_OWN})" if rate is None else f"{rate.per_s}:{rate.burst}"


def _rate(option: str, text: str) -> Rate | None:
    if text == GATEWAYS_OWN:
        return None
    per_s, _, burst = text.partition(":")
    if not (per_s.isdecimal() and burst.isdecimal() and int(burst) >= 1):
        fix = f"Write requests a second and burst, such as 100:150, or {GATEWAYS_OWN!r}"
        raise ConfigError(option, f"{text!r} is no rate", fix)
    return Rate(int(per_s), int(burst))
