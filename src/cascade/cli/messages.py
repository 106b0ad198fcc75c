"""`cascade messages`: find messages, follow one, and change what has not begun."""

import itertools
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from cascade.cli import output
from cascade.cli.gateway import GatewayError, Key, Url, gateway, moment
from cascade.cli.options import Json
from cascade.client import CascadeMessenger
from cascade.core.message import Status
from cascade.core.prices import MICROS, written
from cascade.core.words import Channel, MessageType

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Messages: find them, follow one, change what has not begun."
)

MessageId = Annotated[str, typer.Argument(help="The messageId, or your own tracking id.")]
COLUMNS: Final = {
    "acceptedAt": "accepted",
    "messageId": "message",
    "toPhone": "phone",
    "deliverystatus": "status",
    "channel": "by",
    "trackinId": "tracking id",
}
TIMELINE: Final = {"at": "time", "channel": "channel", "event": "what happened", "why": "why", "detail": "detail"}
ABOUT: Final = ("messageId", "trackinId", "fromName", "toPhone", "messageType", "deliverystatus", "channel", "cost")
TIMES: Final = ("acceptedAt", "scheduledSent", "expiresAt", "finishedAt")
UUID_LENGTH: Final = 36


class Shown(StrEnum):
    """Words of the timeline for people."""

    NOT_SUBSCRIBED = "the person never talked to the bot"
    NO_CHANNEL = "not set up for this account"


@app.command("list")
def list_messages(
    status: Annotated[Status | None, typer.Option(help="How they stand.")] = None,
    channel: Annotated[Channel | None, typer.Option(help="The one that delivered.")] = None,
    type_: Annotated[MessageType | None, typer.Option("--type", help="Their type.")] = None,
    phone: Annotated[str | None, typer.Option(help="To whom, with the plus.")] = None,
    tracking_id: Annotated[str | None, typer.Option("--id", help="Your tracking id.")] = None,
    tag: Annotated[str | None, typer.Option(help="A tag.")] = None,
    since: Annotated[str | None, typer.Option(help="Accepted then or later: a time, or a span such as 2h.")] = None,
    until: Annotated[str | None, typer.Option(help="Accepted before then.")] = None,
    limit: Annotated[int, typer.Option(help="How many at most; 0: all.", min=0)] = 50,
    url: Url = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Messages that fit all of the filters, the newest first."""
    filters = {
        "status": status and status.value,
        "channel": channel and channel.value,
        "message_type": type_ and type_.value,
        "phone": phone,
        "tracking_id": tracking_id,
        "tag": tag,
        "since": moment("--since", since),
        "until": moment("--until", until),
    }
    with gateway(url, key) as messenger:
        found: list[dict[str, Any]] = [
            dict(one) for one in itertools.islice(messenger.messages(**filters), limit or None)
        ]
    for one in found:
        one["acceptedAt"] = one["acceptedAt"] if json else _short(one["acceptedAt"])[5:]
    output.rows(COLUMNS, found, is_json=json)


@app.command("show")
def show_message(message: MessageId, url: Url = None, key: Key = None, json: Json = False) -> None:
    """One message, and everything that was tried: when, by which channel, and why it moved on."""
    show(message, url, key, is_json=json)


def show(message: str, url: str | None, key: str | None, *, is_json: bool) -> None:
    with gateway(url, key) as messenger:
        status = messenger.status(find(messenger, message))
    if is_json:
        output.as_json(status)
        return
    said: dict[str, Any] = dict(status)
    said["cost"] = f"{written(round(said['cost'] * MICROS))} {said['rateCurrency']}"
    said |= {name: said[name] and _short(said[name]) for name in TIMES if name in said}
    shown = {name: said[name] for name in (*ABOUT, *TIMES, "survey", "clicks") if said.get(name) is not None}
    output.fields(shown, is_json=False)
    output.say("")
    output.rows(TIMELINE, [_entry(entry) for entry in status["timeline"]], is_json=False)


def _entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    reason = entry.get("reason")
    why = None if reason is None else Shown.__members__.get(reason.upper(), reason.replace("_", " "))
    clicked = f"{entry['clicks']} times: {entry['url']}" if "clicks" in entry else None
    event = entry["event"].replace("_", " ") + (" (unconfirmed)" if entry.get("confirmed") is False else "")
    return {**entry, "at": _short(entry["at"], with_ms=True)[5:], "event": event, "why": why or clicked}


@app.command("cancel")
def cancel_message(message: MessageId, url: Url = None, key: Key = None, json: Json = False) -> None:
    """Cancel what has not begun."""
    with gateway(url, key) as messenger:
        status = messenger.cancel(find(messenger, message))
    output.done(f"{status['messageId']} is cancelled", status, is_json=json)


@app.command("hasten")
def hasten_message(message: MessageId, url: Url = None, key: Key = None, json: Json = False) -> None:
    """Send a scheduled message now."""
    with gateway(url, key) as messenger:
        status = messenger.hasten(find(messenger, message))
    output.done(f"{status['messageId']} goes now", status, is_json=json)


@app.command("reschedule")
def reschedule_message(
    message: MessageId,
    at: Annotated[str, typer.Option(help="A time, or a span from now such as 2h.")],
    url: Url = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Send it at another time, at most 30 days ahead."""
    when = moment("--at", at, is_ahead=True)
    assert when is not None  # noqa: S101 - it was given
    with gateway(url, key) as messenger:
        status = messenger.reschedule(find(messenger, message), when)
    output.done(f"{status['messageId']} goes at {status.get('scheduledSent') or 'once'}", status, is_json=json)


def find(messenger: CascadeMessenger, message: str) -> str:
    """The messageId of what was named by it or by a tracking id, of which the newest message counts."""
    if len(message) == UUID_LENGTH and message.count("-") == 4:
        return message
    found = messenger.statuses(tracking_ids=[message]).get(message)
    if found is None:
        raise GatewayError(f"there is no message {message!r} of this account. `cascade messages list` finds them")
    return found["messageId"]


def _short(at: str, *, with_ms: bool = False) -> str:
    """A time of the API without its T and Z."""
    return at.replace("T", " ")[: 23 if with_ms else 19]
