"""`cascade serve`: the gateway."""

import typer

from cascade.cli import logs
from cascade.cli.loop import run
from cascade.cli.options import Config
from cascade.serve import serve
from cascade.settings import load

app = typer.Typer(add_completion=False)


@app.command()
def serve_command(config: Config = None) -> None:
    """Run the gateway until SIGTERM or Ctrl-C."""
    settings = load(config)
    logs.configure(settings.log.level, settings.log.format)
    run(serve(settings))
