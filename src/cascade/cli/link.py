"""`cascade link`: an account's ways to its providers, and how they do."""

from typing import Any, Final

import typer

from cascade.cli import output
from cascade.cli.gateway import Key, Url, gateway
from cascade.cli.options import Json

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Links to the providers, and how they do.")

COLUMNS: Final = {
    "link": "link",
    "channel": "channel",
    "state": "state",
    "inFlight": "in flight",
    "urgentQueued": "urgent waiting",
    "bulkQueued": "bulk waiting",
    "oldest": "oldest since",
}


@app.callback()
def _links() -> None:
    """Links to the providers, and how they do."""


@app.command("list")
def list_links(url: Url = None, key: Key = None, json: Json = False) -> None:
    """Every link of the account: up or down, what is unanswered, and what waits."""
    with gateway(url, key) as messenger:
        found = messenger.channels()
    output.rows(COLUMNS, found if json else [_shown(link) for link in found], is_json=json)


def _shown(link: dict[str, Any]) -> dict[str, Any]:
    due = [lane["oldestDueAt"] for lane in (link["urgent"], link["bulk"]) if lane["oldestDueAt"]]
    return {
        **link,
        "urgentQueued": link["urgent"]["queued"],
        "bulkQueued": link["bulk"]["queued"],
        "oldest": min(due)[:19].replace("T", " ") if due else None,
    }
