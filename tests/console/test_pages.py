"""What the pages show and change, seen without a browser."""

import dataclasses
import re
import uuid
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from sqlite3 import Connection
from threading import current_thread
from typing import Any

import pytest

from api.doors import BOTS, KEY, PHONE, Doors
from cascade.console.pages import optouts
from cascade.console.pages import webhooks as webhook_page
from cascade.console.pages.messages import links_of
from cascade.core.events import EventType, Happened, sample
from cascade.core.link import LinkHealth, Trouble
from cascade.core.route import Step
from cascade.core.words import Channel, Reason
from cascade.engine import notifier
from cascade.store import console, deliveries, events, queries, sqlite, webhooks
from cascade.store import optouts as opt_outs
from cascade.store.database import Reader, Row
from cascade.store.deliveries import State, Tried
from cascade.store.optouts import OptOut
from store.given import VIBER, queued

from .visits import ODD, PAGES, Visits, console_app

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def last_done(reader: Reader) -> tuple[str, str, str]:
    """Who did what to what, at the end of the audit log."""
    ((_, done),) = await console.audited(reader, 1 << 62, 1)
    return done.who, done.action, done.object


@pytest.mark.parametrize("language", ["en", "uk"])
@pytest.mark.parametrize("path", PAGES)
async def test_every_page_speaks(visits: Visits, path: str, language: str) -> None:
    await visits.signed_in("admin")
    visits.cookies["cascade_language"] = language
    page = await visits.get(path)
    assert page.status == 200
    assert f'<html lang="{language}"' in page.text
    words = re.sub("<code.*?</code>", "", page.text)
    assert not re.search(r">\s*[a-z_]+\.[a-z_.]+\s*<", words)  # a key in place of its words


@pytest.mark.parametrize("path", ODD)
async def test_an_odd_question_breaks_nothing(visits: Visits, path: str) -> None:
    await visits.signed_in("admin")
    assert (await visits.get(path)).status in (200, 404)


async def test_the_browsers_language_counts_until_one_is_chosen(visits: Visits) -> None:
    assert 'lang="uk"' in (await visits.get("/sign-in", Accept_Language="uk-UA,en;q=0.5")).text
    await visits.signed_in("viewer")
    await visits.change("/look", language="en", theme="dark", back="/console/messages")
    page = await visits.get("/messages", Accept_Language="uk")
    assert 'lang="en" data-theme="dark"' in page.text


async def test_what_people_wrote_is_text_and_nothing_else(visits: Visits, city: Doors) -> None:
    evil = "<script>alert(1)</script>"
    id_ = await city.send_one(id=f"evil-{evil}", text=f"Hello {evil}", fromName=evil)
    await visits.signed_in("viewer")
    for path in (f"/messages/1/{id_}", "/messages"):
        page = await visits.get(path)
        assert page.status == 200
        assert evil not in page.text
        assert "&lt;script&gt;" in page.text


SEARCHES = {  # what is typed -> which of our message's fields it is
    "its id": "{id}",
    "its tracking id": "sought-1",
    "its phone": "+380507654321",
    "its phone as people write it": "380 50 765-43-21",
    "its phone as abroad": "00380507654321",
}


@pytest.fixture(scope="module")
def sought() -> dict[str, str]:
    return {}


@pytest.mark.parametrize("by", SEARCHES)
async def test_a_message_is_found_by(by: str, visits: Visits, city: Doors, sought: dict[str, str]) -> None:
    if not sought:
        sought["id"] = await city.send_one(id="sought-1", toPhone="+380507654321")
        await city.send_one(id="another", toPhone="+380507654322")
    await visits.signed_in("viewer")
    words = SEARCHES[by].format(**sought).replace("+", "%2B").replace(" ", "+")
    found = set(re.findall(r'id="m-([^"]+)"', (await visits.get(f"/messages?q={words}")).text))
    assert found == {sought["id"]}


async def test_a_phone_without_its_country_is_told_so(visits: Visits) -> None:
    await visits.signed_in("viewer")
    assert "needs the code of its country" in (await visits.get("/messages?q=050+765+43+21")).text
    assert "needs the code of its country" not in (await visits.get("/messages?q=%2B380507650000")).text


