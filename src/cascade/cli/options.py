"""Options that many commands take."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path | None, typer.Option("--config", "-c", help="TOML file; the environment wins over it.")]
Json = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]
