"""The list of messages as a CSV file."""

import csv
import re
import uuid
from datetime import UTC, datetime, timedelta
from html import unescape
from urllib.parse import quote

import pytest
import pytest_asyncio
from aiohttp import ClientPayloadError
from starlette.requests import Request

from api.doors import AUTH, OTHER_KEY, Doors, message
from cascade.console import access
from cascade.console.access import Visitor
from cascade.console.pages import export, messages
from cascade.console.parts import ConsoleParts
from cascade.core.directory import ApiKey
from cascade.core.prices import written
from cascade.core.secret import Secret
from cascade.core.times import iso
from cascade.serve import now_ms
from cascade.store import accounts, console, queries

from .visits import Seen, Visits, console_app

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOMORROW = (datetime.now(UTC) + timedelta(days=1)).isoformat()
OTHER = {"X-Authorization-Key": OTHER_KEY}
NAME = "Сусід & Co"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def neighbour(city: Doors) -> int:
    """The id of a second account."""
    async with city.gateway.database.transaction() as tx:
        account_id = await accounts.add_account(tx, NAME, now_ms())
        await accounts.add_key(tx, ApiKey(account_id, "first"), Secret(OTHER_KEY), now_ms())
    await console_app(city.gateway).state.parts.refresh()
    return account_id


def rows(file: Seen) -> list[dict[str, str]]:
    assert file.status == 200, file.text[:500]
    assert file.text.startswith("\ufeff")
    return list(csv.DictReader(file.text.removeprefix("\ufeff").splitlines()))


async def listed(visits: Visits, query: str) -> list[str]:
    """The ids on all pages of the list."""
    found: list[str] = []
    path: str | None = f"/messages{query}"
    while path is not None:
        page = (await visits.get(path)).text
        found += re.findall(r'id="m-([^"]+)"', page)
        older = re.search(r'href="/console([^"]+before=[^"]+)">Older', page)
        path = older[1].replace("&amp;", "&") if older else None
    return found


async def sent(city: Doors, tag: str, *counts: int) -> None:
    """So many messages of the tag, of the two accounts in turns."""
    for place, count in enumerate(counts):
        batch = [message(scheduledSent=TOMORROW, messageType="promo", tags=[tag]) for _ in range(count)]
        await city.send(*batch, headers=OTHER if place % 2 else AUTH)


@pytest.fixture
def small_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "SET", 14)
    monkeypatch.setattr(export, "LEAST", 3)


@pytest.mark.parametrize(("account", "count"), [("all", 88), ("acme", 80), ("neighbour", 8)])
@pytest.mark.usefixtures("small_sets")
async def test_the_file_has_what_all_pages_of_the_list_show(
    account: str, count: int, visits: Visits, city: Doors, neighbour: int
) -> None:
    await sent(city, account, 40, 7, 40, 1)
    await visits.signed_in("viewer")
    query = f"?tag={account}" + {"all": "", "acme": "&account=1", "neighbour": f"&account={neighbour}"}[account]
    found = [row["message_id"] for row in rows(await visits.get(f"/messages/export{query}"))]
    assert found == await listed(visits, query)
    assert len(found) == count


async def test_a_row_tells_what_the_store_knows(visits: Visits, city: Doors) -> None:
    phone = "+380671112233"
    await city.people(phone, telegram_bot="delivers")
    id_ = await city.send_one(toPhone=phone, id="told", fromName="Acme")
    await city.until(id_, "delivered")
    async with city.gateway.database.cold_reading() as reader:
        (summary,) = (await queries.by_ids(reader, 1, [uuid.UUID(id_).bytes])).values()
    assert summary.finished_at_ms is not None
    await visits.signed_in("viewer")
    (row,) = rows(await visits.get(f"/messages/export?q={id_}"))
    assert row == {
        "message_id": id_,
        "your_id": "told",
        "phone": phone,
        "sender": "Acme",
        "type": "transaction",
        "status": "delivered",
        "delivered_by": "telegram_bot",
        "cost": written(summary.cost_micros),
        "currency": visits.parts.currency,
        "accepted_at": iso(summary.accepted_at_ms),
        "finished_at": iso(summary.finished_at_ms),
        "account": "acme",
    }


async def test_what_would_be_a_formula_is_text_and_a_phone_stays_one(visits: Visits, city: Doors) -> None:
    for id_ in ("=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", 'a "quoted", parted id'):
        await city.send_one(id=id_, toPhone="+380671112244", scheduledSent=TOMORROW, fromName="=Acme")
    await visits.signed_in("viewer")
    found = rows(await visits.get("/messages/export?q=%2B380671112244"))
    told = [row["your_id"] for row in reversed(found)]
    assert told == ["'=1+1", "'@SUM(A1)", "'+cmd|' /C calc'!A0", 'a "quoted", parted id']
    assert {(row["phone"], row["sender"]) for row in found} == {("+380671112244", "'=Acme")}


