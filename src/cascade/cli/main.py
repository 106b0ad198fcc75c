"""The `cascade` command."""

import asyncio
import secrets
import sys
import uuid
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography.fernet import Fernet
from rich.console import Console
from rich.table import Column, Table

from cascade.cli import logs
from cascade.cli.demo import TELEGRAM_TOKEN, VIBER_TOKEN, DemoOptions, demo
from cascade.core.directory import Account, ApiKey, Rate, Scope
from cascade.core.errors import CascadeError, ConfigError
from cascade.core.events import EventType, sample
from cascade.core.secret import Secret
from cascade.core.words import Channel
from cascade.engine.egress import Egress
from cascade.sandbox.app import SandboxSettings
from cascade.sandbox.app import run as run_sandbox
from cascade.serve import now_ms, open_seal, serve
from cascade.settings import BOT_TOKEN_VARIABLE, SANDBOX_KEY_VARIABLE, Settings, load
from cascade.store import accounts, events, webhooks
from cascade.store.database import Transaction
from cascade.store.webhooks import Webhook

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="A messaging gateway: one request, and the message arrives by the first channel that works.",
)
account_app = typer.Typer(no_args_is_help=True, help="Accounts: who sends.")
key_app = typer.Typer(no_args_is_help=True, help="API keys of an account.")
webhook_app = typer.Typer(no_args_is_help=True, help="Where an account wants to be told of events.")
bot_app = typer.Typer(no_args_is_help=True, help="Telegram and Viber bots of an account.")
app.add_typer(account_app, name="account")
app.add_typer(key_app, name="key")
app.add_typer(bot_app, name="bot")
app.add_typer(webhook_app, name="webhook")

Config = Annotated[Path | None, typer.Option("--config", "-c", help="TOML file; the environment wins over it.")]
console = Console()


