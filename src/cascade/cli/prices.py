"""`cascade prices`: what a part costs."""

from typing import Annotated, Final

import typer

from cascade.cli import output
from cascade.cli.options import Config, Json
from cascade.core.prices import written
from cascade.core.words import Channel
from cascade.serve import price_list
from cascade.settings import load

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Prices: what a part costs, by channel and country.")

COLUMNS: Final = {
    "channel": "channel",
    "prefix": "prefix",
    "sender": "sender",
    "price": "price",
    "currency": "currency",
}


@app.callback()
def _prices() -> None:
    """Prices: what a part costs, by channel and country."""


@app.command("show")
def show_prices(
    phone: Annotated[str | None, typer.Argument(help="What a part to this phone costs, by every channel.")] = None,
    sender: Annotated[str, typer.Option(help="From this sender.")] = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """The list of prices. The longest prefix of the phone counts; a channel that is not listed is free."""
    settings = load(config)
    entries = [(entry.channel, entry.prefix, entry.sender, str(entry.price)) for entry in settings.prices]
    if phone is not None:
        prices = price_list(settings)
        micros = {channel: prices.per_part_micros(channel, sender, phone) for channel in Channel}
        entries = [(channel, phone, sender or None, written(price)) for channel, price in micros.items()]
    found = [
        {"channel": channel.value, "prefix": prefix, "sender": name, "price": price, "currency": settings.currency}
        for channel, prefix, name, price in entries
    ]
    output.rows(COLUMNS, found, is_json=json)
