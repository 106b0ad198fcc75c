"""`POST /api/items`, and what texts make of it: placeholders, inline values, and what is refused."""

from dataclasses import replace
from typing import Any

import pytest

from cascade.api.parts import Parts

from .doors import AUTH, OTHER_KEY, SEND, Doors, message

ITEMS = "/api/items"
OTHER = {"X-Authorization-Key": OTHER_KEY}
NAME = {"id": 1, "type": "name", "value": "John"}
URL = {"id": 3, "type": "url", "value": "https://shop.example/?x=1"}
SHORT = {"id": 4, "type": "short_url", "value": "https://shop.example/sale"}


async def store(doors: Doors, *variables: dict[str, Any], headers: Any = AUTH) -> None:
    answer = await doors.call("POST", ITEMS, {"variables": variables}, headers=headers)
    assert (answer.status, answer.json) == (200, {"stored": len(variables)})


async def texts(doors: Doors) -> list[str]:
    """The texts of all messages, in the order in which they were accepted."""
    async with doors.gateway.database.reading() as reader:
        return [text for (text,) in await reader.rows("SELECT text FROM message ORDER BY id")]


async def extras(doors: Doors) -> str:
    async with doors.gateway.database.reading() as reader:
        rows = await reader.rows("SELECT extras FROM message")
    return str(rows[0][0])


async def refusal(doors: Doors, *messages: dict[str, Any], query: str = "") -> list[tuple[str, str, int]]:
    answer = await doors.call("POST", SEND + query, list(messages))
    assert answer.status == 400, answer.body
    assert await doors.stored() == 0
    faults = [answer.error, *answer.error["details"]]
    return [(fault["code"], fault["field"], fault["index"]) for fault in faults]


async def test_the_contract_s_example(doors: Doors) -> None:
    await store(doors, NAME, URL)
    await doors.send_one(text="Hello, %name=1%! See %url=3%: -50%")
    assert await texts(doors) == ["Hello, John! See https://shop.example/?x=1: -50%"]


async def test_a_repeat_overwrites_and_what_was_accepted_before_stays(doors: Doors) -> None:
    await store(doors, NAME)
    await doors.send_one(id="a", text="%name=1%")
    await store(doors, NAME | {"value": "Ivan"}, NAME | {"value": "Іван", "id": "1"})
    await doors.send_one(id="b", text="%name=1%")
    assert await texts(doors) == ["John", "Іван"]


async def test_inline_variables_win_over_stored_ones(doors: Doors) -> None:
    await store(doors, NAME, NAME | {"id": 2, "value": "Jane"})
    await doors.send_one(text="%name=1% %name=2%", variables=[NAME | {"value": "Ivan"}])
    assert await texts(doors) == ["Ivan Jane"]


async def test_each_message_has_its_own_inline_variables(doors: Doors) -> None:
    given = [message(id=name, text="Hi %name=1%", variables=[NAME | {"value": name}]) for name in ("Ann", "Bob")]
    assert "ignored" not in str(await doors.send(*given))
    assert sorted(await texts(doors)) == ["Hi Ann", "Hi Bob"]


async def test_another_account_s_values_are_not_there(doors: Doors) -> None:
    await store(doors, NAME, headers=OTHER)
    assert await refusal(doors, message(text="%name=1%")) == [("UNKNOWN_VARIABLE", "text", 0)]


async def test_every_text_of_a_message_is_filled(doors: Doors) -> None:
    await store(doors, NAME)
    await doors.send_one(
        text="a %name=1%",
        tgMessage={"text": "b %name=1%"},
        viberMessage={"text": "c %name=1%", "fallbackText": "d %name=1%"},
        route=["telegram_bot", "viber_bot", {"channel": "sms", "text": "e %name=1%"}],
    )
    said = await extras(doors)
    assert await texts(doors) == ["a John"]
    assert [f"{letter} John" in said for letter in "bce"] == [True] * 3


async def test_the_text_after_a_flash_call_is_filled(doors: Doors) -> None:
    await store(doors, NAME)
    fallback = {"messageType": "transaction", "text": "for %name=1%"}
    await doors.send_one(messageType="flashcall", text=None, fallback=fallback)
    assert "for John" in await extras(doors)