async def test_the_account_chosen_narrows_what_is_seen(visits: Visits, city: Doors) -> None:
    id_ = await city.send_one()
    admin = await visits.signed_in("admin")
    await admin.change("/accounts", name="lonely")
    lonely = re.findall(r'<option value="(\d+)"[^>]*>lonely', (await admin.get("/")).text)[0]
    assert f"m-{id_}" in (await admin.get("/messages")).text
    await admin.change("/look", account=lonely, back="/console/")
    assert f"m-{id_}" not in (await admin.get("/messages")).text


async def test_the_messages_of_one_account_are_shown_whoever_else_has_the_tag(visits: Visits, city: Doors) -> None:
    id_ = await city.send_one(tags=["shared"], messageType="promo")
    admin = await visits.signed_in("admin")
    await admin.change("/accounts", name="namesake")
    namesake = re.findall(r'<option value="(\d+)"[^>]*>namesake', (await admin.get("/")).text)[0]
    campaign = (await admin.get("/campaigns/1/show/shared")).text
    assert 'href="/console/messages?account=1&amp;tag=shared&amp;' in campaign
    assert f"m-{id_}" in (await admin.get("/messages?account=1&tag=shared&span=ever")).text
    others = (await admin.get(f"/messages?account={namesake}&tag=shared&span=ever")).text
    assert f"m-{id_}" not in others
    assert f'<option value="{namesake}" selected>namesake</option>' in others


