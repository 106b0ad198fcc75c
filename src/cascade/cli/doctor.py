"""`cascade doctor`: is everything as it must be before the first message goes out?"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import httpx
import typer
from rich.table import Column, Table
from rich.text import Text

from cascade.channels.base import Checks, Health, Transport
from cascade.cli import logs, output
from cascade.cli.options import Config, Json
from cascade.core.errors import BucketsAwayError, CascadeError, ConfigError
from cascade.core.words import Channel
from cascade.serve import bot_transport, link_setup, now_ms, open_seal, redis_buckets
from cascade.settings import Settings, load
from cascade.store import accounts, engines, versions, webhooks
from cascade.store.accounts import Accounts
from cascade.store.database import Database

app = typer.Typer(add_completion=False)

LONGEST_S: Final = 20.0
SCARCE_BYTES: Final = 1 << 30
SOON_MS: Final = 14 * 86_400_000
HTTP_S: Final = 5.0


class State(StrEnum):
    WELL = "ok"
    WARNING = "warning"
    ILL = "failed"


SIGNS: Final = {State.WELL: ("✓", "green"), State.WARNING: ("!", "yellow"), State.ILL: ("✗", "red")}


class Finding(NamedTuple):
    """`what` was looked at; `fix`: what to do about it."""

    what: str
    state: State
    detail: str
    fix: str = ""


def well(what: str, detail: str) -> Finding:
    return Finding(what, State.WELL, detail)


@app.command()
def doctor(
    config: Config = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no provider, and nothing else beyond this.")] = False,
    json: Json = False,
) -> None:
    """Check the configuration, the store and its secrets, and every provider's credentials and reachability.

    Nothing is sent to a person and nothing is changed. Exit code 1 when something failed; a warning is none.
    """
    logs.configure("error", "text")
    findings = asyncio.run(_examine(config, offline=offline))
    if json:
        output.as_json([finding._asdict() for finding in findings])
    else:
        output.console.print(_shown(findings))
    if any(finding.state is State.ILL for finding in findings):
        raise typer.Exit(1)


def _shown(findings: list[Finding]) -> Table:
    shown = Table(Column(), Column(no_wrap=True), Column(overflow="fold"), box=None, show_header=False, pad_edge=False)
    for what, state, detail, fix in findings:
        sign, style = SIGNS[state]
        shown.add_row(Text(sign, style=style), Text(what), Text(f"{detail}. {fix}" if fix else detail))
    return shown


async def _examine(config: Path | None, *, offline: bool) -> list[Finding]:
    try:
        settings = load(config)
    except ConfigError as error:
        return [Finding("configuration", State.ILL, f"{error.setting}: {error.problem}", error.fix)]
    findings = [well("configuration", str(config) if config else "no file: the environment and the defaults")]
    findings += _of_settings(settings)
    found, loaded = await _of_store(settings)
    findings += found
    if loaded is not None:
        findings += _of_accounts(loaded)
    if not offline:
        findings += await _of_the_outside(settings, loaded)
    return findings


def _of_settings(settings: Settings) -> Iterator[Finding]:
    public_url = settings.http.public_url
    if public_url is None:
        fix = "Set http.public_url to the HTTPS address that people and providers reach"
        yield Finding(
            "public address", State.WARNING, "none: no receipts from providers that call us, no short links", fix
        )
    elif not public_url.startswith("https://"):
        yield Finding("public address", State.WARNING, f"{public_url} is not HTTPS", "Providers call no other")
    else:
        yield well("public address", public_url)
    if not settings.provider_links:
        yield Finding("providers", State.WARNING, "none is configured: there are only bots", "See cascade.example.toml")


async def _of_store(settings: Settings) -> tuple[list[Finding], Accounts | None]:
    """What was found, and what the store holds; None when it cannot be read."""
    try:
        shown = settings.store.shown
        found = await engines.version_of(settings.store.url)
        if found is None:
            fix = "`cascade account add NAME` makes it"
            return [Finding("store", State.ILL, f"{shown}: there is none yet", fix)], None
        versions.check(found, shown)
        database = settings.store.database()
        await database.open(owner=False)
    except ConfigError as error:
        return [Finding("store", State.ILL, error.problem, error.fix)], None
    except CascadeError as error:
        return [Finding("store", State.ILL, str(error))], None
    try:
        findings = [well("store", f"{shown}, version {found}"), *_of_disk(settings)]
        key_file = settings.store.home / settings.secrets.key_file
        if not settings.secrets.keys and not key_file.exists():  # to look must not make one
            fix = "Put it back if there are bots or webhooks; else the first of them makes it"
            return [*findings, Finding("secrets", State.WARNING, f"there is no {key_file}", fix)], None
        try:
            loaded = await _load(database, settings)
        except ConfigError as error:
            return [*findings, Finding("secrets", State.ILL, error.problem, error.fix)], None
        findings.append(well("secrets", "every bot token and webhook secret can be opened"))
        return [*findings, *await _of_webhooks(database)], loaded
    finally:
        await database.close()


async def _load(database: Database, settings: Settings) -> Accounts:
    """Everything of the directory, its secrets opened."""
    seal = open_seal(settings)
    async with database.reading() as reader:
        loaded = await accounts.load(reader, seal)
        for webhook in await webhooks.enabled(reader):
            webhook.valid_secrets(seal.open, now_ms())
    return loaded


def _of_disk(settings: Settings) -> Iterator[Finding]:
    if not engines.is_postgres(settings.store.url):
        free = shutil.disk_usage(settings.store.home).free
        state = State.WARNING if free < SCARCE_BYTES else State.WELL
        fix = "A full disk stops the gateway" if state is State.WARNING else ""
        yield Finding("disk", state, f"{free / 2**30:.1f} GiB free", fix)


async def _of_webhooks(database: Database) -> list[Finding]:
    findings = []
    async with database.reading() as reader:
        for account_id in await accounts.ids(reader):
            for webhook in await webhooks.of_account(reader, account_id):
                name = f"webhook {webhook.url}"
                if not webhook.is_enabled:
                    fix = "`cascade webhook enable`, once it is mended"
                    findings.append(Finding(name, State.WARNING, f"disabled: {webhook.disabled_reason}", fix))
                elif webhook.failing_since_ms is not None:
                    fix = "`cascade webhook deliveries` shows the answers"
                    findings.append(Finding(name, State.WARNING, "no try succeeds of late", fix))
    return findings


def _of_accounts(loaded: Accounts) -> Iterator[Finding]:
    if not loaded.accounts:
        yield Finding("accounts", State.ILL, "there is none", "`cascade account add NAME`")
        return
    yield well("accounts", f"{len(loaded.accounts)}, with {len(loaded.keys)} keys and {len(loaded.bots)} bots")
    for key in loaded.keys.values():
        if key.expires_at_ms is not None and key.expires_at_ms < now_ms() + SOON_MS:
            when = "has expired" if not key.is_valid(now_ms()) else "expires within two weeks"
            name = f"key {loaded.accounts[key.account_id].name}/{key.name}"
            yield Finding(name, State.WARNING, when, "`cascade key add` makes another, `cascade key revoke` drops it")


async def _of_the_outside(settings: Settings, loaded: Accounts | None) -> list[Finding]:
    """Every provider, bot and address, all at once."""
    looks: dict[str, Callable[[], Awaitable[Finding]]] = {}
    public_url = settings.http.public_url
    reached_at = None if public_url is None else public_url.rstrip("/")
    for name, link in settings.provider_links.items():
        looks[f"link {name}"] = _look_at(f"link {name}", link_setup(name, link, reached_at).transport)
    if loaded is not None:
        for bot in loaded.bots:
            transport = bot_transport(settings, bot.channel, bot.link, loaded.tokens[bot.link])
            looks[f"bot {bot.link}"] = _look_at(f"bot {bot.link}", transport, bot.channel)
    if settings.limits.redis_url is not None:
        looks["redis"] = _look_at_redis("redis", settings.limits.redis_url)
    looks["gateway"] = _look_at_gateway("gateway", settings.http.reached_at if reached_at is None else _local(settings))
    if reached_at is not None:
        looks["public address"] = _look_at_gateway("reached from outside", reached_at)
    return list(await asyncio.gather(*(_in_time(what, look) for what, look in looks.items())))


def _local(settings: Settings) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.http.host, settings.http.host)  # noqa: S104 - no bind
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.http.port}"


async def _in_time(what: str, look: Callable[[], Awaitable[Finding]]) -> Finding:
    try:
        async with asyncio.timeout(LONGEST_S):
            return await look()
    except TimeoutError:
        return Finding(what, State.ILL, f"no answer within {LONGEST_S:.0f} s")


def _look_at(what: str, transport: Transport, channel: Channel | None = None) -> Callable[[], Awaitable[Finding]]:
    async def look() -> Finding:
        try:
            if not isinstance(transport, Checks):
                return Finding(what, State.WARNING, "this kind cannot be asked: only a message shows whether it works")
            health: Health = await transport.check()
        finally:
            await transport.stop(0)
        if health.is_well:
            return well(what, health.detail)
        fix = "Look at its settings" if channel is None else "`cascade bot remove` and `add` give it another token"
        return Finding(what, State.ILL, health.detail, fix)

    return look


def _look_at_redis(what: str, url: str) -> Callable[[], Awaitable[Finding]]:
    async def look() -> Finding:
        try:
            buckets = redis_buckets(url)
        except ConfigError as error:
            return Finding(what, State.ILL, error.problem, error.fix)
        try:
            await buckets.look()
        except BucketsAwayError as error:
            fix = "Start it, or look at limits.redis_url: until then nodes share rates through the store"
            return Finding(what, State.ILL, f"{buckets.shown} does not answer: {error}", fix)
        finally:
            await buckets.close()
        return well(what, f"{buckets.shown} answers and runs our scripts")

    return look


def _look_at_gateway(what: str, url: str) -> Callable[[], Awaitable[Finding]]:
    async def look() -> Finding:
        try:
            async with httpx.AsyncClient(timeout=HTTP_S) as http:
                answer = await http.get(f"{url}/health/ready")
        except httpx.TransportError as error:
            why = str(error) or type(error).__name__  # a certificate that is not believed is told here, too
            return Finding(what, State.WARNING, f"{url} cannot be reached: {why}", "Start it, or look there")
        if answer.status_code == 200:
            return well(what, f"ready at {url}")
        return Finding(
            what, State.WARNING, f"{url} answers {answer.status_code}", "It starts, stops, or lacks its store"
        )

    return look
