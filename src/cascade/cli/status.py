"""`cascade status`: where one message stands."""

import typer

from cascade.cli.gateway import Key, Url
from cascade.cli.messages import MessageId, show
from cascade.cli.options import Json

app = typer.Typer(add_completion=False)


@app.command()
def status(message: MessageId, url: Url = None, key: Key = None, json: Json = False) -> None:
    """Where one message stands, and everything that was tried."""
    show(message, url, key, is_json=json)
