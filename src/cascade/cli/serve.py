"""`cascade serve`: the gateway."""

from typing import Annotated

import typer

from cascade.cli import logs
from cascade.cli.loop import run
from cascade.cli.options import Config
from cascade.core.node import Role
from cascade.serve import serve
from cascade.settings import load

app = typer.Typer(add_completion=False)


@app.command()
def serve_command(
    config: Config = None,
    role: Annotated[Role | None, typer.Option(help="What this node does; it wins over engine.role.")] = None,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C."""
    settings = load(config, role)
    logs.configure(settings.log.level, settings.log.format)
    run(serve(settings))