UNKNOWN = {
    "one": ([message(text="%name=9%")], [("UNKNOWN_VARIABLE", "text", 0)]),
    "every message's": (
        [message(id="a", text="%name=9%"), message(id="b"), message(id="c", text="%url=9% %url=8%")],
        [("UNKNOWN_VARIABLE", "text", 0), ("UNKNOWN_VARIABLE", "text", 2)],
    ),
    "in another text": (
        [message(tgMessage={"text": "%name=9%"}, viberMessage={"fallbackText": "%name=8%"})],
        [("UNKNOWN_VARIABLE", "tgMessage.text", 0), ("UNKNOWN_VARIABLE", "viberMessage.fallbackText", 0)],
    ),
    "a type in another case": ([message(text="%Name=1%", variables=[NAME])], [("UNKNOWN_VARIABLE", "text", 0)]),
    "made too long": (
        [message(text="a" * 4_000 + "%name=1%", variables=[NAME | {"value": "b" * 97}])],
        [("TEXT_TOO_LONG", "text", 0)],
    ),
    "a survey made too long": (
        [
            message(
                messageType="viber_survey",
                surveyOptions=["Yes", "No"],
                text="%name=1%?",
                variables=[NAME | {"value": "b" * 85}],
            )
        ],
        [("TEXT_TOO_LONG", "text", 0)],
    ),
    "made empty": ([message(text="%name=1%", variables=[NAME | {"value": ""}])], [("TEXT_REQUIRED", "text", 0)]),
}


@pytest.mark.parametrize("query", ["", "?validate=true"])
async def test_a_text_that_cannot_be_completed_refuses_the_batch(doors: Doors, query: str) -> None:
    found = {case: await refusal(doors, *messages, query=query) for case, (messages, _) in UNKNOWN.items()}
    assert found == {case: faults for case, (_, faults) in UNKNOWN.items()}


async def test_the_longest_text_fits(doors: Doors) -> None:
    await doors.send_one(text="a" * 4_000 + "%name=1%", variables=[NAME | {"value": "b" * 96}])
    assert len((await texts(doors))[0]) == 4_096


async def test_in_part_only_the_message_without_its_value_is_refused(doors: Doors) -> None:
    await store(doors, NAME)
    batch = [message(id="a", text="%name=1%"), message(id="b", text="%name=2%"), message(id="c")]
    answer = await doors.call("POST", f"{SEND}?partial=true", batch)
    assert answer.status == 200
    assert [one.get("error", {}).get("code") for one in answer.json] == [None, "UNKNOWN_VARIABLE", None]
    assert len(await texts(doors)) == 2


async def test_a_repeat_is_told_by_what_the_client_sent(doors: Doors) -> None:
    """The text that was accepted stands, whatever its variables are now: otherwise a retry could send twice."""
    await store(doors, NAME, SHORT)
    same: Any = {"id": "order-1", "text": "%name=1% %short_url=4%"}
    first = await doors.send_one(**same)
    await store(doors, NAME | {"value": "Ivan"})
    assert await doors.send_one(**same) == first
    assert await doors.send_one(**same, variables=[NAME]) != first
    async with doors.gateway.database.reading() as reader:
        assert await reader.rows("SELECT count(*) FROM short_link") == [(2,)]


INLINE = {
    "no array": {"id": 1},
    "no object": ["name=1"],
    "no id": [{"type": "name", "value": "John"}],
    "no type": [{"id": 1, "value": "John"}],
    "no value": [{"id": 1, "type": "name"}],
    "an id that is a fraction": [NAME | {"id": 1.5}],
    "an id that is true": [NAME | {"id": True}],
    "an id with a space": [NAME | {"id": "a b"}],
    "an id that is too long": [NAME | {"id": "a" * 65}],
    "a type with a digit": [NAME | {"type": "name1"}],
    "a value that is a number": [NAME | {"value": 1}],
    "a value that is null": [NAME | {"value": None}],
    "a value with NUL": [NAME | {"value": "a\0"}],
    "a value that is too long": [NAME | {"value": "a" * 4_097}],
    "a URL that is none": [URL | {"value": "shop.example"}],
    "a short URL that is a script": [SHORT | {"value": "javascript:alert(1)"}],
    "a short URL with a line break": [SHORT | {"value": "https://shop.example/\r\nX: y"}],
}


