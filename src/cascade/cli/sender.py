"""`cascade sender`: under which name messages go out."""

from typing import Annotated, Any, Final

import typer

from cascade.cli import output
from cascade.cli.options import Config, Json
from cascade.settings import load

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Senders: under which name messages go out.")

COLUMNS: Final = {"link": "link", "fromName": "fromName", "sender": "goes out as"}
ANY_OTHER: Final = "any other"
ITSELF: Final = "itself"


@app.callback()
def _senders() -> None:
    """Senders: under which name messages go out."""


@app.command("show")
def show_senders(
    name: Annotated[str | None, typer.Argument(help="A fromName: what becomes of it.")] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """What each link makes of a client's fromName. Which names an account may use: `cascade account show`."""
    found: list[dict[str, Any]] = []
    for link, configured in load(config).provider_links.items():
        senders = dict(getattr(configured.own, "senders", {}))
        default = getattr(configured.own, "default_sender", None) or ITSELF
        if name is None:
            rows = [*sorted(senders.items()), (ANY_OTHER, default)]
        else:
            rows = [(name, senders.get(name, default))]
        found += [{"link": link, "fromName": from_name, "sender": sender} for from_name, sender in rows]
    output.rows(COLUMNS, found, is_json=json)
