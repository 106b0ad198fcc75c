"""`cascade demo`: gateway and sandbox in one terminal, with sample messages whose cascades are shown live."""

import asyncio
import json
import secrets
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from cascade.channels.smpp.settings import SmppSettings
from cascade.cli import logs
from cascade.cli.loop import run
from cascade.console.access import hash_password
from cascade.core.directory import ApiKey
from cascade.core.errors import ConfigError
from cascade.core.secret import Secret
from cascade.core.words import Channel
from cascade.http_server import http_server, listen
from cascade.sandbox.app import Sandbox, SandboxSettings
from cascade.serve import Gateway, freeze_memory, now_ms, open_seal
from cascade.settings import (
    Engine,
    Http,
    PriceEntry,
    ProviderLink,
    RouteStep,
    Settings,
    Store,
    TelegramApi,
    ViberApi,
    Webhooks,
)
from cascade.store import accounts, console
from cascade.store.console import Role

app = typer.Typer(add_completion=False)

HOST = "127.0.0.1"
ACCOUNT = "demo"
API_KEY = "your-api-key"
CONSOLE_USER = "demo"
CONSOLE_PASSWORD = "demo-password"  # noqa: S105 - on loopback only, like all the others
VIBER_TOKEN = "your-viber-token"  # noqa: S105 - the credentials of the public examples, on loopback only
TELEGRAM_TOKEN = "your-telegram-key"  # noqa: S105
INFOBIP_KEY = "your-infobip-key"
RCS_TOKEN = "your-rcs-token"  # noqa: S105
SIP_ACCOUNT = "demo"
CALLERS = ["+380445550101", "+380445550202", "+380445550303", "+380445550404"]
WINDOWS_S = {"standard": 2, "tg-viber": 1}
LONGEST_S = 60
SEND_PATH = "/api/CascadeMessage/send_message/async"
REASONS = {
    ("skipped", "not_subscribed"): "the person never talked to the bot",
    ("rejected", "not_subscribed"): "the person left the bot",
    ("rejected", "unknown_recipient"): "the person is not there",
    ("failed", "unknown_recipient"): "the person is not there",
    ("skipped", "no_channel"): "not set up here",
}


@app.command()
def demo_command(
    port: Annotated[int, typer.Option(help="The gateway; the sandbox takes the next ports.", min=1, max=65532)] = 8080,
    home: Annotated[Path, typer.Option(help="Where its database lies.")] = Path("cascade-home"),
    quiet: Annotated[bool, typer.Option("--quiet", help="Send no sample messages.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Exit after the samples; 1 when one did not end well.")] = False,
) -> None:
    """Gateway and sandbox in one terminal: watch a message find its way."""
    logs.configure("warning", "text")
    run(demo(DemoOptions(port=port, home=home, is_quiet=quiet, is_once=once)))


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """`port` is the gateway's; the sandbox has `port + 1` for HTTP, `port + 2` for SMPP and `port + 3` for SIP."""

    port: int
    home: Path
    is_quiet: bool
    is_once: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """A message, how its recipient behaves, and the channel that should deliver it."""

    story: str
    person: Mapping[str, str]
    message: Mapping[str, Any]
    arrives_by: str


SAMPLES = (
    Sample(
        "not on Telegram, blocked the Viber bot, no Viber, no RCS: arrives by SMS",
        {"viber_bot": "blocked", "viber_business": "absent", "rcs": "absent", "sms": "delivers"},
        {
            "id": "order-12345",
            "fromName": "YourStore",
            "toPhone": "+380501112233",
            "messageType": "transaction",
            "text": "Your order has been confirmed",
            "ttl": 86_400,
        },
        "sms",
    ),
    Sample(
        "talks to the Telegram bot: arrives there, the cheapest way",
        {"telegram_bot": "delivers"},
        {
            "id": "promo-summer-sale",
            "fromName": "YourBrand",
            "toPhone": "+380502223344",
            "messageType": "promo",
            "text": "Summer Sale! Up to 50% off. Shop now: https://example.com/sale",
            "ttl": 259_200,
        },
        "telegram_bot",
    ),
    Sample(
        "no Viber: picture and button arrive by RCS",
        {"viber_business": "absent", "rcs": "reads"},
        {
            "id": "promo-new-arrivals",
            "fromName": "YourBrand",
            "toPhone": "+380505556677",
            "messageType": "promo",
            "text": "New arrivals are here",
            "media": {"image": "https://example.com/arrivals.jpg"},
            "button": {"text": "See them", "url": "https://example.com/arrivals"},
            "ttl": 259_200,
        },
        "rcs",
    ),
    Sample(
        "a survey, with buttons in Viber",
        {"viber_bot": "reads"},
        {
            "id": "survey-satisfaction",
            "fromName": "YourBrand",
            "toPhone": "+380503334455",
            "messageType": "viber_survey",
            "text": "How satisfied are you with our service?",
            "surveyOptions": ["Very Satisfied", "Satisfied", "Neutral", "Dissatisfied", "Very Dissatisfied"],
            "ttl": 604_800,
        },
        "viber_bot",
    ),
    Sample(
        "a flash call: the last digits of the number that rang are the code",
        {"flashcall": "delivers"},
        {
            "id": "login-code",
            "fromName": "YourBrand",
            "toPhone": "+380504445566",
            "messageType": "flashcall",
            "fallback": {"messageType": "transaction", "text": "Your code: 4321"},
        },
        "flashcall",
    ),
)


