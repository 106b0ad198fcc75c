"""The phones page, looked at with a browser."""

import pytest
from aiohttp import ClientSession
from playwright.async_api import Browser, expect

from cascade.sandbox.app import Sandbox, SandboxSettings

from .conftest import PHONE, TELEGRAM_TOKEN


@pytest.mark.asyncio(loop_scope="session")
async def test_a_message_appears_on_its_phone_by_itself(browser: Browser) -> None:
    sandbox = Sandbox(SandboxSettings(http_port=0, smsc_port=0, telegram_tokens=(TELEGRAM_TOKEN,)))
    await sandbox.start()
    page = await browser.new_page()
    try:
        async with ClientSession() as session:
            await session.put(f"{sandbox.url}/people/{PHONE}", json={"telegram_bot": "delivers"})
            await page.goto(sandbox.url)
            await page.get_by_role("link", name=PHONE).click()
            message = {"chat_id": int(PHONE), "text": "Your order has been confirmed"}
            await session.post(f"{sandbox.url}/bot{TELEGRAM_TOKEN}/sendMessage", json=message)
            await expect(page.get_by_text("Your order has been confirmed").first).to_be_visible()
    finally:
        await page.close()
        await sandbox.stop()
