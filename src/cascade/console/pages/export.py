"""All that the list of messages would show, page after page, as a CSV file."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

import structlog
from starlette.responses import Response, StreamingResponse

from cascade.console import access
from cascade.console.page import Page, RefusedError
from cascade.console.pages import messages
from cascade.console.pages.messages import Found, Sought
from cascade.core.cells import harmless
from cascade.core.errors import QueryTimeoutError
from cascade.core.prices import written
from cascade.core.times import iso
from cascade.store.database import COLD_S
from cascade.store.queries import Summary

log = structlog.get_logger()

SET: Final = 500
"""Messages read at a time, of all accounts together."""
LEAST: Final = 50
"""Of one account at a time, however many there are."""
COLUMNS: Final = (
    *("message_id", "your_id", "phone", "sender", "type", "status", "delivered_by", "cost", "currency"),
    *("accepted_at", "finished_at", "account"),
)


class SignedOutError(Exception):
    """Whoever began to download is no longer in."""


@dataclass
class Rest:
    """What is still to be written of an account: what was read of it, the newest first, and what lies behind that."""

    account_id: int
    read: list[Summary] = field(default_factory=list)
    before_id: bytes | None = None
    is_over: bool = False


async def export(page: Page) -> Response:
    sought = messages.sought(page)
    sets = _sets(page, sought)
    try:
        first = await anext(sets)  # of what goes wrong now a page can still tell
    except (QueryTimeoutError, TimeoutError) as error:
        raise RefusedError("export.slow") from error
    named = sought.named
    async with page.parts.database.transaction() as tx:
        await page.audit(tx, "messages_exported", sought.filter.tag or "", named.id if named else None)
    day = iso(page.parts.now_ms())[:10]
    account = sought.accounts[0].name if len(sought.accounts) == 1 else None
    name = f"messages-{account}-{day}.csv" if account else f"messages-{day}.csv"
    headers = {
        "Content-Disposition": f"attachment; filename=\"messages-{day}.csv\"; filename*=UTF-8''{quote(name, '')}"
    }
    return StreamingResponse(_file(page, first, sets), media_type="text/csv; charset=utf-8", headers=headers)


async def _file(page: Page, first: Sequence[Found], sets: AsyncIterator[list[Found]]) -> AsyncIterator[bytes]:
    """Whatever goes wrong breaks the answer off: a file that is cut short must not look whole."""
    names = page.names
    yield _lines([COLUMNS]).encode("utf-8-sig")
    yield _lines(_row(page, names, one) for one in first).encode()
    try:
        async for some in sets:
            yield _lines(_row(page, names, one) for one in some).encode()
    except Exception as error:
        log.warning("console_export_broken_off", error=str(error) or type(error).__name__)
        raise


async def _sets(page: Page, sought: Sought) -> AsyncIterator[list[Found]]:
    """The newest first, as the list has them; at least one set, and `MOST_EXPORTED` messages at most."""
    rests = [Rest(account.id) for account in sought.accounts]
    left = messages.MOST_EXPORTED
    while True:
        await _read(page, sought, rests)
        # Below this id there may be messages that are not read yet.
        lowest = max((rest.read[-1].id for rest in rests if not rest.is_over), default=b"")
        found = [Found(rest.account_id, one) for rest in rests for one in rest.read if one.id >= lowest]
        found.sort(key=lambda one: one.summary.id, reverse=True)
        for rest in rests:
            rest.read = [one for one in rest.read if one.id < lowest]
        yield found[:left]
        left -= len(found)
        if left <= 0 or all(rest.is_over for rest in rests):
            return
        if await access.visitor(page.parts, page.request) is None:
            raise SignedOutError("signed out")


async def _read(page: Page, sought: Sought, rests: Sequence[Rest]) -> None:
    """More of the accounts of which all that was read is written. Each time by a reading of its own: whoever downloads
    slowly keeps nobody from the store."""
    limit = max(SET // max(len(rests), 1), LEAST)
    async with asyncio.timeout(COLD_S), page.parts.database.cold_reading() as reader:
        for rest in rests:
            if not rest.read and not rest.is_over:
                rest.read = await sought.of(reader, rest.account_id, rest.before_id, limit)
                rest.is_over = len(rest.read) < limit
                rest.before_id = None if rest.is_over else rest.read[-1].id


def _row(page: Page, names: Mapping[int, str], one: Found) -> list[str]:
    summary = one.summary
    cells = (
        *(one.id, summary.tracking_id, summary.phone, summary.sender, summary.type, summary.status),
        *(summary.channel or "", written(summary.cost_micros), page.parts.currency, iso(summary.accepted_at_ms)),
        "" if summary.finished_at_ms is None else iso(summary.finished_at_ms),
        names.get(one.account_id, str(one.account_id)),
    )
    return [harmless(cell) for cell in cells]


def _lines(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()