def demo_settings(port: int, home: Path, rcs_key: str) -> Settings:
    """The gateway of the demo: loopback only, every provider in the sandbox, windows of seconds. `rcs_key`: the JSON of
    a service account that the sandbox's Google takes."""
    sandbox = f"http://{HOST}:{port + 1}"
    channels = (Channel.TELEGRAM_BOT, Channel.VIBER_BOT, Channel.VIBER_BUSINESS, Channel.RCS, Channel.SMS)
    return Settings.model_construct(
        **{
            **Settings.model_construct().__dict__,
            "store": Store(url=f"sqlite:///{home / 'cascade.db'}"),
            "http": Http(host=HOST, port=port, public_url=f"http://{HOST}:{port}"),
            "engine": Engine(drain_s=3),
            "webhooks": Webhooks(allow=["127.0.0.0/8", "::1", "localhost"], allow_http=True, ports=[]),
            "telegram_bot": TelegramApi(base_url=sandbox),
            "viber_bot": ViberApi(base_url=sandbox),
            "prices": [
                PriceEntry(channel=channel, price=Decimal(price))
                for channel, price in (
                    (Channel.VIBER_BOT, "0.002"),
                    (Channel.VIBER_BUSINESS, "0.01"),
                    (Channel.RCS, "0.02"),
                    (Channel.SMS, "0.05"),
                    (Channel.FLASHCALL, "0.01"),
                )
            ],
            "smpp": SmppSettings(
                host=HOST,
                port=port + 2,
                system_id="demo",
                password="demo",  # noqa: S106
                window=100,
                reconnect_max_s=2,
            ),
            "providers": {
                "infobip": ProviderLink.model_validate(
                    {
                        "kind": "viber_business.infobip",
                        "base_url": f"{sandbox}/infobip",
                        "api_key": INFOBIP_KEY,
                        "callback_secret": secrets.token_urlsafe(),
                    }
                ),
                "google": ProviderLink.model_validate(
                    {
                        "kind": "rcs.google",
                        "agent_id": "demo",
                        "client_token": RCS_TOKEN,
                        "service_account": rcs_key,
                        "base_url": f"{sandbox}/google-rbm",
                    }
                ),
                "sip": ProviderLink.model_validate(
                    {
                        "kind": "flashcall.sip",
                        "host": HOST,
                        "port": port + 3,
                        "username": SIP_ACCOUNT,
                        "password": SIP_ACCOUNT,
                        "callers": CALLERS,
                    }
                ),
            },
            "routes": {
                name: [RouteStep(channel=channel, window_s=window_s) for channel in channels]
                for name, window_s in WINDOWS_S.items()
            },
        }
    )


async def add_demo_account(settings: Settings) -> None:
    """The account of the public examples with its three credentials, and a user of the console."""
    hashed = await hash_password(CONSOLE_PASSWORD)
    database = settings.store.database()
    await database.open(owner=False)
    try:
        async with database.transaction() as tx:
            account_id = await accounts.add_account(tx, ACCOUNT, now_ms())
            await accounts.add_key(tx, ApiKey(account_id, "demo"), Secret(API_KEY), now_ms())
            seal = open_seal(settings)
            for channel, token in ((Channel.TELEGRAM_BOT, TELEGRAM_TOKEN), (Channel.VIBER_BOT, VIBER_TOKEN)):
                await accounts.add_bot(tx, seal, account_id, channel, Secret(token), now_ms())
            await console.add_user(tx, CONSOLE_USER, hashed, Role.ADMIN, now_ms())
    finally:
        await database.close()


async def demo(options: DemoOptions) -> int:
    """Run until Ctrl-C, or with `is_once` until the samples ended. 0 when they ended as they should."""
    listening = listen(HOST, options.port, "--port")
    screen = Console()
    sandbox = Sandbox(
        SandboxSettings(
            host=HOST,
            http_port=options.port + 1,
            smsc_port=options.port + 2,
            sip_port=options.port + 3,
            sip_accounts={SIP_ACCOUNT: SIP_ACCOUNT},
            telegram_tokens=(TELEGRAM_TOKEN,),
            viber_tokens=(VIBER_TOKEN,),
            infobip_keys=(INFOBIP_KEY,),
            rbm_client_token=RCS_TOKEN,
            gateway_url=f"http://{HOST}:{options.port}",
            gateway_key=API_KEY,
        )
    )
    try:
        await sandbox.start()
    except OSError as error:
        listening.close()
        taken = f"{options.port + 1}, {options.port + 2} or {options.port + 3}"
        raise ConfigError(
            "--port", f"cannot listen on {taken}: {error}", "Stop what uses it, or name another"
        ) from error
    rcs_key = json.dumps(sandbox.google_rbm.service_account(sandbox.url))
    settings = demo_settings(options.port, options.home, rcs_key)
    gateway = Gateway(settings)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    server = http_server(gateway.entrance, [])
    try:
        try:
            await add_demo_account(settings)
            await gateway.start()
        except ConfigError as error:  # the demo has one setting about its files
            raise ConfigError("--home", error.problem, error.fix) from error
        freeze_memory()
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            await gateway.webhooks_settled()
            await sandbox.google_rbm.set_webhook(f"http://{HOST}:{options.port}/callbacks/rcs.google")
            return await _show(screen, options, stopping)
        finally:
            server.should_exit = True
            await serving
            await gateway.stop()
    finally:
        listening.close()
        await sandbox.stop()


