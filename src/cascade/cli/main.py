"""The `cascade` command: which module holds which of its commands."""

import gc
import sys
from importlib import import_module
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

import cascade
from cascade.core.errors import CascadeError


class Place(NamedTuple):
    """A module of this package that holds a command, or a group of them, and what its help says in one line."""

    module: str
    help: str


COMMANDS: Final = {
    "serve": Place("serve", "Run the gateway until SIGTERM or Ctrl-C."),
    "demo": Place("demo", "Gateway and sandbox in one terminal: watch a message find its way."),
    "sandbox": Place("sandbox", "The providers' twins alone."),
    "send": Place("send", "Send one message, or a campaign from a CSV file."),
    "status": Place("status", "Where one message stands, and everything that was tried."),
    "messages": Place("messages", "Messages: find them, follow one, change what has not begun."),
    "tags": Place("tags", "All messages of a tag, such as a campaign: progress, cancel."),
    "link": Place("link", "Links to the providers, and how they do."),
    "account": Place("account", "Accounts: who sends, and within which limits."),
    "key": Place("key", "API keys of an account."),
    "bot": Place("bot", "Telegram and Viber bots of an account."),
    "console": Place("console", "Users of the console: who may come in, and what they may do."),
    "subscriber": Place("subscriber", "Subscribers: whom an account's bots can write to."),
    "webhook": Place("webhook", "Where an account wants to be told of events."),
    "erase": Place("erase", "Erase all that is known of a phone."),
    "sender": Place("sender", "Senders: under which name messages go out."),
    "prices": Place("prices", "Prices: what a part costs, by channel and country."),
    "routes": Place("routes", "Routes: which channels are tried, in which order."),
    "doctor": Place("doctor", "Is everything as it must be? Configuration, store, secrets, every provider."),
    "store": Place("store", "The store as a whole: its version, and bringing it up to date."),
}


class Commands(TyperGroup):
    """Loads the module of the command that is run and no other: the gateway's own take a second, and a completion or a
    message to send should not."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """What a list of commands shows of it."""
        place = COMMANDS.get(cmd_name)
        return None if place is None else TyperCommand(cmd_name, help=place.help)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, stub, rest = super().resolve_command(ctx, args)
        if stub is None or name is None:
            return name, stub, rest
        gc.disable()  # what is imported stays: to look for garbage among it takes a sixth of the time
        module = import_module(f"cascade.cli.{COMMANDS[name].module}")
        gc.enable()
        command = typer.main.get_command(module.app)
        command.name = name
        return name, command, rest


app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False)


def _version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"cascade {cascade.__version__}")  # noqa: T201
        raise typer.Exit


@app.callback(help="A messaging gateway: one request, and the message arrives by the first channel that works.")
def _cascade(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Its version.")] = False,
) -> None:
    pass


def main() -> None:
    """Run a command. A wrong setting is one line that names it and the fix, and exit code 2."""
    try:
        app()
    except CascadeError as error:
        print(f"cascade: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
