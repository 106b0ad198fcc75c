"""Each bot's directory: by which address it can write to the person with a phone."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from cascade.store.database import Reader, Transaction
from cascade.store.messages import IN_LIST


class Subscriber(NamedTuple):
    """`address` is a chat id or Viber user id; `profile` JSON of what else the client told us."""

    phone: str
    address: str
    profile: str


PUT = """
    INSERT INTO subscriber (account_id, link, phone, address, profile, updated_at_ms) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (account_id, link, phone)
    DO UPDATE SET address = excluded.address, profile = excluded.profile, updated_at_ms = excluded.updated_at_ms
"""
ADDRESSES = f"""
    SELECT phone, address FROM subscriber
    WHERE account_id = ? AND link = ? AND phone IN ({", ".join("?" * IN_LIST)})
"""  # noqa: S608 - constants only


async def put(tx: Transaction, account_id: int, link: str, subscribers: Sequence[Subscriber], now_ms: int) -> None:
    """Add or replace entries of one bot's directory."""
    await tx.many(PUT, [(account_id, link, *subscriber, now_ms) for subscriber in subscribers])


async def addresses(
    reader: Reader, account_id: int, links: Iterable[str], phones: Iterable[str]
) -> dict[str, Mapping[str, str]]:
    """For each phone that a bot among `links` can write to: its addresses by link."""
    found: dict[str, dict[str, str]] = {}
    wanted: list[str | None] = list(phones)
    for link in links:
        for start in range(0, len(wanted), IN_LIST):
            some = wanted[start : start + IN_LIST]
            for phone, address in await reader.rows(
                ADDRESSES, (account_id, link, *some, *[None] * (IN_LIST - len(some)))
            ):
                found.setdefault(phone, {})[link] = address
    return dict(found)
