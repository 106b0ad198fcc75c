"""Each bot's directory: by which address it can write to the person with a phone."""

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from cascade.store.database import Reader, Transaction


class Subscriber(NamedTuple):
    """`address` is a chat id or Viber user id; `profile` JSON of what else the client told us."""

    phone: str
    address: str
    profile: str


PUT = """
    INSERT INTO subscriber (account_id, link, phone, address, profile, updated_at_ms) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (account_id, link, phone)
    DO UPDATE SET address = excluded.address, profile = excluded.profile, updated_at_ms = excluded.updated_at_ms,
        stopped_at_ms = NULL
"""
REMOVE = "DELETE FROM subscriber WHERE account_id = ? AND link = ? AND phone = ?"
ADDRESSES = """
    SELECT phone, address FROM subscriber
    WHERE account_id = ? AND link = ? AND stopped_at_ms IS NULL AND phone IN (*)
"""
PHONES = "SELECT address, phone FROM subscriber WHERE account_id = ? AND link = ? AND address IN (*)"
STOP = """
    UPDATE subscriber SET stopped_at_ms = ?, updated_at_ms = ?
    WHERE account_id = ? AND link = ? AND address = ? AND stopped_at_ms IS NULL
"""
RESUME = """
    UPDATE subscriber SET stopped_at_ms = NULL, updated_at_ms = ?
    WHERE account_id = ? AND link = ? AND address = ? AND stopped_at_ms IS NOT NULL
"""


async def put(tx: Transaction, account_id: int, link: str, subscribers: Sequence[Subscriber], now_ms: int) -> None:
    """Add or replace entries of one bot's directory. Of two for the same phone the later one counts."""
    in_order = sorted(subscribers, key=attrgetter("phone"))  # so that two uploads never wait for each other
    await tx.many(PUT, [(account_id, link, *subscriber, now_ms) for subscriber in in_order])


async def remove(tx: Transaction, account_id: int, links: Iterable[str], phone: str) -> int:
    """Forget a phone at these bots; how many of them had it."""
    return await tx.many(REMOVE, [(account_id, link, phone) for link in links])


async def stop(tx: Transaction, account_id: int, link: str, address: str, now_ms: int) -> int:
    """The person left or blocked the bot: it cannot write to them until they come back."""
    return await tx.execute(STOP, (now_ms, now_ms, account_id, link, address))


async def resume(tx: Transaction, account_id: int, link: str, address: str, now_ms: int) -> int:
    """The person is back."""
    return await tx.execute(RESUME, (now_ms, account_id, link, address))


async def phones(reader: Reader, account_id: int, link: str, addresses: Iterable[str]) -> dict[str, str]:
    """The phones of those among the addresses that one bot's directory has, of those who left, too."""
    return dict(await reader.rows(PHONES, (account_id, link, list(addresses))))


async def count(reader: Reader, account_id: int, link: str) -> int:
    """How many persons one bot can write to."""
    [(number,)] = await reader.rows(
        "SELECT count(*) FROM subscriber WHERE account_id = ? AND link = ? AND stopped_at_ms IS NULL",
        (account_id, link),
    )
    return int(number)


async def addresses(
    reader: Reader, account_id: int, links: Iterable[str], phones: Iterable[str]
) -> dict[str, Mapping[str, str]]:
    """For each phone that a bot among `links` can write to: its addresses by link."""
    found: dict[str, dict[str, str]] = {}
    wanted = list(phones)
    for link in links:
        for phone, address in await reader.rows(ADDRESSES, (account_id, link, wanted)):
            found.setdefault(phone, {})[link] = address
    return dict(found)
