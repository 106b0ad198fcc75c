"""`cascade routes`: which channels are tried, in which order."""

from typing import Final

import typer

from cascade.cli import output
from cascade.cli.options import Config, Json
from cascade.settings import load

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Routes: which channels are tried, in which order.")

COLUMNS: Final = {"route": "route", "step": "step", "channel": "channel", "windowS": "window", "surveys": "surveys"}


@app.callback()
def _routes() -> None:
    """Routes: which channels are tried, in which order."""


@app.command("show")
def show_routes(config: Config = None, json: Json = False) -> None:
    """Every route with its steps; without a window a step keeps the rest of the time to live."""
    found = [
        {
            "route": name,
            "step": place,
            "channel": step.channel.value,
            "windowS": step.window_s,
            "surveys": step.takes_surveys,
        }
        for name, steps in load(config).routes.items()
        for place, step in enumerate(steps, 1)
    ]
    output.rows(COLUMNS, found, is_json=json)
