"""The phones page in a real browser: what reached a phone appears by itself, and its owner taps, shares and blocks."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import axe_playwright_python  # type: ignore[import-untyped]
import pytest
import pytest_asyncio
from aiohttp import ClientSession
from playwright.async_api import Browser, Page, expect

from cascade.sandbox.app import Sandbox, SandboxSettings
from sandbox.conftest import PHONE, TELEGRAM_TOKEN, Client

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(180)]

CHAT = 380501112233
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
RUN_AXE = """axe.run(document, {resultTypes: ["violations"]}).then(result => result.violations
    .filter(each => ["serious", "critical"].includes(each.impact))
    .map(each => `${each.id}: ${each.nodes.map(node => node.html).join(" | ")}`))"""
LOOKS = {
    "light, desktop": ("light", 1280),
    "dark, desktop": ("dark", 1280),
    "light, narrow": ("light", 360),
    "dark, narrow": ("dark", 360),
}


async def send(client: Client, text: str, **fields: Any) -> int:
    body = {"chat_id": CHAT, "text": text} | fields
    status, answer = await client.call("POST", f"/bot{TELEGRAM_TOKEN}/sendMessage", body)
    assert status == 200, answer
    return int(answer["result"]["message_id"])


def options(*texts: str) -> dict[str, Any]:
    return {"reply_markup": {"inline_keyboard": [[{"text": text, "callback_data": text.lower()}] for text in texts]}}


async def updates(client: Client) -> list[dict[str, Any]]:
    return list((await client.call("POST", f"/bot{TELEGRAM_TOKEN}/getUpdates", {}))[1]["result"])


@pytest_asyncio.fixture(loop_scope="session")
async def client(settings: SandboxSettings) -> AsyncIterator[Client]:
    """Of a sandbox that runs where the browser's driver does."""
    sandbox = Sandbox(settings)
    await sandbox.start()
    async with ClientSession() as session:
        yield Client(session, sandbox.url)
    await sandbox.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, client: Client) -> AsyncIterator[Page]:
    """The page of a phone that talks to the Telegram bot; nothing may be said on the console, nothing leave."""
    await client.put(PHONE, telegram_bot="delivers")
    context = await browser.new_context()
    page = await context.new_page()
    said: list[str] = []
    page.on("console", lambda line: said.append(line.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(request.url))
    await page.goto(f"{client.url}/?phone=%2B380501112233")
    yield page
    await context.close()
    assert said == []
    assert all(url.startswith((client.url, "data:")) for url in asked)


async def test_what_reaches_the_phone_appears_by_itself(page: Page, client: Client) -> None:
    chat = page.get_by_role("log", name="Telegram: what reached it")
    await expect(chat).to_contain_text("Nothing has reached it here.")
    message_id = await send(client, "Your code is 482910")
    await expect(chat).to_contain_text("Your code is 482910")
    await client.call("POST", f"/bot{TELEGRAM_TOKEN}/deleteMessage", {"chat_id": CHAT, "message_id": message_id})
    await expect(chat).to_contain_text("revoked")
    await expect(page.get_by_role("navigation", name="Phones")).to_contain_text(PHONE)


async def test_an_option_is_tapped(page: Page, client: Client) -> None:
    await send(client, "How was it?", **options("Good", "Bad"))
    await page.get_by_role("button", name="Bad").click()
    await expect(page.get_by_role("button", name="Bad")).not_to_be_focused()
    assert [update["callback_query"]["data"] for update in await updates(client)] == ["bad"]


async def test_the_keyboard_alone_will_do(page: Page, client: Client) -> None:
    await send(client, "How was it?", **options("Good"))
    await expect(page.get_by_role("button", name="Good")).to_be_visible()
    for _ in range(40):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.textContent") == "Good":
            break
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Good")).not_to_be_focused()
    assert len(await updates(client)) == 1


async def test_the_contact_is_shared(page: Page, client: Client) -> None:
    telegram = page.get_by_role("region", name="Telegram")
    await telegram.get_by_role("button", name="Share the contact").click()
    await expect(telegram.get_by_role("button", name="Share the contact")).not_to_be_focused()
    [update] = await updates(client)
    assert update["message"]["contact"]["phone_number"] == PHONE.removeprefix("+")


async def test_the_bot_is_blocked_and_unblocked(page: Page, client: Client) -> None:
    telegram = page.get_by_role("region", name="Telegram")
    await telegram.get_by_role("button", name="Block the bot").click()
    await expect(telegram.get_by_role("button", name="Unblock the bot")).to_be_visible()
    assert (await client.call("GET", f"/people/{PHONE}"))[1]["channels"]["telegram_bot"] == "blocked"
    await telegram.get_by_role("button", name="Unblock the bot").click()
    await expect(telegram.get_by_role("button", name="Block the bot")).to_be_visible()


async def test_a_behaviour_is_chosen_and_the_others_stay(page: Page, client: Client) -> None:
    await page.get_by_label("How it behaves on SMS").select_option("silent")
    await expect(page.get_by_label("How it behaves on SMS")).not_to_be_focused()
    channels = (await client.call("GET", f"/people/{PHONE}"))[1]["channels"]
    assert (channels["sms"], channels["telegram_bot"], channels["rcs"]) == ("silent", "delivers", "delivers")


async def test_a_phone_is_picked(page: Page, client: Client) -> None:
    await client.put("+380671112233", sms="silent")
    await page.get_by_role("link", name="+380671112233").click()
    await expect(page.get_by_role("heading", name="+380671112233")).to_be_visible()
    await expect(page.get_by_label("How it behaves on SMS")).to_have_value("silent")


@pytest.mark.parametrize("look", LOOKS)
async def test_axe_finds_nothing_and_nothing_sticks_out(look: str, browser: Browser, client: Client) -> None:
    scheme, width = LOOKS[look]
    await client.put(PHONE, telegram_bot="delivers")
    await send(client, "How was it?", **options("Good", "Very, very, very good, better than anything before it"))
    await client.call(
        "POST",
        f"/bot{TELEGRAM_TOKEN}/sendPhoto",
        {"chat_id": CHAT, "photo": f"https://example.com/{'long' * 30}.png", "caption": "x" * 300},
    )
    context = await browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light", viewport={"width": width, "height": 800}, bypass_csp=True
    )
    page = await context.new_page()
    await page.goto(f"{client.url}/?phone=%2B380501112233")
    await page.add_script_tag(content=AXE)
    assert await page.evaluate(RUN_AXE) == []
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    await context.close()
