"""`cascade send`: one message, or a campaign from a CSV file."""

import json as json_words
import time
import uuid
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cascade.cli import output
from cascade.cli.campaign import plan as plans
from cascade.cli.campaign.conduct import Choices, Places, conduct
from cascade.cli.campaign.people import open_people
from cascade.cli.gateway import GatewayError, Key, Url, gateway, moment
from cascade.cli.messages import show
from cascade.cli.options import Json
from cascade.core.errors import ConfigError
from cascade.core.words import Channel, MessageType

app = typer.Typer(add_completion=False)

WAIT_S: Final = 0.5
DONE: Final = ("delivered", "undeliverable", "permanenterror")


class Via(StrEnum):
    STANDARD = "standard"
    TG_VIBER = "tg-viber"


@app.command()
def send(
    phone: Annotated[str | None, typer.Argument(help="To whom, such as +380501112233.")] = None,
    text: Annotated[
        str | None, typer.Argument(help="What; with --csv a template, such as 'Dear {Name|customer}'.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="A campaign: a message to everyone in this file.")] = None,
    text_: Annotated[str | None, typer.Option("--text", help="The same as the argument TEXT.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="The sender's name.")] = None,
    type_: Annotated[MessageType | None, typer.Option("--type", help="transaction; promo for a campaign.")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="Your tracking id; none given: one is made.")] = None,
    ttl: Annotated[int | None, typer.Option(help="Seconds in which it must arrive.")] = None,
    at: Annotated[str | None, typer.Option(help="When: a time, or a span from now such as 2h.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="To find, count and cancel by. Repeatable.")] = None,
    route: Annotated[
        str | None, typer.Option(help="Channels in order, such as viber_bot,sms; or a route of the configuration.")
    ] = None,
    via: Annotated[Via, typer.Option(help="The endpoint.")] = Via.STANDARD,
    max_cost: Annotated[str | None, typer.Option(help="What it may cost at most, such as 0.05.")] = None,
    message: Annotated[
        Path | None, typer.Option(help="JSON with any further fields of a message; its texts are templates, too.")
    ] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", help="FIELD=COLUMN: phone, text, id, from, type, ttl or at. Repeatable."),
    ] = None,
    country: Annotated[str | None, typer.Option(help="Of numbers without a plus, such as 380.")] = None,
    campaign: Annotated[str | None, typer.Option(help="Its name, in ids and as a tag; none given: the file's.")] = None,
    encoding: Annotated[str, typer.Option(help="Of the file.")] = "utf-8-sig",
    delimiter: Annotated[str | None, typer.Option(help="Of the file; none given: the one it uses.")] = None,
    skip_refused: Annotated[
        bool, typer.Option("--skip-refused", help="Send the others although some are refused.")
    ] = False,
    repeat_phones: Annotated[
        bool, typer.Option("--repeat-phones", help="A phone in several rows gets a message for each.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen; send nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Send without asking.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Until one message has ended; show what was tried.")] = False,
    report: Annotated[Path | None, typer.Option(help="Where refused rows go; default: FILE.refused.csv.")] = None,
    journal: Annotated[Path | None, typer.Option(help="What was sent; default: FILE.journal.")] = None,
    url: Url = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Send one message, or with --csv one to everyone in a file.

    A campaign is checked whole before its first message is sent. Started again after it broke off, it goes on where it
    was, and nobody gets two.
    """
    if csv is not None and phone is not None and text is None:
        phone, text = None, phone  # the one argument of a campaign is its text
    if text is not None and text_ is not None:
        raise ConfigError("--text", "the text is there twice", "Give it as an argument or as --text")
    fields = {
        **_of_file(message),
        "fromName": from_,
        "messageType": type_ and type_.value,
        "text": text if text is not None else text_,
        "id": id_,
        "ttl": ttl,
        "route": route and _route(route),
        "maxCost": max_cost,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    if csv is None:
        of_campaign = {"map": map_, "campaign": campaign, "country": country, "report": report, "journal": journal}
        _refuse_of_campaign(**of_campaign, **{"repeat-phones": repeat_phones})
        given |= {"toPhone": phone} if phone is not None else {}
        when = moment("--at", at, is_ahead=True)
        _one(given, when, tag or [], via, url, key, dry_run=dry_run, wait=wait, is_json=json)
        return
    if phone is not None:
        raise ConfigError("PHONE", "a campaign has its phones in the file", "Leave it out")
    country = country and _country(country)
    people = open_people(csv, encoding, delimiter)
    name = plans.name_of(campaign or csv.stem)
    suffix = f".{name}" if campaign else ""
    about: dict[str, Any] = {
        "file": people.digest,
        "message": given,
        "map": sorted(map_ or []),
        "at": at,
        "tags": tag or [],
        "via": via.value,
        "country": country,
        "campaign": name,
        "gateway": url,
    }
    if repeat_phones:  # only then, so that a campaign begun before there was the option can go on
        about["repeats_phones"] = True
    places = Places(
        report or csv.with_name(f"{csv.name}{suffix}.refused.csv"),
        journal or csv.with_name(f"{csv.name}{suffix}.journal"),
    )
    choices = Choices(skips_refused=skip_refused, is_dry=dry_run, is_sure=yes, is_json=json)
    conduct(people, about, places, choices, url, key)


def _country(given: str) -> str:
    """Its digits, also of +380."""
    digits = given.strip().removeprefix("+")
    if not (digits.isascii() and digits.isdecimal()):
        raise ConfigError("--country", f"{given!r} is no code of a country", "Write what its numbers begin with: 380")
    return digits


def _route(given: str) -> str | list[str]:
    """The channels that are named, or the name of a route."""
    names = [name.strip() for name in given.split(",")]
    return names if all(name in list(Channel) for name in names) else given


def _of_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        value = json_words.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError("--message", f"cannot read {path}: {error.strerror}", "Name a file that exists") from error
    except ValueError as error:
        raise ConfigError("--message", f"{path} is not JSON: {error}", "Mend it there") from error
    if not isinstance(value, dict):
        raise ConfigError("--message", f"{path} holds no object", 'Write {"button": {"text": "…", "url": "…"}}')
    return value


def _refuse_of_campaign(**options: object) -> None:
    for name, value in options.items():
        if value:
            raise ConfigError(f"--{name}", "it is for a campaign", "Give --csv as well, or leave it out")


def _one(
    given: dict[str, Any],
    when: datetime | None,
    tags: list[str],
    via: Via,
    url: str | None,
    key: str | None,
    *,
    dry_run: bool,
    wait: bool,
    is_json: bool,
) -> None:
    message = {"id": f"cli-{uuid.uuid4().hex[:12]}", "messageType": "transaction", **given}
    if when is not None:
        message["scheduledSent"] = when
    if tags:
        message["tags"] = [*message.get("tags", []), *tags]
    for name, option in (("toPhone", "PHONE"), ("fromName", "--from")):
        if name not in message:
            raise ConfigError(option, "it is missing", "Write: cascade send +380501112233 'Your text' --from YourName")
    with gateway(url, key) as messenger:
        if dry_run:
            told: Any
            (told,) = messenger.preview([message], via=via.value)
            if "error" in told:
                raise GatewayError(f"{told['error']['code']}: {told['error']['message']}")
            if is_json:
                output.as_json(told)
            else:
                columns = {"channel": "channel", "status": "status", "reason": "why", "parts": "parts", "cost": "cost"}
                output.rows(columns, told["steps"], is_json=False)
            return
        (sent,) = messenger.send_bulk([message], via=via.value)
        while wait and messenger.status(sent["messageId"])["deliverystatus"] not in DONE:
            time.sleep(WAIT_S)
    if wait:
        show(sent["messageId"], url, key, is_json=is_json)
    else:
        output.done(sent["messageId"], sent, is_json=is_json)
