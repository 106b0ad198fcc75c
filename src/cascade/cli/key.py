"""`cascade key`: the API keys of an account, and the keys that seal the store's secrets."""

import secrets
from ipaddress import ip_network
from typing import Annotated, Any

import typer
from cryptography.fernet import Fernet

from cascade.cli import output
from cascade.cli.in_store import in_store, written
from cascade.cli.options import Config, Json
from cascade.core.directory import ApiKey, Scope
from cascade.core.errors import ConfigError
from cascade.core.secret import Secret
from cascade.serve import now_ms
from cascade.settings import Settings
from cascade.store import accounts
from cascade.store.database import Transaction

app = typer.Typer(no_args_is_help=True, add_completion=False, help="API keys of an account.")


@app.command("add")
def add_key(
    account: str,
    name: Annotated[str, typer.Option(help="To tell keys apart.")],
    scope: Annotated[list[Scope] | None, typer.Option(help="What it may do; none given: all.")] = None,
    days: Annotated[int | None, typer.Option(help="It expires after so many days.", min=1)] = None,
    network: Annotated[list[str] | None, typer.Option(help="CIDR it may be used from; none given: anywhere.")] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Make another API key and print it, this once."""
    key = secrets.token_urlsafe(32)
    try:
        networks = tuple(ip_network(one) for one in network) if network else None
    except ValueError as error:
        raise ConfigError("--network", str(error), "Write an address or a network such as 10.0.0.0/8") from error
    expires_at_ms = None if days is None else now_ms() + days * 86_400_000

    async def work(tx: Transaction, settings: Settings) -> None:
        account_id = await accounts.find_account(tx, account)
        api_key = ApiKey(account_id, name, frozenset(scope or Scope), expires_at_ms, networks)
        await accounts.add_key(tx, api_key, Secret(key), now_ms())

    in_store(config, work)
    if json:
        output.as_json({"account": account, "name": name, "key": key})
    else:
        output.bare(key)


@app.command("list")
def list_keys(account: str, config: Config = None, json: Json = False) -> None:
    """The account's keys: what they may do, until when, and when they were last used."""

    async def work(tx: Transaction, settings: Settings) -> list[dict[str, Any]]:
        account_id = await accounts.find_account(tx, account)
        return [
            {"key": name, "scopes": scopes, "expires": written(expires_at_ms), "lastUsed": written(last_used_at_ms)}
            for name, scopes, expires_at_ms, last_used_at_ms in await accounts.list_keys(tx, account_id)
        ]

    columns = {"key": "key", "scopes": "scopes", "expires": "expires", "lastUsed": "last used"}
    output.rows(columns, in_store(config, work), is_json=json)


@app.command("revoke")
def revoke_key(account: str, name: str, config: Config = None, json: Json = False) -> None:
    """Revoke the account's keys of this name; a running gateway follows within a second."""

    async def work(tx: Transaction, settings: Settings) -> int:
        return await accounts.revoke_key(tx, await accounts.find_account(tx, account), name)

    revoked = in_store(config, work)
    output.done(f"{revoked} revoked", {"revoked": revoked}, is_json=json)
    if revoked == 0:
        raise typer.Exit(1)


@app.command("new-seal")
def new_seal() -> None:
    """Print a new key for `secrets.keys`, which seals the bot tokens in the store."""
    output.bare(Fernet.generate_key().decode())