def main() -> None:
    """Run a command. A wrong setting is one line that names it and the fix, and exit code 2."""
    try:
        app()
    except CascadeError as error:
        print(f"cascade: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)


def run(work: Coroutine[Any, Any, int | None]) -> None:
    """Run to its end on the fastest event loop there is; its result is the exit code."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if sys.platform != "win32":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        raise typer.Exit(runner.run(work) or 0)


@app.command("serve")
def serve_command(config: Config = None) -> None:
    """Run the gateway until SIGTERM or Ctrl-C."""
    settings = load(config)
    logs.configure(settings.log.level, settings.log.format)
    run(serve(settings))


@app.command("demo")
def demo_command(
    port: Annotated[int, typer.Option(help="The gateway; the sandbox takes the next ports.", min=1, max=65532)] = 8080,
    home: Annotated[Path, typer.Option(help="Where its database lies.")] = Path("cascade-home"),
    quiet: Annotated[bool, typer.Option("--quiet", help="Send no sample messages.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Exit after the samples; 1 when one did not end well.")] = False,
) -> None:
    """Gateway and sandbox in one terminal: watch a message find its way."""
    logs.configure("warning", "text")
    run(demo(DemoOptions(port=port, home=home, is_quiet=quiet, is_once=once)))


@app.command("sandbox")
def sandbox_command(
    host: Annotated[str, typer.Option()] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="HTTP: providers, people, phones page.", min=0, max=65535)] = 8081,
    smsc_port: Annotated[int, typer.Option(help="SMPP.", min=0, max=65535)] = 8082,
    gateway: Annotated[str | None, typer.Option(help="URL of a gateway to tell who talked to the bots.")] = None,
    key: Annotated[str, typer.Option(envvar=SANDBOX_KEY_VARIABLE, help="API key for it.")] = "",
    telegram_token: Annotated[list[str], typer.Option(help="Bot tokens it takes.")] = [TELEGRAM_TOKEN],  # noqa: B006
    viber_token: Annotated[list[str], typer.Option(help="Bot tokens it takes.")] = [VIBER_TOKEN],  # noqa: B006
) -> None:
    """The providers' twins alone."""
    logs.configure("info", "text")
    settings = SandboxSettings(
        host=host,
        http_port=port,
        smsc_port=smsc_port,
        gateway_url=gateway,
        gateway_key=key,
        telegram_tokens=tuple(telegram_token),
        viber_tokens=tuple(viber_token),
    )
    try:
        run(run_sandbox(settings))
    except OSError as error:
        raise ConfigError(
            "--port, --smsc-port", f"cannot listen: {error}", "Stop what uses it, or name another"
        ) from error


@account_app.command("add")
def add_account(name: str, config: Config = None) -> None:
    """Add an account and print its first API key, which is shown this once."""
    key = secrets.token_urlsafe(32)

    async def work(tx: Transaction, settings: Settings) -> None:
        account_id = await accounts.add_account(tx, name, now_ms())
        await accounts.add_key(tx, ApiKey(account_id, "first"), Secret(key), now_ms())

    _in_store(config, work)
    console.print(f"account {name!r} added. Its API key, shown this once:", highlight=False)
    print(key)  # noqa: T201 - bare, to be piped


@account_app.command("list")
def list_accounts(config: Config = None) -> None:
    """Every account with its number of keys and bots."""
    table = Table("account", "keys", "bots")

    async def work(tx: Transaction, settings: Settings) -> None:
        for name, keys, bots in await accounts.list_accounts(tx):
            table.add_row(name, str(keys), str(bots))

    _in_store(config, work)
    console.print(table)


@account_app.command("limit")
def limit_account(
    name: str,
    strict: Annotated[bool, typer.Option(help="Refuse every unknown field.")] = False,
    sender: Annotated[list[str] | None, typer.Option(help="A fromName it may use; none given: any.")] = None,
    send_rate: Annotated[str | None, typer.Option(help="PER_SECOND:BURST for sending, such as 100:150.")] = None,
    read_rate: Annotated[str | None, typer.Option(help="PER_SECOND:BURST for reading.")] = None,
    config: Config = None,
) -> None:
    """Set what sets this account apart from the configuration; what is not given is the configuration's again."""

    async def work(tx: Transaction, settings: Settings) -> None:
        account = Account(
            await accounts.find_account(tx, name),
            name,
            strict,
            frozenset(sender) if sender else None,
            _rate("--send-rate", send_rate),
            _rate("--read-rate", read_rate),
        )
        await accounts.limit_account(tx, account)

    _in_store(config, work)
    console.print(f"{name!r} is limited anew", highlight=False)


def _rate(option: str, text: str | None) -> Rate | None:
    if text is None:
        return None
    per_s, _, burst = text.partition(":")
    if not (per_s.isdecimal() and burst.isdecimal() and int(burst) >= 1):
        raise ConfigError(option, f"{text!r} is no rate", "Write requests a second and burst, such as 100:150")
    return Rate(int(per_s), int(burst))


@key_app.command("add")
def add_key(
    account: str,
    name: Annotated[str, typer.Option(help="To tell keys apart.")],
    scope: Annotated[list[Scope] | None, typer.Option(help="What it may do; none given: all.")] = None,
    days: Annotated[int | None, typer.Option(help="It expires after so many days.", min=1)] = None,
    network: Annotated[list[str] | None, typer.Option(help="CIDR it may be used from; none given: anywhere.")] = None,
    config: Config = None,
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

    _in_store(config, work)
    print(key)  # noqa: T201


@key_app.command("list")
def list_keys(account: str, config: Config = None) -> None:
    """The account's keys: what they may do, until when, and when they were last used."""
    table = Table("key", "scopes", "expires", "last used")

    async def work(tx: Transaction, settings: Settings) -> None:
        account_id = await accounts.find_account(tx, account)
        for name, scopes, expires_at_ms, last_used_at_ms in await accounts.list_keys(tx, account_id):
            table.add_row(name, scopes, _day(expires_at_ms), _day(last_used_at_ms))

    _in_store(config, work)
    console.print(table)


def _day(at_ms: int | None) -> str:
    return "never" if at_ms is None else f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M}"


@key_app.command("revoke")
def revoke_key(account: str, name: str, config: Config = None) -> None:
    """Revoke the account's keys of this name; a running gateway follows within a second."""
    revoked = 0

    async def work(tx: Transaction, settings: Settings) -> None:
        nonlocal revoked
        revoked = await accounts.revoke_key(tx, await accounts.find_account(tx, account), name)

    _in_store(config, work)
    console.print(f"{revoked} revoked")
    if revoked == 0:
        raise typer.Exit(1)


@key_app.command("new-seal")
def new_seal() -> None:
    """Print a new key for `secrets.keys`, which seals the bot tokens in the store."""
    print(Fernet.generate_key().decode())  # noqa: T201


@bot_app.command("add")
def add_bot(
    account: str,
    channel: Annotated[Channel, typer.Argument(help="telegram_bot or viber_bot")],
    token: Annotated[str, typer.Option(prompt=True, hide_input=True, envvar=BOT_TOKEN_VARIABLE, help="Asked for.")],
    config: Config = None,
) -> None:
    """Register a bot; a running gateway uses it within a second."""
    if not channel.needs_subscriber:
        raise ConfigError("channel", f"{channel.value} has no bots", "Write telegram_bot or viber_bot")

    async def work(tx: Transaction, settings: Settings) -> None:
        account_id = await accounts.find_account(tx, account)
        await accounts.add_bot(tx, open_seal(settings), account_id, channel, Secret(token), now_ms())

    _in_store(config, work)
    console.print(f"{channel.value} added to {account!r}", highlight=False)


@bot_app.command("reseal")
def reseal_bots(config: Config = None) -> None:
    """Seal every bot token and webhook secret with the first of `secrets.keys`, so that the older ones can go."""
    count = 0

    async def work(tx: Transaction, settings: Settings) -> None:
        nonlocal count
        seal = open_seal(settings)
        count = await accounts.reseal(tx, seal) + await webhooks.reseal(tx, seal)

    _in_store(config, work)
    console.print(f"{count} sealed anew")


@webhook_app.command("add")
def add_webhook(
    account: str,
    url: str,
    type_: Annotated[list[EventType] | None, typer.Option("--type", help="An event type; none given: all.")] = None,
    config: Config = None,
) -> None:
    """Tell an account of events at this URL, and print the secret that signs them, this once."""
    secret: Secret

    async def work(tx: Transaction, settings: Settings) -> None:
        nonlocal secret
        account_id = await accounts.find_account(tx, account)
        types = frozenset(type_) if type_ else None
        webhook, secret = webhooks.new(account_id, url, open_seal(settings), now_ms(), types=types)
        await webhooks.add(tx, webhook)

    given = load(config).webhooks
    asyncio.run(Egress(given.targets, given.timeout_s).check(url))
    _in_store(config, work)
    print(secret.reveal())  # noqa: T201


@webhook_app.command("list")
def list_webhooks(account: str, config: Config = None) -> None:
    """The account's webhooks, and why one is disabled."""
    table = Table(Column("webhook", overflow="fold"), Column("url", overflow="fold"), "types", "enabled")

    async def work(tx: Transaction, settings: Settings) -> None:
        for webhook in await webhooks.of_account(tx, await accounts.find_account(tx, account)):
            types = ", ".join(sorted(webhook.types)) if webhook.types is not None else "all"
            table.add_row(webhook.id, webhook.url, types, webhook.disabled_reason or "yes")

    _in_store(config, work)
    console.print(table)


@webhook_app.command("test")
def send_test(account: str, webhook_id: str, config: Config = None) -> None:
    """Send a test event; a running gateway delivers it within a second."""

    async def work(tx: Transaction, settings: Settings) -> None:
        webhook = await _find_webhook(tx, account, webhook_id)
        if not webhook.is_enabled:
            raise ConfigError("webhook", f"{webhook_id} is disabled", "Enable it: PATCH /v1/webhooks/{id}")
        await events.add_for(tx, sample(uuid.uuid4(), now_ms(), webhook.account_id), [webhook.id])

    _in_store(config, work)


@webhook_app.command("rotate")
def rotate_webhook(
    account: str,
    webhook_id: str,
    overlap_s: Annotated[int, typer.Option(help="For how long the old secret signs too.", min=0)] = 86_400,
    config: Config = None,
) -> None:
    """Give a webhook a new secret and print it, this once."""
    secret: Secret

    async def work(tx: Transaction, settings: Settings) -> None:
        nonlocal secret
        webhook = await _find_webhook(tx, account, webhook_id)
        changed, secret = webhooks.rotated(webhook, open_seal(settings), now_ms(), overlap_s)
        await webhooks.change(tx, changed)

    _in_store(config, work)
    print(secret.reveal())  # noqa: T201


async def _find_webhook(tx: Transaction, account: str, webhook_id: str) -> Webhook:
    webhook = await webhooks.find(tx, await accounts.find_account(tx, account), webhook_id)
    if webhook is None:
        raise ConfigError("webhook", f"{account!r} has no webhook {webhook_id}", "`cascade webhook list` names them")
    return webhook


def _in_store(config: Path | None, work: Callable[[Transaction, Settings], Coroutine[Any, Any, None]]) -> None:
    settings = load(config)
    logs.configure("warning", "text")

    async def inside() -> None:
        database = settings.store.database()
        await database.open(owner=False)
        try:
            async with database.transaction() as tx:
                await work(tx, settings)
        finally:
            await database.close()

    asyncio.run(inside())
