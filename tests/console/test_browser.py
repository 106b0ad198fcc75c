"""The console in a real browser: what moves by itself, what the keyboard reaches, and what axe thinks of it."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import axe_playwright_python  # type: ignore[import-untyped]
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from api.doors import HOST, Doors
from cascade.core.events import EventType, Happened
from cascade.store import events, webhooks

from .visits import PAGES, PASSWORD, Visits

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(180)]

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
RUN_AXE = """axe.run(document, {resultTypes: ["violations"]}).then(result => result.violations
    .map(one => `${one.impact} ${one.id}: ${one.nodes[0].html.slice(0, 200)}`))"""
LOOKS = {"light and wide": ("light", 1280), "dark and narrow": ("dark", 400)}
FITS = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
PATIENCE_MS = 20_000


def tomorrow() -> str:
    return (datetime.now(UTC) + timedelta(days=1)).isoformat()


class Visitor:
    """A page of a browser of its own. `complaints` is what the browser found wrong, the security policy among it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    async def goto(self, path: str) -> None:
        await self.page.goto(self.url + path)

    async def sign_in(self, name: str) -> None:
        await self.goto("/sign-in")
        await self.page.get_by_label("Name").fill(name)
        await self.page.get_by_label("Password").fill(PASSWORD)
        await self.page.get_by_role("button", name="Sign in").click()
        await expect(self.page.get_by_role("heading", name="Overview")).to_be_visible()


async def visitor(browser: Browser, city: Doors, **context: Any) -> Visitor:
    page = await browser.new_page(locale="en-GB", timezone_id="Europe/Kyiv", **context)
    return Visitor(page, f"http://{HOST}:{city.port}/console")


@pytest_asyncio.fixture(loop_scope="session")
async def operator(browser: Browser, city: Doors) -> AsyncIterator[Visitor]:
    """Signed in; whatever the browser complains of fails the test."""
    one = await visitor(browser, city)
    await one.sign_in("operator")
    yield one
    await one.page.close()
    assert one.complaints == []


async def test_the_overview_follows_without_reloading(operator: Visitor, city: Doors) -> None:
    page = operator.page
    await page.evaluate("window.isTheSame = true")
    accepted = page.locator("#accepted")
    before = int((await accepted.inner_text()).replace("\N{NARROW NO-BREAK SPACE}", ""))
    await city.people(telegram_bot="delivers")
    await city.send_one()
    await expect(accepted).to_have_text(str(before + 1), timeout=PATIENCE_MS)
    await expect(page.get_by_role("row", name="Telegram bot telegram_bot.1")).to_contain_text("up")
    assert await page.evaluate("window.isTheSame")


async def test_updates_can_be_paused(operator: Visitor, city: Doors) -> None:
    page = operator.page
    await page.get_by_role("button", name="Pause updates").click()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await asyncio.sleep(2.5)
    assert asked == []
    await page.get_by_role("button", name="Go on updating").click()
    async with page.expect_request("**/overview/live**"):
        pass


async def test_a_message_is_searched_and_its_timeline_grows_while_one_looks(operator: Visitor, city: Doors) -> None:
    page = operator.page
    phone = "+380671110001"
    await city.people(phone, telegram_bot="absent", viber_bot="absent", sms="silent")
    await city.send_one(id="watched", toPhone=phone, text="Your parcel has arrived", messageType="promo")
    await page.get_by_role("link", name="Messages").click()
    await page.keyboard.press("/")
    await page.keyboard.type("watched")
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name="watched").click()
    await expect(page.get_by_role("heading", name="watched")).to_be_visible()
    await expect(page.get_by_text("Telegram bot: passed over, not subscribed to the bot")).to_be_visible()
    await expect(page.get_by_text("SMS: the provider has it")).to_be_visible()
    await expect(page.get_by_text("SMS: its time ran out, no receipt in time")).to_be_visible(timeout=PATIENCE_MS)
    await expect(page.get_by_text("Your parcel has arrived").last).to_be_visible()
    await expect(page.locator("#status")).to_have_text("undeliverable", timeout=PATIENCE_MS)


async def test_a_campaign_is_cancelled(operator: Visitor, city: Doors) -> None:
    page = operator.page
    for number in range(3):
        await city.send_one(id=f"winter-{number}", scheduledSent=tomorrow(), messageType="promo", tags=["winter:sale"])
    await page.get_by_role("link", name="Campaigns").click()
    row = page.get_by_role("row", name="winter:sale")
    await expect(row).to_contain_text("0 %".replace(" ", "\N{NARROW NO-BREAK SPACE}"))
    await row.get_by_role("link").click()
    await expect(page.get_by_text("0 on their way, 3 not begun")).to_be_visible()
    page.on("dialog", lambda dialog: asyncio.ensure_future(dialog.accept()))
    await page.get_by_role("button", name="Cancel what has not begun").click()
    await expect(page.get_by_text("Campaign cancelled.")).to_be_visible()
    await expect(page.locator("#progress")).to_have_text("100\N{NARROW NO-BREAK SPACE}%")
    await expect(page.get_by_role("row", name="permanent error")).to_contain_text("3")


