"""`cascade erase`: take a person out of the store."""

import asyncio
import getpass
import re
import socket
from typing import Annotated

import typer

from cascade.cli import logs, output
from cascade.cli.options import Config, Json
from cascade.core.errors import ConfigError
from cascade.serve import now_ms
from cascade.settings import Settings, load
from cascade.store import accounts, erasure
from cascade.store.erasure import Asked

app = typer.Typer(add_completion=False)


@app.command()
def erase(
    phone: Annotated[str, typer.Argument(help="With a plus sign, such as +380501112233.")],
    account: Annotated[str | None, typer.Option(help="Of this account alone; not given: of every one.")] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Erase all that is known of a phone; what is left of its messages are counters and costs."""
    if not re.fullmatch(r"\+[1-9][0-9]{6,14}", phone):
        raise ConfigError("phone", f"{phone!r} is none", "Write it with country code, such as +380501112233")
    settings = load(config)
    logs.configure("warning", "text")
    sums = asyncio.run(_erase(settings, phone, account))
    sentence = ", ".join(f"{count} {name}" for name, count in sums.items() if name != "unfinished")
    if sums["unfinished"]:
        sentence += f"; {sums['unfinished']} under way: a running gateway erases them when they have ended"
    output.done(f"Erased: {sentence}", sums, is_json=json)


async def _erase(settings: Settings, phone: str, account: str | None) -> dict[str, int]:
    database = settings.store.database()
    await database.open(owner=False)
    sums = dict.fromkeys(erasure.Erased._fields, 0)
    try:
        async with database.reading() as reader:
            ids = await accounts.ids(reader) if account is None else [await accounts.find_account(reader, account)]
        asked = Asked(f"{getpass.getuser()}, by cascade erase", socket.gethostname(), now_ms())
        for account_id in ids:
            erased = await erasure.erase(database, account_id, phone, asked, now_ms())
            for name, count in erased._asdict().items():
                sums[name] += count
    finally:
        await database.close()
    return sums
