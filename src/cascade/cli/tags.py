"""`cascade tags`: all messages of a tag, such as a campaign, at once."""

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer
from rich.live import Live

from cascade.cli import output
from cascade.cli.gateway import GatewayError, Key, Url, gateway, moment
from cascade.cli.options import Json
from cascade.client import CascadeMessenger
from cascade.core.prices import MICROS, written

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="All messages of a tag, such as a campaign: progress, cancel."
)

DAYS: Final = 365
WATCH_S: Final = 2.0
UNDER_WAY: Final = ("scheduled", "processing")
STATUSES: Final = (*UNDER_WAY, "delivered", "undeliverable", "permanenterror")
COLUMNS: Final = {"by": "by", "messages": "messages", **{status: status for status in STATUSES}, "cost": "cost"}


@app.command("progress")
def progress(
    tag: str,
    watch: Annotated[bool, typer.Option("--watch", help="Until none is under way.")] = False,
    url: Url = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """How far the messages of a tag have come, by the channel that delivered, and the cost of what each delivered."""
    with gateway(url, key) as messenger:
        found = _progress(messenger, tag)
        if not found[-1]["messages"]:
            raise GatewayError(f"no message of the last year has the tag {tag!r}")
        if watch and not json:
            with Live(output.table(COLUMNS, found), console=output.console) as live:
                while _is_under_way(found):
                    time.sleep(WATCH_S)
                    found = _progress(messenger, tag)
                    live.update(output.table(COLUMNS, found))
            return
        while watch and _is_under_way(found):
            time.sleep(WATCH_S)
            found = _progress(messenger, tag)
    output.rows(COLUMNS, found, is_json=json)


def _progress(messenger: CascadeMessenger, tag: str) -> list[dict[str, Any]]:
    """One row for each channel that delivered, for what reached nobody, for what no channel has yet, and the sum. A
    cost is all that the messages of the row were charged, on any channel."""
    since = datetime.now(UTC) - timedelta(days=DAYS)
    said = messenger.statistics(by=["channel", "status"], tag=tag, since=since)
    rows: dict[str, Counter[str]] = {}
    total: Counter[str] = Counter()
    for group in said["groups"]:
        numbers = {name: group[name] for name in ("messages", *STATUSES)} | {"cost": round(group["cost"] * MICROS)}
        without = "none yet" if group["status"] in UNDER_WAY else "nobody"
        rows.setdefault(group["channel"] or without, Counter()).update(numbers)
        total.update(numbers)
    return [_row(name, numbers, said["rateCurrency"]) for name, numbers in [*sorted(rows.items()), ("all", total)]]


def _row(name: str, numbers: Counter[str], currency: str) -> dict[str, Any]:
    shown = {column: numbers[column] for column in ("messages", *STATUSES)}
    return {"by": name, **shown, "cost": f"{written(numbers['cost'])} {currency}"}


def _is_under_way(found: list[dict[str, Any]]) -> bool:
    return any(found[-1][status] for status in UNDER_WAY)


@app.command("cancel")
def cancel(
    tag: str,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Cancel all messages of a tag that have not begun."""
    with gateway(url, key) as messenger:
        if not yes:
            messages = _progress(messenger, tag)[-1]
            open_ = sum(messages[status] for status in UNDER_WAY)
            typer.confirm(f"Cancel what has not begun of {open_} messages under way?", abort=True, err=True)
        said = messenger.cancel_tag(tag)
    output.done(f"{said['cancelled']} cancelled, {said['tooLate']} had begun or ended", said, is_json=json)


@app.command("hasten")
def hasten(tag: str, url: Url = None, key: Key = None, json: Json = False) -> None:
    """Send all of a tag now that have not begun."""
    with gateway(url, key) as messenger:
        said = messenger.hasten_tag(tag)
    output.done(f"{said['hastened']} go now, {said['tooLate']} had begun or ended", said, is_json=json)


@app.command("reschedule")
def reschedule(
    tag: str,
    at: Annotated[str, typer.Option(help="A time, or a span from now such as 2h.")],
    url: Url = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Send all of a tag that have not begun at another time."""
    when = moment("--at", at, is_ahead=True)
    assert when is not None  # noqa: S101 - it was given
    with gateway(url, key) as messenger:
        said = messenger.reschedule_tag(tag, when)
    output.done(f"{said['rescheduled']} go then, {said['tooLate']} had begun or ended", said, is_json=json)
