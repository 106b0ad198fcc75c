"""`cascade sandbox`: the providers' twins alone."""

from typing import Annotated

import typer

from cascade.cli import logs
from cascade.cli.demo import TELEGRAM_TOKEN, VIBER_TOKEN
from cascade.cli.loop import run
from cascade.core.errors import ConfigError
from cascade.sandbox.app import SandboxSettings
from cascade.sandbox.app import run as run_sandbox
from cascade.settings import SANDBOX_KEY_VARIABLE

app = typer.Typer(add_completion=False)


@app.command()
def sandbox_command(
    host: Annotated[str, typer.Option()] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="HTTP: providers, people, phones page.", min=0, max=65535)] = 8081,
    smsc_port: Annotated[int, typer.Option(help="SMPP.", min=0, max=65535)] = 8082,
    sip_port: Annotated[int, typer.Option(help="SIP trunk, UDP and TCP.", min=0, max=65535)] = 8083,
    gateway: Annotated[str | None, typer.Option(help="URL of a gateway to tell who talked to the bots.")] = None,
    key: Annotated[str, typer.Option(envvar=SANDBOX_KEY_VARIABLE, help="API key for it.")] = "",
    telegram_token: Annotated[list[str], typer.Option(help="Bot tokens it takes.")] = [TELEGRAM_TOKEN],  # noqa: B006
    viber_token: Annotated[list[str], typer.Option(help="Bot tokens it takes.")] = [VIBER_TOKEN],  # noqa: B006
) -> None:
    """The providers' twins alone."""
    logs.configure("info", "text")
    settings = SandboxSettings(
        host=host,
        http_port=port,
        smsc_port=smsc_port,
        sip_port=sip_port,
        gateway_url=gateway,
        gateway_key=key,
        telegram_tokens=tuple(telegram_token),
        viber_tokens=tuple(viber_token),
    )
    try:
        run(run_sandbox(settings))
    except OSError as error:
        raise ConfigError(
            "--port, --smsc-port, --sip-port", f"cannot listen: {error}", "Stop what uses it, or name another"
        ) from error
