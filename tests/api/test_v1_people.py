"""`DELETE /v1/people/{phone}`: erase a person."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from pydantic import TypeAdapter

from cascade.api.v1.people import ErasedShown

from .doors import AUTH, OTHER_KEY, PHONE, TELEGRAM, Doors

PERSON = f"/v1/people/{quote(PHONE)}"
NOTHING = {"messages": 0, "unfinished": 0, "subscribers": 0, "events": 0, "inbound": 0}


async def test_a_person_is_erased_once(doors_of_each: Doors) -> None:
    doors = doors_of_each
    message_id = await doors.send_one()
    assert (await doors.call("POST", f"/api/tg_bot/{TELEGRAM}", {"id": 7, "phone": PHONE}, headers=AUTH)).status == 200
    erased = await doors.call("DELETE", PERSON)
    assert erased.status == 200, erased.body
    assert TypeAdapter(ErasedShown).validate_python(erased.json) == erased.json
    assert erased.json == NOTHING | {"messages": 1, "subscribers": 1}
    shown = await doors.call("GET", f"/v1/messages/{message_id}")
    assert (shown.status, shown.json["toPhone"], shown.json["trackinId"]) == (200, "", "")
    assert (await doors.call("GET", f"/bat/message/{message_id}")).status == 200
    assert (await doors.call("DELETE", PERSON)).json == NOTHING


async def test_what_is_still_to_come_is_cancelled(doors: Doors) -> None:
    hour = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    message_id = await doors.send_one(scheduledSent=hour)
    assert (await doors.call("DELETE", PERSON)).json == NOTHING | {"messages": 1}
    assert (await doors.call("GET", f"/v1/messages/{message_id}")).json["toPhone"] == ""


async def test_another_account_finds_nothing_of_it(doors: Doors) -> None:
    await doors.send_one()
    other = await doors.call("DELETE", PERSON, headers={"X-Authorization-Key": OTHER_KEY})
    assert other.json == NOTHING


async def test_it_takes_the_scope_admin(doors: Doors) -> None:
    assert (await doors.call("DELETE", PERSON, headers={"X-Tg-Bot-Key": TELEGRAM})).status == 403
    assert (await doors.call("DELETE", PERSON, headers={})).status == 401


async def test_a_phone_is_written_as_one(doors: Doors) -> None:
    assert (await doors.call("DELETE", "/v1/people/nobody")).status == 400
