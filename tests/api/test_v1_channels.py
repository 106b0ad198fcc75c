"""`GET /v1/channels`, and what all doors under `/v1` have in common."""

from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from cascade.api.v1.channels import Channels
from cascade.core.link import LinkState

from .doors import OTHER_KEY, Doors, message

OTHER = {"X-Authorization-Key": OTHER_KEY}


async def ask(doors: Doors, **given: Any) -> list[dict[str, Any]]:
    answer = await doors.call("GET", "/v1/channels", **given)
    assert answer.status == 200, answer.body
    assert TypeAdapter(Channels).validate_python(answer.json) == answer.json
    return list(answer.json["channels"])


async def test_an_account_sees_its_bots_and_what_all_share(city: Doors) -> None:
    shown = await ask(city)
    assert [one["channel"] for one in shown] == ["telegram_bot", "telegram_bot", "viber_bot", "sms"]
    assert {one["state"] for one in shown} == {"up"}


async def test_an_account_sees_no_other_accounts_bots(doors: Doors) -> None:
    ours, others = await ask(doors), await ask(doors, headers=OTHER)
    assert [one["channel"] for one in others] == ["telegram_bot", "viber_bot"]
    assert {one["link"] for one in ours} & {one["link"] for one in others} == set()


async def test_lanes_are_counted_with_their_oldest(doors: Doors) -> None:
    path = "/api/tg_bot/111111:first-telegram-of-acme"
    assert (await doors.call("POST", path, {"id": 7, "phone": "+380501112233"})).status == 200
    await doors.gateway._worker.stop(0)  # nobody takes them from their lanes
    await doors.send(*(message(id=f"promo-{n}", messageType="promo") for n in range(3)), message(id="urgent"))
    first, *others = await ask(doors)
    listed = (await doors.call("GET", "/v1/messages?messageType=promo")).json["messages"]
    assert first["bulk"] == {"queued": 3, "oldestDueAt": min(one["acceptedAt"] for one in listed)}
    assert first["urgent"]["queued"] == 1
    assert {one["bulk"]["queued"] + one["urgent"]["queued"] for one in others} == {0}


async def test_a_link_is_up_or_down_or_another_nodes(doors: Doors) -> None:
    first, second, third = (one["link"] for one in await ask(doors))
    states = {first: LinkState(True, 3), second: LinkState(False, 0)}
    doors.replace_parts(replace(doors.parts, link_states=lambda account_id: states))
    shown = {one["link"]: (one["state"], one["inFlight"]) for one in await ask(doors)}
    assert shown == {first: ("up", 3), second: ("down", 0), third: ("unknown", None)}


async def test_every_door_is_in_the_document_with_its_answers(doors: Doors) -> None:
    paths = (await doors.call("GET", "/openapi.json")).json["paths"]
    found = {
        (method, path): door
        for path, methods in paths.items()
        for method, door in methods.items()
        if path.startswith("/v1/") and not path.startswith("/v1/webhooks")
    }
    assert len(found) > 13
    for door in found.values():
        assert door["summary"]
        assert "application/json" in door["responses"]["200"]["content"]
        assert {"401", "503"} <= door["responses"].keys()
        assert "422" not in door["responses"]
