"""`cascade subscriber`: whom an account's bots can write to."""

import itertools
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import TypeAdapter, ValidationError

from cascade.api.subscribers import TELEGRAM, VIBER
from cascade.cli import meter, output
from cascade.cli.campaign import rules, template
from cascade.cli.campaign.people import People, Row, open_people
from cascade.cli.campaign.report import Report
from cascade.cli.campaign.rules import Fault
from cascade.cli.in_store import in_store
from cascade.cli.meter import Meter
from cascade.cli.options import Config, Json
from cascade.core.directory import Bot
from cascade.core.errors import ConfigError
from cascade.core.words import Channel
from cascade.serve import now_ms
from cascade.settings import Settings
from cascade.store import accounts, queries, subscribers
from cascade.store.database import Transaction
from cascade.store.subscribers import Subscriber

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Subscribers: whom an account's bots can write to.")

Link = Annotated[str, typer.Argument(help="The bot, as `cascade bot list` names it, such as telegram_bot.1")]
SET: Final = 1_000
SCHEMAS: Final[dict[Channel, TypeAdapter[Any]]] = {Channel.TELEGRAM_BOT: TELEGRAM, Channel.VIBER_BOT: VIBER}
COLUMNS: Final = {"phone": "phone", "link": "link", "address": "address", "profile": "profile"}


@app.command("import")
def import_subscribers(
    account: str,
    link: Link,
    csv: Annotated[Path, typer.Argument(help="A CSV file with the columns phone and id, and any of the profile's.")],
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", help="FIELD=COLUMN: phone, id (the chat or user id), firstName, name, … Repeatable."),
    ] = None,
    country: Annotated[str | None, typer.Option(help="Of numbers without a plus, such as 380.")] = None,
    encoding: Annotated[str, typer.Option(help="Of the file.")] = "utf-8-sig",
    delimiter: Annotated[str | None, typer.Option(help="Of the file; none given: the one it uses.")] = None,
    report: Annotated[Path | None, typer.Option(help="Where refused rows go; default: FILE.refused.csv.")] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Tell a bot whom it can write to. A phone that is known gets its new address; repeating it does no harm."""
    people = open_people(csv, encoding, delimiter)
    refused = Report(report or csv.with_name(f"{csv.name}.refused.csv"), people.columns)
    refused.begin_anew()

    async def bot_of(tx: Transaction, settings: Settings) -> Bot:
        return await _bot(tx, account, link)

    bot = in_store(config, bot_of)
    places = _places(bot.channel, map_ or [], people)
    stored = 0
    bar = Meter("importing", people.size_bytes, "bytes")
    rows = people.rows()
    try:
        with meter.shown(bar, output.errors) as at:
            while some := list(itertools.islice(rows, SET)):
                good = [one for row in some if (one := _read(bot.channel, row, places, country, refused)) is not None]

                async def put(tx: Transaction, settings: Settings, good: list[Subscriber] = good) -> None:
                    await subscribers.put(tx, bot.account_id, bot.link, good, now_ms())

                in_store(config, put)
                stored += len(good)
                at(people.read_bytes)
    finally:
        refused.close()
    value = {"stored": stored, "refused": refused.count, "report": str(refused.path) if refused.count else None}
    sentence = f"{stored:,} stored" + (f", {refused.count:,} refused: {refused.path}" if refused.count else "")
    output.done(sentence, value, is_json=json)
    if refused.count:
        raise typer.Exit(1)


def _places(channel: Channel, mapping: list[str], people: People) -> dict[str, int]:
    """Where each field of a subscriber stands in a row. A column of the field's own name needs no mapping."""
    schema = SCHEMAS[channel].json_schema()
    known = next(iter(schema["$defs"].values()))["properties"]
    places = {name: people.columns.index(name) for name in known if name in people.columns}
    for one in mapping:
        field, _, column = one.partition("=")
        if field not in known or not column:
            raise ConfigError(
                "--map", f"{one!r} maps nothing", f"Write FIELD=COLUMN, the field one of {', '.join(known)}"
            )
        places[field] = template.place_of("--map", column.strip(), people.columns)
    for needed in ("phone", "id"):
        if needed not in places:
            places[needed] = template.place_of(f"--map {needed}=COLUMN", needed, people.columns)
    return places


def _read(
    channel: Channel, row: Row, places: dict[str, int], country: str | None, refused: Report
) -> Subscriber | None:
    """By the same rules as the API's. None: it was refused."""
    if len(row.values) <= max(places.values()):
        refused.add(row, Fault("INVALID_FIELD", None, f"only {len(row.values)} columns"))
        return None
    told = {name: row.values[place].strip() for name, place in places.items() if row.values[place].strip()}
    told["phone"] = rules.phone(told.get("phone", ""), country)
    try:
        (user,) = SCHEMAS[channel].validate_python([told])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        refused.add(row, Fault("INVALID_FIELD", str(first["loc"][-1]), first["msg"]))
        return None
    return Subscriber(user.phone, str(user.id), user.model_dump_json(exclude={"id", "phone"}, exclude_none=True))


@app.command("list")
def list_subscribers(
    account: str,
    link: Link,
    phone: Annotated[str | None, typer.Option(help="Only this one, with the plus.")] = None,
    limit: Annotated[int, typer.Option(help="How many at most.", min=1, max=100_000)] = 50,
    config: Config = None,
    json: Json = False,
) -> None:
    """Whom a bot can write to, by phone."""

    async def work(tx: Transaction, settings: Settings) -> list[dict[str, Any]]:
        bot = await _bot(tx, account, link)
        found = await queries.subscribers(tx, bot.account_id, [bot.link], phone, None, limit)
        return [{"phone": one.phone, "link": one.link, "address": one.address, "profile": one.profile} for one in found]

    output.rows(COLUMNS, in_store(config, work), is_json=json)


@app.command("remove")
def remove_subscriber(account: str, link: Link, phone: str, config: Config = None, json: Json = False) -> None:
    """Forget a person at a bot: messages to this phone then pass it over."""

    async def work(tx: Transaction, settings: Settings) -> int:
        bot = await _bot(tx, account, link)
        return await subscribers.remove(tx, bot.account_id, [bot.link], phone)

    count = in_store(config, work)
    output.done(f"{count} removed", {"removed": count}, is_json=json)
    if count == 0:
        raise typer.Exit(1)


async def _bot(tx: Transaction, account: str, link: str) -> Bot:
    account_id = await accounts.find_account(tx, account)
    for bot, _ in await accounts.list_bots(tx, account_id):
        if bot.link == link:
            return bot
    raise ConfigError("link", f"{account!r} has no bot {link}", f"`cascade bot list {account}` names them")
