"""`cascade bot`: the Telegram and Viber bots of an account."""

from typing import Annotated, Any

import typer

from cascade.cli import output
from cascade.cli.in_store import in_store, written
from cascade.cli.options import Config, Json
from cascade.core.errors import ConfigError
from cascade.core.secret import Secret
from cascade.core.words import Channel
from cascade.serve import now_ms, open_seal
from cascade.settings import BOT_TOKEN_VARIABLE, Settings
from cascade.store import accounts, subscribers, webhooks
from cascade.store.database import Transaction

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Telegram and Viber bots of an account.")


@app.command("add")
def add_bot(
    account: str,
    channel: Annotated[Channel, typer.Argument(help="telegram_bot or viber_bot")],
    token: Annotated[str, typer.Option(prompt=True, hide_input=True, envvar=BOT_TOKEN_VARIABLE, help="Asked for.")],
    config: Config = None,
    json: Json = False,
) -> None:
    """Register a bot; a running gateway uses it within a second."""
    if not channel.needs_subscriber:
        raise ConfigError("channel", f"{channel.value} has no bots", "Write telegram_bot or viber_bot")

    async def work(tx: Transaction, settings: Settings) -> tuple[str, bool]:
        account_id = await accounts.find_account(tx, account)
        known = {bot.link for bot, _ in await accounts.list_bots(tx, account_id)}
        bot = await accounts.add_bot(tx, open_seal(settings), account_id, channel, Secret(token), now_ms())
        if bot.account_id != account_id:
            fix = "One bot serves one account: remove it there first (`cascade bot remove`)"
            raise ConfigError("token", f"this {channel.value} belongs to another account", fix)
        return bot.link, bot.link not in known

    link, is_new = in_store(config, work)
    sentence = f"{channel.value} added to {account!r} as {link}" if is_new else f"{account!r} has this bot: {link}"
    output.done(sentence, {"account": account, "link": link, "isNew": is_new}, is_json=json)


@app.command("list")
def list_bots(account: str, config: Config = None, json: Json = False) -> None:
    """The account's bots by their links, and whom they can write to."""

    async def work(tx: Transaction, settings: Settings) -> list[dict[str, Any]]:
        account_id = await accounts.find_account(tx, account)
        return [
            {
                "link": bot.link,
                "channel": bot.channel.value,
                "subscribers": await subscribers.count(tx, account_id, bot.link),
                "added": written(created_at_ms),
            }
            for bot, created_at_ms in await accounts.list_bots(tx, account_id)
        ]

    columns = {"link": "link", "channel": "channel", "subscribers": "subscribers", "added": "added"}
    output.rows(columns, in_store(config, work), is_json=json)


@app.command("remove")
def remove_bot(
    account: str,
    link: Annotated[str, typer.Argument(help="As `cascade bot list` names it, such as telegram_bot.1")],
    config: Config = None,
    json: Json = False,
) -> None:
    """Forget a bot and its subscribers. New messages pass it over within a second; those that wait for it go on to the
    next channel when their window is over."""

    async def work(tx: Transaction, settings: Settings) -> bool:
        return await accounts.remove_bot(tx, await accounts.find_account(tx, account), link)

    if not in_store(config, work):
        raise ConfigError("link", f"{account!r} has no bot {link}", f"`cascade bot list {account}` names them")
    output.done(f"{link} removed", {"removed": link}, is_json=json)


@app.command("reseal")
def reseal_bots(config: Config = None, json: Json = False) -> None:
    """Seal every bot token and webhook secret with the first of `secrets.keys`, so that the older ones can go."""

    async def work(tx: Transaction, settings: Settings) -> int:
        seal = open_seal(settings)
        return await accounts.reseal(tx, seal) + await webhooks.reseal(tx, seal)

    count = in_store(config, work)
    output.done(f"{count} sealed anew", {"sealed": count}, is_json=json)