async def test_the_link_keeps_the_filter_and_begins_with_the_newest(visits: Visits) -> None:
    await visits.signed_in("viewer")
    before = uuid.UUID(int=(1 << 128) - 1)
    page = await visits.get(f"/messages?q=x&tag=a%26b&status=scheduled&span=ever&account=1&before={before}")
    (link,) = re.findall(r'href="/console/messages/export([^"]*)"', page.text)
    assert link == "?q=x&amp;tag=a%26b&amp;status=scheduled&amp;span=ever&amp;account=1"


@pytest.mark.usefixtures("neighbour")
async def test_a_campaigns_page_leads_to_its_own_file(visits: Visits, city: Doors) -> None:
    tag = "spring_sale:2026"
    await sent(city, tag, 3, 2)
    await visits.signed_in("viewer")
    page = await visits.get(f"/campaigns/1/show/{tag}")
    (link,) = re.findall(r'href="/console(/messages/export[^"]*)"', page.text)
    found = rows(await visits.get(unescape(link)))
    assert [row["account"] for row in found] == ["acme"] * 3


async def test_the_file_is_called_by_account_and_day(visits: Visits, neighbour: int) -> None:
    await visits.signed_in("viewer")
    day = iso(visits.parts.now_ms())[:10]
    for query, name in (("", f"messages-{day}.csv"), (f"?account={neighbour}", f"messages-{NAME}-{day}.csv")):
        file = await visits.get(f"/messages/export{query}")
        given = f"attachment; filename=\"messages-{day}.csv\"; filename*=UTF-8''{quote(name)}"
        assert file.headers["Content-Disposition"] == given
        assert file.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert file.headers["Cache-Control"] == "no-store"


async def test_nothing_found_is_a_file_with_its_head_alone(visits: Visits) -> None:
    await visits.signed_in("viewer")
    file = await visits.get("/messages/export?tag=nobodys")
    assert file.text == "\ufeff" + ",".join(export.COLUMNS) + "\r\n"


async def test_only_who_is_in_gets_it(visits: Visits) -> None:
    refused = await visits.get("/messages/export?tag=sale")
    assert refused.status == 303
    assert refused.headers["Location"].startswith("/console/sign-in?next=")


async def test_the_account_chosen_at_the_top_narrows_it(visits: Visits, city: Doors, neighbour: int) -> None:
    await sent(city, "narrow", 2, 3)
    await visits.signed_in("viewer")
    await visits.change("/look", account=str(neighbour), back="/console/")
    assert {row["account"] for row in rows(await visits.get("/messages/export?tag=narrow"))} == {NAME}


@pytest.mark.usefixtures("small_sets")
async def test_it_ends_where_the_page_says(visits: Visits, city: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MOST_EXPORTED", 17)
    await sent(city, "many", 30)
    await visits.signed_in("viewer")
    assert "all found, 17 at most" in (await visits.get("/messages")).text
    found = [row["message_id"] for row in rows(await visits.get("/messages/export?tag=many"))]
    assert found == (await listed(visits, "?tag=many"))[:17]


@pytest.mark.usefixtures("small_sets")
async def test_a_file_that_is_cut_short_does_not_look_whole(
    visits: Visits, city: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is signed out gets no more of it."""
    await sent(city, "ended", 30)
    await visits.signed_in("viewer")
    asked: list[Visitor | None] = []

    async def visitor(parts: ConsoleParts, request: Request) -> Visitor | None:
        asked.append(None if asked else await known(parts, request))
        return asked[-1]

    known = access.visitor
    monkeypatch.setattr(access, "visitor", visitor)
    with pytest.raises(ClientPayloadError):
        await visits.get("/messages/export?tag=ended")


async def test_a_search_that_takes_too_long_is_told_on_a_page(visits: Visits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "COLD_S", 0)
    await visits.signed_in("viewer")
    page = await visits.get("/messages/export")
    assert page.status == 400
    assert "The search took too long." in page.text


async def test_who_exported_what_is_in_the_audit_log(visits: Visits, city: Doors) -> None:
    await sent(city, "audited", 2)
    await visits.signed_in("viewer")
    rows(await visits.get("/messages/export?tag=audited"))
    async with city.gateway.database.reading() as reader:
        ((_, done),) = await console.audited(reader, 1 << 62, 1)
    assert (done.action, done.object) == ("messages_exported", "audited")
