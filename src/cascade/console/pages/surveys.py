"""Surveys: what people answered, by tag."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from starlette.responses import Response

from cascade.console.page import NotFoundError, Page
from cascade.console.pages.campaigns import Counts, named, newest
from cascade.core.words import Channel
from cascade.store import surveys
from cascade.store.database import Reader
from cascade.store.surveys import Asked, Chosen, Standing


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


class Counted(NamedTuple):
    asked: Asked
    chosen: Sequence[Chosen]
    others: Mapping[Standing, int]


async def counted(reader: Reader, account_id: int, tag: str) -> Counted:
    """What the store knows of a tag's surveys; of a large one it takes a while."""
    return Counted(
        await surveys.asked(reader, account_id, tag),
        await surveys.chosen(reader, account_id, tag),
        await surveys.others(reader, account_id, tag),
    )


async def _results(page: Page) -> dict[str, Any]:
    account_id, tag = named(page)
    counts: Counts[Counted] = page.request.app.state.surveys
    asked, chosen, others = await counts.of(page, account_id, tag)
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
