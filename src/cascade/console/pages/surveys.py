"""Surveys: what people answered, by tag."""

from typing import Any

from starlette.responses import Response

from cascade.console.page import NotFoundError, Page
from cascade.console.pages.campaigns import named, newest
from cascade.core.words import Channel
from cascade.store import surveys


async def listed(page: Page) -> Response:
    """Every tag; those without a survey leave the list when their lines are asked for."""
    return page.render("surveys.html", campaigns=await newest(page))


async def row(page: Page) -> Response:
    """One line of the list; nothing where the tag's messages hold no survey."""
    results = await _results(page)
    return page.render("survey_row.html", **results) if results["asked"].messages else Response("")


async def show(page: Page) -> Response:
    results = await _results(page)
    if not results["asked"].messages:
        raise NotFoundError
    return page.render("survey.html", **results)


async def live(page: Page) -> Response:
    return page.render("survey_live.html", **await _results(page))


async def _results(page: Page) -> dict[str, Any]:
    account_id, tag = named(page)
    async with page.parts.database.cold_reading() as reader:
        asked = await surveys.asked(reader, account_id, tag)
        chosen = await surveys.chosen(reader, account_id, tag)
        others = await surveys.others(reader, account_id, tag)
    options = {option: dict[Channel, int]() for option in asked.options}
    for one in sorted(chosen, key=lambda one: list(Channel).index(one.channel)):
        options.setdefault(one.option, {})[one.channel] = one.number
    return {
        "account_id": account_id,
        "tag": tag,
        "asked": asked,
        "answered": sum(one.number for one in chosen),
        "options": options,
        "channels": sorted({one.channel for one in chosen}, key=list(Channel).index),
        "others": others,
    }