async def test_what_the_list_shows_is_downloaded(operator: Visitor, city: Doors) -> None:
    page = operator.page
    ids = [await city.send_one(scheduledSent=tomorrow(), messageType="promo", tags=["taken:home"]) for _ in range(2)]
    await operator.goto("/messages")
    await page.get_by_label("Tag").fill("taken:home")
    await page.get_by_role("button", name="Search").click()
    await expect(page.get_by_text("Shown: 2")).to_be_visible()
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="Export CSV").click()
    file = await downloading.value
    assert re.fullmatch(r"messages-(acme-)?\d{4}-\d\d-\d\d\.csv", file.suggested_filename)
    head, *lines = (await asyncio.to_thread((await file.path()).read_text, "utf-8-sig")).splitlines()
    assert head.startswith("message_id,your_id,phone,")
    assert [line.split(",")[0] for line in lines] == ids[::-1]
    await expect(page.get_by_text("Shown: 2")).to_be_visible()


async def test_a_campaign_shows_what_it_cost_by_channel(browser: Browser, city: Doors) -> None:
    """On a desk and on a phone: with what reached nobody, and what is not finished."""
    viber, sms, nobody = (f"+38067111010{number}" for number in range(3))
    await city.people(viber, telegram_bot="absent", viber_bot="delivers")
    await city.people(sms, telegram_bot="absent", viber_bot="silent", sms="delivers")
    await city.people(nobody, telegram_bot="absent", viber_bot="absent", sms="silent")
    for phone in (viber, viber, sms, nobody):
        id_ = await city.send_one(toPhone=phone, tags=["costly"], messageType="promo")
        await city.until(id_, "delivered", "undeliverable")
    await city.send_one(scheduledSent=tomorrow(), tags=["costly"], messageType="promo")
    one = await visitor(browser, city)
    await one.sign_in("viewer")
    costs = {"Viber bot": "0.004 USD", "SMS": "0.052 USD", "Reached nobody": "0.05 USD", "Not finished": "0.00 USD"}
    for width in (1400, 900, 390):
        await one.page.set_viewport_size({"width": width, "height": 900})
        await one.goto("/campaigns/1/show/costly")
        card = one.page.get_by_role("region", name="Delivered by channel")
        for name, cost in costs.items():
            row = card.get_by_role("row", name=name)
            await expect(row.get_by_role("cell").last).to_have_text(cost.replace(" ", "\N{NARROW NO-BREAK SPACE}"))
        await expect(card.get_by_text("Cost of what it delivered")).to_have_count(1)
        await _judge(one.page, f"{width}")
    await one.page.close()
    assert one.complaints == []


async def test_a_message_is_cancelled_only_when_one_is_sure(operator: Visitor, city: Doors) -> None:
    page = operator.page
    id_ = await city.send_one(id="doomed", scheduledSent=tomorrow())
    await operator.goto(f"/messages/1/{id_}")
    answers = [False, True]
    page.on("dialog", lambda dialog: asyncio.ensure_future(dialog.accept() if answers.pop(0) else dialog.dismiss()))
    await page.get_by_role("button", name="Cancel the message").click()
    await expect(page.locator("#status")).to_have_text("scheduled")
    await page.get_by_role("button", name="Cancel the message").click()
    await expect(page.get_by_text("Message cancelled.")).to_be_visible()
    assert (await city.status(id_))["deliverystatus"] == "permanenterror"


async def test_the_keyboard_alone_is_enough(browser: Browser, city: Doors) -> None:
    """In, to a message and out again, without a mouse; and one always sees where one is."""
    one = await visitor(browser, city)
    page = one.page
    await city.send_one(id="by-keyboard")
    await one.goto("/")
    await page.keyboard.type("operator")  # the first field has the focus already
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await _tab_to(page, "Messages")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Messages")).to_be_visible()
    await _tab_to(page, "by-keyboard")
    outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="by-keyboard")).to_be_visible()
    await _tab_to(page, "operator")
    await page.keyboard.press("Enter")
    await _tab_to(page, "Sign out")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Sign in to Cascade")).to_be_visible()
    await page.close()


async def _tab_to(page: Page, words: str) -> None:
    """Press Tab until what has these words has the focus."""
    for _ in range(80):
        await page.keyboard.press("Tab")
        if (await page.evaluate("document.activeElement.innerText || ''")).strip() == words:
            return
    raise AssertionError(f"the keyboard does not reach {words!r}")


async def test_the_focus_stays_where_it_is_when_the_list_is_renewed(operator: Visitor, city: Doors) -> None:
    page = operator.page
    id_ = await city.send_one(id="focused")
    await operator.goto("/messages")
    link = page.locator(f"[id='m-{id_}']")
    await link.focus()
    await city.send_one(id="pushes-down")
    await expect(page.get_by_role("link", name="pushes-down")).to_be_visible()
    await expect(link).to_be_focused()


