"""Survey results as a chart, in a real browser."""

import asyncio
from collections.abc import Sequence
from sqlite3 import Connection
from typing import Any

import pytest
from playwright.async_api import expect

from api.doors import Doors
from cascade.store import sqlite, surveys
from cascade.store.database import Row

from .test_browser import PATIENCE_MS, Visitor, operator  # noqa: F401 - a fixture
from .visits import Visits

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(180)]

OPTIONS = ["Very satisfied", "Satisfied", "Not satisfied"]


async def answer(city: Doors, phone: str, option: str) -> None:
    """Tap the option on the person's phone, once the survey is there."""
    assert city.sandbox is not None
    url = f"{city.sandbox.url}/people/{phone.replace('+', '%2B')}/answer"
    async with asyncio.timeout(PATIENCE_MS / 1000):
        while True:
            async with city.session.post(url, json={"channel": "viber_bot", "option": option}) as answered:
                if answered.status == 200:
                    return
            await asyncio.sleep(0.05)


async def test_a_survey_is_counted_once_for_all_who_look(city: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a large one every count takes long, and each page asks every three seconds."""
    asked: list[str] = []
    rows = sqlite._rows

    def listening(connection: Connection, statement: str, parameters: Sequence[Any]) -> list[Row]:
        asked.append(statement)
        return rows(connection, statement, parameters)

    await city.send_one(tags=["asked-once"], messageType="viber_survey", text="Well?", surveyOptions=OPTIONS)
    viewers = [await Visits(city).signed_in("viewer"), await Visits(city).signed_in("operator")]
    monkeypatch.setattr(sqlite, "_rows", listening)
    pages = await asyncio.gather(*(viewer.get("/surveys/1/live/asked-once") for viewer in viewers))
    monkeypatch.undo()
    assert [page.status for page in pages] == [200, 200]
    assert len([statement for statement in asked if statement == surveys.CHOSEN_OF_TAG]) == 1


async def test_without_a_survey_the_page_says_so(operator: Visitor, city: Doors) -> None:  # noqa: F811
    """Tags without one leave the list, so that it may be empty though there are tags."""
    await city.send_one(tags=["no-survey"], messageType="promo")
    page = operator.page
    await page.route("**/surveys/*/row/**", lambda route: route.fulfill(body=""))
    await operator.goto("/surveys")
    await expect(page.get_by_text("No message holds a survey.")).to_be_visible()
    await expect(page.locator("tbody tr")).to_have_count(0)


async def test_answers_come_into_the_chart_as_people_give_them(operator: Visitor, city: Doors) -> None:  # noqa: F811
    page = operator.page
    phones = [f"+38050777000{number}" for number in range(3)]
    for phone in phones:
        await city.people(phone, telegram_bot="absent", viber_bot="delivers")
        id_ = await city.send_one(
            id=f"survey-{phone}",
            toPhone=phone,
            messageType="viber_survey",
            text="How was it?",
            surveyOptions=OPTIONS,
            tags=["how-was-it"],
        )
    await city.until(id_, "delivered")
    await answer(city, phones[0], "Satisfied")
    await page.get_by_role("link", name="Surveys").click()
    row = page.get_by_role("row", name="how-was-it")
    await expect(row).to_contain_text("acme")
    await row.get_by_role("link").click()
    await expect(page.locator("#answered")).to_have_text("1")
    await answer(city, phones[1], "Satisfied")
    await answer(city, phones[2], "Very satisfied")
    await expect(page.locator("#answered")).to_have_text("3", timeout=PATIENCE_MS)
    two_of_three = page.get_by_role("row", name="Satisfied 67")
    await expect(two_of_three.locator("rect")).to_have_count(2)  # the whole, and Viber's part
    await expect(page.get_by_role("row", name="Very satisfied 33")).to_be_visible()
    await page.goto(f"{operator.url}/messages/1/{id_}")
    await expect(page.locator("dd", has_text="Very satisfied")).to_contain_text("Viber bot")
