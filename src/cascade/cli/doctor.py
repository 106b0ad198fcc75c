"""`cascade doctor`: is everything as it must be before the first message goes out?"""

import asyncio
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Column, Table
from rich.text import Text

from cascade.cli import logs, output
from cascade.cli.checkup.finding import Finding, State, of_error, well
from cascade.cli.checkup.outside import of_the_outside
from cascade.cli.checkup.setup import of_accounts, of_routes, of_settings
from cascade.cli.checkup.storage import of_store
from cascade.cli.options import Config, Json
from cascade.core.errors import ConfigError
from cascade.settings import load

app = typer.Typer(add_completion=False)

SIGNS: Final = {State.WELL: ("✓", "green"), State.WARNING: ("!", "yellow"), State.ILL: ("✗", "red")}


@app.command()
def doctor(
    config: Config = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no provider, and nothing else beyond this.")] = False,
    json: Json = False,
) -> None:
    """Check the configuration, the store and its secrets, and every provider's credentials and reachability.

    Nothing is sent to a person and nothing is changed. Exit code 1 when something failed; a warning is none.
    """
    logs.configure("error", "text")
    findings = asyncio.run(_examine(config, offline=offline))
    if json:
        output.as_json([finding._asdict() for finding in findings])
    else:
        output.console.print(_shown(findings))
    if any(finding.state is State.ILL for finding in findings):
        raise typer.Exit(1)


def _shown(findings: list[Finding]) -> Table:
    shown = Table(Column(), Column(no_wrap=True), Column(overflow="fold"), box=None, show_header=False, pad_edge=False)
    for what, state, detail, fix in findings:
        sign, style = SIGNS[state]
        shown.add_row(Text(sign, style=style), Text(what), Text(f"{detail}. {fix}" if fix else detail))
    return shown


async def _examine(config: Path | None, *, offline: bool) -> list[Finding]:
    try:
        settings = load(config)
    except ConfigError as error:
        return [of_error("configuration", error)]
    findings = [well("configuration", str(config) if config else "no file: the environment and the defaults")]
    findings += of_settings(settings)
    found, loaded, enabled = await of_store(settings)
    findings += found
    if loaded is not None:
        findings += of_accounts(settings, loaded)
        findings += of_routes(settings, loaded)
    if not offline:
        findings += await of_the_outside(settings, loaded, enabled)
    return findings