@pytest.mark.parametrize("look", LOOKS)
async def test_axe_finds_nothing_and_nothing_sticks_out(look: str, browser: Browser, city: Doors) -> None:
    scheme, width = LOOKS[look]
    one = await visitor(browser, city, color_scheme=scheme, viewport={"width": width, "height": 900})
    await one.goto("/sign-in")
    await _judge(one.page, "/sign-in")
    await one.sign_in("admin")
    id_ = await city.send_one(id="judged", tags=["judged"], messageType="promo")
    for path in [*PAGES, f"/messages/1/{id_}", "/campaigns/1/show/judged", "/nowhere"]:
        await one.goto(path)
        await _judge(one.page, path)
    await one.page.close()
    assert [one for one in one.complaints if "404" not in one] == []


LONG_NAME = "Товариство з обмеженою відповідальністю «Найдовша назва крамниці у Києві та області»"
ENDLESS = "x" * 90


async def test_long_names_and_addresses_stay_inside(browser: Browser, city: Doors) -> None:
    """On a phone and on a desk: of an account, a webhook, a message and a tag."""
    one = await visitor(browser, city, viewport={"width": 390, "height": 844})
    await one.sign_in("admin")
    await one.goto("/accounts")
    await one.page.get_by_label("New account").fill(LONG_NAME)
    await one.page.get_by_role("button", name="Add").click()
    webhook, _ = webhooks.new(1, f"http://127.0.0.1:9/{ENDLESS}", Visits(city).parts.seal(), 0)
    async with city.gateway.database.transaction() as tx:
        await webhooks.add(tx, webhook)
    id_ = await city.send_one(id=f"long-{ENDLESS}", tags=["y" * 64], messageType="promo")
    async with city.gateway.database.transaction() as tx:
        await events.add_for(tx, Happened(1, UUID(id_).bytes, EventType.READ, 0, {"url": ENDLESS}), [webhook.id])
    for width in (390, 1400):
        await one.page.set_viewport_size({"width": width, "height": 844})
        for path in [
            *PAGES,
            f"/messages/1/{id_}",
            f"/webhooks/1/{webhook.id}?message={id_}",
            f"/campaigns/1/show/{'y' * 64}",
        ]:
            await one.goto(path)
            assert await one.page.evaluate(FITS), (path, width)
    async with city.gateway.database.transaction() as tx:
        await webhooks.remove(tx, 1, webhook.id)
    await one.page.close()


AT_A_GLANCE = {  # on a phone, without scrolling sideways: a page -> what of its first line is seen
    "a message": ("/messages", ["seen-on-a-phone", "delivered", "+380501112233", "Telegram bot"]),
    "a link": ("/", ["telegram_bot.1", "up"]),
}


@pytest.mark.parametrize("what", AT_A_GLANCE)
async def test_a_phone_shows_at_a_glance(what: str, browser: Browser, city: Doors) -> None:
    path, words = AT_A_GLANCE[what]
    await city.people(telegram_bot="delivers")
    await city.until(await city.send_one(id="seen-on-a-phone"), "delivered")
    one = await visitor(browser, city, viewport={"width": 390, "height": 844})
    await one.sign_in("viewer")
    await one.goto(path)
    row = one.page.get_by_role("row", name=words[0]).first
    for word in words:
        assert word in await row.inner_text()
    assert await row.evaluate("row => [...row.cells].every(cell => cell.getBoundingClientRect().right <= innerWidth)")
    await one.page.close()


async def test_the_time_zone_stands_under_every_page_as_it_is_called_now(operator: Visitor) -> None:
    await operator.goto("/messages")  # the script of the page before has told the server
    await expect(operator.page.get_by_text("Times in Europe/Kyiv")).to_be_visible()


async def test_an_impatient_finger_sends_once(operator: Visitor, city: Doors) -> None:
    page = operator.page
    await operator.goto("/send")
    await page.get_by_label("Phone").fill("+380501119911")
    await page.get_by_label("Sender").fill("Shop")
    await page.get_by_label("Text", exact=True).fill("Once")
    before = await city.stored()
    await page.get_by_role("button", name="Send", exact=True).dblclick()
    await expect(page.get_by_text("Message sent.")).to_be_visible()
    assert await city.stored() == before + 1


async def test_the_strip_of_pages_shows_where_one_is(browser: Browser, city: Doors) -> None:
    one = await visitor(browser, city, viewport={"width": 390, "height": 844})
    await one.sign_in("admin")
    await one.goto("/audit")
    await expect(one.page.get_by_role("link", name="Audit log")).to_be_in_viewport()
    await one.page.close()


async def _judge(page: Page, path: str) -> None:
    await page.evaluate(AXE)
    assert await page.evaluate(RUN_AXE) == [], path
    assert await page.evaluate(FITS), path