async def test_what_a_campaign_has_left_is_not_looked_for_in_a_replica(
    visits: Visits, city: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which may not have it yet."""
    await city.send_one(tags=["fresh"], messageType="promo")
    await visits.signed_in("operator")
    database, asked = city.gateway.database, []

    def cold_reading(*, newest: bool = False) -> AbstractAsyncContextManager[Reader]:
        asked.append(newest)
        return type(database).cold_reading(database, newest=newest)

    monkeypatch.setattr(database, "cold_reading", cold_reading)
    assert (await visits.change("/campaigns/1/cancel/fresh")).status == 303
    assert asked.count(True) >= 1


async def test_a_number_that_is_none_of_ours_is_no_fault_of_ours(visits: Visits, city: Doors) -> None:
    huge = "9" * 5_000
    await visits.signed_in("admin")
    assert (await visits.get(f"/audit?before={huge}")).status == 200
    assert (await visits.change("/accounts/1/keys", name="x", scope="read", days=huge)).status == 400
    assert (await visits.change("/accounts/1/limits", send_rate=huge, send_burst="1")).status == 400
    assert (await visits.change("/send", account_id=huge)).status == 400
    sent = {"account_id": "1", "phone": PHONE, "sender": "Acme", "type": "transaction", "text": "Hi", "ttl": "soon"}
    assert (await visits.change("/send", **sent)).status == 400
    await visits.change("/look", account=huge)
    assert (await visits.get("/")).status == 200


async def test_a_key_is_shown_once_and_works_until_it_is_revoked(visits: Visits, city: Doors) -> None:
    await visits.signed_in("admin")
    made = await visits.change("/accounts/1/keys", name="shop", scope="read", days="3")
    (key,) = re.findall(r'id="new-key">([^<]+)<', made.text)
    auth = {"X-Authorization-Key": key}
    assert (await city.call("GET", "/v1/messages", headers=auth)).status == 200
    page = (await visits.get("/accounts/1")).text
    assert key not in page
    assert "shop" in page
    await visits.change("/accounts/1/keys/revoke", name="shop")
    assert (await city.call("GET", "/v1/messages", headers=auth)).status == 401
    async with city.gateway.database.reading() as reader:
        assert await last_done(reader) == ("admin", "key_revoked", "shop")


async def test_a_new_key_may_do_everything_but_administer_unless_it_is_asked_for(visits: Visits) -> None:
    await visits.signed_in("admin")
    page = (await visits.get("/accounts/1")).text
    boxes = re.findall(r'<input type="checkbox" name="scope" value="(\w+)"( checked)?>', page)
    assert {scope: bool(is_checked) for scope, is_checked in boxes} == {"send": True, "read": True, "admin": False}


async def test_no_page_shows_a_credential(visits: Visits) -> None:
    await visits.signed_in("admin")
    secrets = [KEY, *(token for bots in BOTS.values() for _, token in bots)]
    for path in PAGES:
        text = (await visits.get(path)).text
        assert not [secret for secret in secrets if secret in text], path


async def test_a_test_message_is_previewed_without_being_sent_then_sent(visits: Visits, city: Doors) -> None:
    await visits.signed_in("operator")
    phone = "+380501119999"  # nobody else's: who talks to a bot pays less
    fields = {"account_id": "1", "phone": phone, "sender": "Shop", "type": "promo", "text": "Hello from the console"}
    before = await city.stored()
    preview = await visits.change("/send", **fields, preview="yes")
    assert preview.status == 200
    assert "Costs 0.05\N{NARROW NO-BREAK SPACE}USD to 0.05" in preview.text
    assert await city.stored() == before
    sent = await visits.change("/send", **fields, send="yes")
    path = sent.headers["Location"].removeprefix("/console").partition("?")[0]
    assert "Hello from the console" in (await visits.get(path)).text


async def test_a_test_message_that_breaks_a_rule_says_which(visits: Visits) -> None:
    await visits.signed_in("operator")
    refused = await visits.change("/send", account_id="1", phone="0501112233", sender="Shop", type="promo", text="Hi")
    assert refused.status == 400
    assert "A phone needs the code of its country" in refused.text
    assert 'value="0501112233"' in refused.text  # nothing that was typed is lost


async def test_whatever_is_wrong_with_a_test_message_is_told_once_and_in_the_operators_language(visits: Visits) -> None:
    await visits.signed_in("operator")
    visits.cookies["cascade_language"] = "uk"
    given = {"account_id": "1", "phone": "+380501112233", "sender": "Shop", "type": "promo", "text": ""}
    refused = (await visits.change("/send", **given)).text
    faults = re.findall(r"<li>([^<]*)<span class=\"faint\" lang=\"en\">", refused)
    assert faults == ["Текст: не вказано. "]


@pytest.mark.parametrize(
    ("step", "link", "shown"), [(1, "sms.second", ("sms.second",)), (0, None, ("sms.first", "sms.second"))]
)
async def test_a_step_names_the_link_that_has_the_message_or_all_that_could(
    step: int, link: str | None, shown: tuple[str, ...]
) -> None:
    route = (VIBER, Step(Channel.SMS, "sms.first", None, others=("sms.second",)))
    assert links_of(queued(route=route, step=step, link=link), 1) == shown


TROUBLES = {  # how a link does -> what the overview says of it
    "it refuses us": (
        LinkHealth(True, 0, 9, None, False, False, 0, Trouble(0, Reason.MISCONFIGURED, "E401 <no>")),
        ["refuses us", "wrong credentials or settings: <code>E401 &lt;no&gt;</code>", "Mend its credentials"],
    ),
    "it is down": (
        LinkHealth(False, 0, 0, None, False, False, 0, Trouble(0, Reason.PROVIDER_DOWN, "ConnectionRefusedError")),
        [">down<", "provider down: <code>ConnectionRefusedError</code>", "It is tried again by itself"],
    ),
    "its breaker is open": (
        LinkHealth(False, 0, 0, None, True, False, 5_000, Trouble(0, Reason.NO_ANSWER, None)),
        ["breaker open", "tries again in", "no answer", "It is tried again by itself"],
    ),
}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_the_overview_says_what_is_wrong_with_a_link_and_what_helps(
    visits: Visits, city: Doors, trouble: str
) -> None:
    health, words = TROUBLES[trouble]
    app, before = console_app(city.gateway), visits.parts
    await visits.signed_in("viewer")
    app.state.parts = dataclasses.replace(before, link_health=lambda: {"sms.smpp": health})
    page = (await visits.get("/overview/live")).text
    app.state.parts = before
    assert [word for word in words if word not in page] == []


async def test_one_attempt_that_failed_says_nothing_of_a_link_that_is_up(visits: Visits, city: Doors) -> None:
    health = LinkHealth(True, 0, 9, None, False, False, 0, Trouble(0, Reason.NO_ANSWER, "no answer within 15 s"))
    app, before = console_app(city.gateway), visits.parts
    await visits.signed_in("viewer")
    app.state.parts = dataclasses.replace(before, link_health=lambda: {"sms.smpp": health})
    page = (await visits.get("/overview/live")).text
    app.state.parts = before
    assert "no answer within 15 s" not in page


async def test_a_failing_webhook_says_why_before_all_that_waits(visits: Visits, city: Doors) -> None:
    """Its first page may hold only deliveries that were never tried."""
    now_ms = visits.parts.now_ms()
    webhook, _ = webhooks.new(1, "http://127.0.0.1:9/hook", visits.parts.seal(), now_ms)
    webhook = dataclasses.replace(webhook, failing_since_ms=now_ms)
    async with city.gateway.database.transaction() as tx:
        await webhooks.add(tx, webhook)
        event_id = await events.add_for(tx, sample(uuid.uuid4(), now_ms, 1), [webhook.id])
    async with city.gateway.database.transaction() as tx:
        (claimed,) = await deliveries.claim(tx, webhook.key, 1, now_ms + 1, now_ms + 30_000)
        tried = Tried(claimed, State.PENDING, now_ms + 3_600_000, now_ms, 12, 500, "relation <orders> is gone", None)
        await deliveries.record(tx, [tried])
    await visits.signed_in("viewer")
    page = (await visits.get(f"/webhooks/1/{webhook.id}?before={event_id}")).text
    first = (await visits.get(f"/webhooks/1/{webhook.id}")).text
    async with city.gateway.database.transaction() as tx:
        await webhooks.remove(tx, 1, webhook.id)
    assert "Nothing was delivered here." in page
    for text in (page, first):
        assert "500, 12\N{NARROW NO-BREAK SPACE}ms relation &lt;orders&gt; is gone</code>" in text
    assert "webhook.test" in first
    assert "&#34;timestamp&#34;" in first  # what was sent can be read


async def test_a_message_says_which_webhooks_were_told_and_what_they_answered(visits: Visits, city: Doors) -> None:
    now_ms = visits.parts.now_ms()
    id_ = await city.send_one()
    await visits.signed_in("viewer")
    assert "Webhooks told of it" not in (await visits.get(f"/messages/1/{id_}")).text  # nobody listens
    webhook, _ = webhooks.new(1, "http://127.0.0.1:9/hook", visits.parts.seal(), now_ms)
    async with city.gateway.database.transaction() as tx:
        await webhooks.add(tx, webhook)
    nothing = (await visits.get(f"/messages/1/{id_}")).text
    happened = Happened(1, uuid.UUID(id_).bytes, EventType.READ, now_ms - 3_600_000, {"n": 1})
    async with city.gateway.database.transaction() as tx:
        event_id = await events.add_for(tx, happened, [webhook.id])
        other_id = await events.add_for(tx, sample(uuid.uuid4(), now_ms, 1), [webhook.id])
    async with city.gateway.database.transaction() as tx:
        (claimed,) = await deliveries.claim(tx, webhook.key, 1, now_ms, now_ms + 30_000)
        tried = Tried(claimed, State.PENDING, now_ms + 3_600_000, now_ms, 12, 500, "relation <orders> is gone", None)
        await deliveries.record(tx, [tried])
    page = (await visits.get(f"/messages/1/{id_}")).text
    at = f"/webhooks/1/{webhook.id}"
    (link,) = re.findall(f'href="/console({at}[^"]+)"', page)
    shown = (await visits.get(link.partition("#")[0])).text
    async with city.gateway.database.transaction() as tx:
        await webhooks.remove(tx, 1, webhook.id)
    assert "None so far" in nothing
    assert link == f"{at}?message={id_}#d-{event_id}"
    assert "500, 12\N{NARROW NO-BREAK SPACE}ms relation &lt;orders&gt; is gone</td>" in page
    assert "next at" in page
    assert f"/messages/1/{id_}/live" in page  # it follows by itself while a delivery waits
    assert f'id="d-{event_id}"' in shown
    assert other_id not in shown


WHY_DISABLED = {  # as the store has it -> as the page says it in Ukrainian
    webhook_page.BY_OPERATOR: "оператором",
    notifier.GONE_REASON: "відповів 410 Gone",
    notifier.FAILING_REASON: "надто довго жодна спроба не вдалася",
}


@pytest.mark.parametrize("reason", WHY_DISABLED)
async def test_why_a_webhook_is_disabled_is_told_in_the_operators_language(
    visits: Visits, city: Doors, reason: str
) -> None:
    now_ms = visits.parts.now_ms()
    webhook, _ = webhooks.new(1, "http://127.0.0.1:9/hook", visits.parts.seal(), now_ms)
    webhook = dataclasses.replace(webhook, is_enabled=False, disabled_reason=reason, disabled_at_ms=now_ms)
    async with city.gateway.database.transaction() as tx:
        await webhooks.add(tx, webhook)
    await visits.signed_in("viewer")
    visits.cookies["cascade_language"] = "uk"
    page = (await visits.get(f"/webhooks/1/{webhook.id}")).text
    async with city.gateway.database.transaction() as tx:
        await webhooks.remove(tx, 1, webhook.id)
    assert f": {WHY_DISABLED[reason]}</dd>" in page


async def test_opt_outs_are_listed_page_by_page_and_found(visits: Visits, city: Doors) -> None:
    phones = [f"+38066{number:07}" for number in range(optouts.LENGTH + 5)]
    async with city.gateway.database.transaction() as tx:
        await opt_outs.add(tx, 1, [OptOut(phone, "viber_bot.2", visits.parts.now_ms()) for phone in phones])
    await visits.signed_in("viewer")
    seen: list[str] = []
    path = "/opt-outs"
    while path:
        text = (await visits.get(path)).text
        seen += re.findall(r">(\+38066\d{7})</a>", text)
        path = "".join(re.findall(r'href="/console(/opt-outs\?after=[^"]+)"', text))
    assert seen == phones
    found = (await visits.get("/opt-outs?q=38066+000-00-07")).text
    assert re.findall(r">(\+38066\d{7})</a>", found) == [phones[7]]
    assert "no such opt-out" in (await visits.get("/opt-outs?q=%2B380669999999")).text
    async with city.gateway.database.transaction() as tx:
        for phone in phones:
            await opt_outs.remove(tx, 1, phone)


async def test_a_webhook_is_disabled_enabled_and_tried(visits: Visits, city: Doors) -> None:
    webhook, _ = webhooks.new(1, "http://127.0.0.1:9/hook", visits.parts.seal(), visits.parts.now_ms())
    async with city.gateway.database.transaction() as tx:
        await webhooks.add(tx, webhook)
    await city.gateway.refresh()
    await visits.signed_in("operator")
    at = f"/webhooks/1/{webhook.id}"
    await visits.change(f"{at}/disable")
    assert "by an operator<" in (await visits.get(at)).text
    assert (await visits.change(f"{at}/test")).status == 400
    await visits.change(f"{at}/enable")
    await visits.change(f"{at}/test")
    page = (await visits.get(at)).text
    assert "webhook.test" in page
    assert webhook.url in page
    async with city.gateway.database.transaction() as tx:
        await webhooks.remove(tx, 1, webhook.id)


async def test_limits_of_an_account_are_kept(visits: Visits, city: Doors) -> None:
    await visits.signed_in("admin")
    await visits.change("/accounts", name="limited")
    account = next(one for one in city.parts.directory().accounts.values() if one.name == "limited")
    at = f"/accounts/{account.id}/limits"
    await visits.change(at, senders="Shop\nBrand", send_rate="10", send_burst="20", strict="on")
    changed = city.parts.directory().accounts[account.id]
    assert (changed.senders, changed.is_strict) == (frozenset({"Shop", "Brand"}), True)
    assert changed.send_rate is not None
    assert (changed.send_rate.per_s, changed.send_rate.burst, changed.read_rate) == (10, 20, None)
    assert (await visits.change(at, send_rate="10", send_burst="")).status == 400


async def test_the_overview_counts_no_messages(visits: Visits, city: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are: it reads sums. (Measured with a million of them: docs/console.md.)"""
    asked: list[str] = []
    rows = sqlite._rows

    def listening(connection: Connection, statement: str, parameters: Sequence[Any]) -> list[Row]:
        if current_thread().name.startswith("cold"):  # not what the engine does meanwhile
            asked.append(statement)
        return rows(connection, statement, parameters)

    await visits.signed_in("viewer")
    monkeypatch.setattr(sqlite, "_rows", listening)
    assert (await visits.get("/overview/live?period=month")).status == 200
    monkeypatch.undo()
    read = [statement for statement in asked if "FROM statistic" in statement or "FROM pulse" in statement]
    assert len(read) == 2
    assert not [one for one in asked if "FROM message" in one and one != queries.BACKLOGS]