async def _show(screen: Console, options: DemoOptions, stopping: asyncio.Event) -> int:
    url = f"http://{HOST}:{options.port}"
    async with aiohttp.ClientSession(headers={"X-Authorization-Key": API_KEY}) as session:
        await _until_ready(session, url)
        screen.print("[bold green]ready[/]")
        screen.print(f"  gateway   {url}   (API documentation: {url}/docs)", highlight=False, soft_wrap=True)
        screen.print(
            f"  console   {url}/console   (user {CONSOLE_USER}, password {CONSOLE_PASSWORD})",
            highlight=False,
            soft_wrap=True,
        )
        screen.print(
            f"  sandbox   http://{HOST}:{options.port + 1}   (the phones and what reached them)",
            highlight=False,
            soft_wrap=True,
        )
        screen.print(f"  SMSC      {HOST}:{options.port + 2}   (SMPP 3.4)", highlight=False)
        screen.print(f"  phones    {HOST}:{options.port + 3}   (SIP, UDP and TCP)\n", highlight=False)
        has_ended_well = True
        if not options.is_quiet:
            has_ended_well = await _samples(screen, session, url, options.port, stopping)
            screen.print("Repeat the first one (the same id and content again is not sent twice):\n", highlight=False)
            screen.print(_curl(url, SAMPLES[0].message), highlight=False, soft_wrap=True, markup=False)
    if options.is_once:
        return 0 if has_ended_well else 1
    screen.print("\nCtrl-C stops it.")
    await stopping.wait()
    return 0


async def _until_ready(session: aiohttp.ClientSession, url: str) -> None:
    while True:
        async with session.get(f"{url}/health/ready") as answer:
            if answer.status == 200:
                return
        await asyncio.sleep(0.05)


async def _samples(
    screen: Console, session: aiohttp.ClientSession, url: str, port: int, stopping: asyncio.Event
) -> bool:
    """Send each sample and show its cascade as it goes. True when all ended as they should."""
    has_ended_well = True
    run = secrets.token_hex(3)  # the same id and content would be the first message again, and be sent no more
    for sample in SAMPLES:
        phone = sample.message["toPhone"]
        async with session.put(f"http://{HOST}:{port + 1}/people/{phone}", json=sample.person) as answer:
            answer.raise_for_status()
        async with session.post(
            f"{url}{SEND_PATH}", json=[{**sample.message, "id": f"{sample.message['id']}-{run}"}]
        ) as answer:
            answer.raise_for_status()
            (sent,) = await answer.json()
        screen.print(f"{sample.message['messageType']} to {phone}: {sample.story}", highlight=False, soft_wrap=True)
        status: dict[str, Any] = {}
        with Live(console=screen, refresh_per_second=10) as live:
            for _ in range(LONGEST_S * 10):
                async with session.get(f"{url}/bat/message/{sent['messageId']}") as answer:
                    status = await answer.json()
                live.update(_table(status))
                if status["finishedAt"] is not None or stopping.is_set():
                    break
                await asyncio.sleep(0.1)
        has_ended_well &= status["deliverystatus"] == "delivered" and status["channel"] == sample.arrives_by
        screen.print(f"\n  {status['deliverystatus']} by {status['channel']}\n", highlight=False)
    return has_ended_well


def _table(status: Mapping[str, Any]) -> Table:
    table = Table("time", "channel", "what happened", "why")
    for entry in status["timeline"]:
        reason = entry.get("reason", "")
        table.add_row(
            entry["at"][11:23],
            entry.get("channel", ""),
            entry["event"],
            REASONS.get((entry["event"], reason), reason.replace("_", " ")),
        )
    return table


def _curl(url: str, message: Mapping[str, Any]) -> str:
    body = json.dumps([message], indent=2, ensure_ascii=False)
    return (
        f"curl -X POST {url}{SEND_PATH} \\\n"
        f'  -H "Content-Type: application/json" -H "X-Authorization-Key: {API_KEY}" \\\n'
        f"  -d '{body}'\n\n"
        f'curl -H "X-Authorization-Key: {API_KEY}" {url}/bat/message/<messageId>'
    )