async def test_inline_variables_must_be_sound(doors: Doors) -> None:
    found = {case: await refusal(doors, message(variables=variables)) for case, variables in INLINE.items()}
    assert found == {case: [("INVALID_FIELD", "variables", 0)] for case in INLINE}


STORED = {
    "not JSON": (b"{", "INVALID_JSON", None, None),
    "an array": ([NAME], "INVALID_JSON", None, None),
    "no variables": ({}, "MISSING_FIELD", "variables", None),
    "an object of variables": ({"variables": NAME}, "INVALID_FIELD", "variables", None),
    "none at all": ({"variables": []}, "BATCH_EMPTY", None, None),
    "no object": ({"variables": [NAME, 1]}, "INVALID_FIELD", None, 1),
    "no id": ({"variables": [{"type": "name", "value": "x"}]}, "MISSING_FIELD", "id", 0),
    "no type": ({"variables": [{"id": 1, "value": "x"}]}, "MISSING_FIELD", "type", 0),
    "no value": ({"variables": [{"id": 1, "type": "name"}]}, "MISSING_FIELD", "value", 0),
    "an empty id": ({"variables": [NAME | {"id": ""}]}, "INVALID_FIELD", "id", 0),
    "an id beyond 64 bits": (
        b'{"variables":[{"id":99999999999999999999,"type":"a","value":"x"}]}',
        "INVALID_FIELD",
        "id",
        0,
    ),
    "an id that is true": ({"variables": [NAME | {"id": True}]}, "INVALID_FIELD", "id", 0),
    "a type with a space": ({"variables": [NAME | {"type": "a b"}]}, "INVALID_FIELD", "type", 0),
    "a type with a line break behind": ({"variables": [NAME | {"type": "name\n"}]}, "INVALID_FIELD", "type", 0),
    "a number as the value": ({"variables": [NAME | {"value": 5}]}, "INVALID_FIELD", "value", 0),
    "a value with NUL": ({"variables": [NAME | {"value": "\0"}]}, "INVALID_FIELD", "value", 0),
    "a url that is none": ({"variables": [NAME, URL | {"value": "x"}]}, "INVALID_FIELD", "value", 1),
    "a short URL elsewhere": (
        {"variables": [SHORT | {"value": "https://a@evil.example"}]},
        "INVALID_FIELD",
        "value",
        0,
    ),
}


async def test_what_cannot_be_stored_is_refused(doors: Doors) -> None:
    found = {}
    for case, (body, *_) in STORED.items():
        answer = await doors.call("POST", ITEMS, **({"raw": body} if isinstance(body, bytes) else {"body": body}))
        error = answer.error
        found[case] = (answer.status, error["code"], error.get("field"), error.get("index"))
    assert found == {case: (400, *expected) for case, (_, *expected) in STORED.items()}


async def test_all_faults_come_at_once_and_nothing_is_stored(doors: Doors) -> None:
    bad = [{"value": 1}, NAME, URL | {"value": "x"}, {"id": [], "type": "a", "value": "x"}]
    answer = await doors.call("POST", ITEMS, {"variables": bad})
    faults = [answer.error, *answer.error["details"]]
    assert [(fault["index"], fault["field"]) for fault in faults] == [
        (0, "id"),
        (0, "type"),
        (0, "value"),
        (2, "value"),
        (3, "id"),
    ]
    assert await refusal(doors, message(text="%name=1%")) == [("UNKNOWN_VARIABLE", "text", 0)]


async def test_five_thousand_values_and_no_more(doors: Doors) -> None:
    many = [{"id": number, "type": "n", "value": ""} for number in range(5_001)]
    doors.replace_parts(_with_large_bodies(doors.parts))
    await store(doors, *many[1:])
    answer = await doors.call("POST", ITEMS, {"variables": many})
    assert (answer.status, answer.error["code"]) == (400, "BATCH_TOO_LARGE")


async def test_values_are_stored_by_those_who_may_send(doors: Doors) -> None:
    answer = await doors.call("POST", ITEMS, {"variables": [NAME]}, headers={"X-Authorization-Key": "nobodys"})
    assert answer.status == 401


def _with_large_bodies(parts: Parts) -> Parts:
    return replace(parts, limits=replace(parts.limits, max_body_bytes=1_000_000))
