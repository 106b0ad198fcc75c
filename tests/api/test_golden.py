"""Every request and answer that the public API's page and our contract print, replayed against a gateway.

The phones `+380XXXXXXXXX` of the page are replaced by real ones, since it means them as such.
"""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from .doors import AUTH, TELEGRAM, VIBER, Doors

GOLDEN = {
    file.stem: json.loads(file.read_text(encoding="utf-8"))["exchanges"]
    for file in sorted((Path(__file__).parent / "golden").glob("*.json"))
}


@pytest.mark.parametrize("exchanges", GOLDEN.values(), ids=GOLDEN.keys())
async def test_the_printed_request_gets_the_printed_answer(doors: Doors, exchanges: list[dict[str, Any]]) -> None:
    names = {"telegram": TELEGRAM, "viber": VIBER}
    for exchange in exchanges:
        headers = {name: value for name, value in (AUTH | exchange.get("headers", {})).items() if value is not None}
        path = exchange["path"].format(**names)
        answer = await doors.call(exchange["method"], path, exchange.get("body"), headers=headers)
        assert answer.status == exchange["status"], answer.body
        assert difference(answer.json, exchange["answer"]) is None, answer.body
        if isinstance(answer.json, list) and "messageId" in answer.json[0]:
            names["messageId"] = answer.json[0]["messageId"]


def difference(came: Any, printed: Any, place: str = "") -> str | None:
    """Where the two differ, None where they do not. `<any>`, `<int>` and `<uuid>` stand for what changes from run to
    run, and `"..."` for further fields."""
    match printed:
        case "<any>":
            return None
        case "<int>":
            return None if type(came) is int else place
        case "<uuid>":
            return None if str(uuid.UUID(came)) == came else place
        case dict():
            if not isinstance(came, dict) or not printed.keys() - {"..."} <= came.keys():
                return place
            if "..." not in printed and came.keys() != printed.keys():
                return place
            parts = [(name, came[name], value) for name, value in printed.items() if name != "..."]
        case list():
            if not isinstance(came, list) or len(came) != len(printed):
                return place
            parts = [(str(number), came[number], value) for number, value in enumerate(printed)]
        case _:
            return None if came == printed else place
    found = (difference(one, other, f"{place}/{name}") for name, one, other in parts)
    return next((where for where in found if where is not None), None)


def test_a_difference_is_found() -> None:
    assert difference([{"a": 1, "b": "x"}], [{"a": "<int>", "...": True}]) is None
    assert difference([{"a": 1, "b": "x"}], [{"a": "<int>"}]) == "/0"
    assert difference({"a": [1, 2]}, {"a": [1, 3]}) == "/a/1"
    assert difference({"a": 1}, {"a": 1, "b": 2}) == ""
