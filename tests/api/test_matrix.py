"""Every door × every kind of credential: nothing leaks, and what is another account's is as if it were not there."""

import re
from typing import Any

import pytest

from cascade.core.directory import ApiKey, Scope
from cascade.core.secret import Secret
from cascade.serve import now_ms
from cascade.store import accounts

from .doors import AUTH, OTHER_KEY, OTHER_VIBER, TELEGRAM, VIBER, Doors, message

TIME = re.compile(rb"\d{4}-\d\d-\d\dT[0-9:.]+Z")
OPEN = {"/health/live", "/health/ready", "/s/{code}"}
"""Doors for everybody: they tell nothing of an account."""
IDS = {
    "message_id": "0198c5a2-7b1e-7c3d-9f2a-3c4d5e6f7a8b",
    "webhook_id": "0198c5a2-7b1e-7c3d-9f2a-3c4d5e6f7a8c",
    "event_id": "evt_0198c5a27b1e7c3d9f2a3c4d5e6f7a8d",
    "tag": "nobody-used-this",
    "phone": "+380999999999",
    "token": "no-such-token",
    "survey": "nobody-asked-this",
}
BODIES: dict[str, Any] = {  # what each door takes, so that it is not the body that is refused
    "/v1/webhooks/{webhook_id}": {"types": ["message.delivered"]},
    "/v1/webhooks/{webhook_id}/redeliver": {"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"},
    "/v1/messages/{message_id}/reschedule": {"scheduledSent": "2026-01-01T00:00:00Z"},
    "/v1/tags/{tag}/reschedule": {"scheduledSent": "2026-01-01T00:00:00Z"},
    "/v1/flashcalls/{message_id}/check": {"digits": "456789"},
    "/api/tg_bot/{token}": {"id": 1, "phone": "+380501112233"},
    "/api/viber_bot/{token}": {"id": "u1", "phone": "+380501112233"},
}


def path_with(path: str, **ids: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: ({**IDS, **ids})[match[1]].replace("+", "%2B"), path)


@pytest.fixture(scope="module")
def told() -> list[tuple[str, str]]:
    """The doors that the first gateway told of: each tells of the same, and it is the dearest page to write."""
    return []


@pytest.fixture
async def all_doors(doors: Doors, told: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each method and path that asks who comes."""
    if not told:
        paths = (await doors.call("GET", "/openapi.json")).json["paths"]
        told += [(method.upper(), path) for path, methods in paths.items() for method in methods if path not in OPEN]
    return told


async def add_key(doors: Doors, key: str, **limits: Any) -> None:
    async with doors.gateway.database.transaction() as tx:
        account_id = await accounts.find_account(tx, "acme")
        await accounts.add_key(tx, ApiKey(account_id, key, **limits), Secret(key), now_ms())
    await doors.gateway.refresh()


CREDENTIALS: dict[str, tuple[dict[str, str], int]] = {
    "none": ({}, 401),
    "an unknown key": ({"X-Authorization-Key": "nobody"}, 401),
    "an empty key": ({"X-Authorization-Key": ""}, 401),
    "a revoked key": ({"X-Authorization-Key": "revoked"}, 401),
    "an expired key": ({"X-Authorization-Key": "expired"}, 401),
    "a key without any scope": ({"X-Authorization-Key": "powerless"}, 403),
    "a key not allowed from here": ({"X-Authorization-Key": "elsewhere"}, 403),
    "an unknown bot": ({"X-Viber-Auth-Token": "nobody"}, 401),
    "a bot of the other kind": ({"X-Viber-Auth-Token": TELEGRAM}, 401),
    "a right key and an unknown bot": ({**AUTH, "X-Tg-Bot-Key": "nobody"}, 401),
    "a right key and another account's bot": ({**AUTH, "X-Viber-Auth-Token": OTHER_VIBER}, 401),
    "bots of two accounts": ({"X-Tg-Bot-Key": TELEGRAM, "X-Viber-Auth-Token": OTHER_VIBER}, 401),
    "Basic with an unknown key": ({"Authorization": "Basic QDpub2JvZHk="}, 401),
    "Basic that is none": ({"Authorization": "Basic %%%"}, 401),
}


@pytest.mark.parametrize("name", CREDENTIALS)
async def test_every_door_refuses(doors: Doors, all_doors: list[tuple[str, str]], name: str) -> None:
    from ipaddress import ip_network

    headers, status = CREDENTIALS[name]
    await add_key(doors, "expired", expires_at_ms=1)
    await add_key(doors, "powerless", scopes=frozenset())
    await add_key(doors, "elsewhere", networks=(ip_network("10.0.0.0/8"),))
    assert len(all_doors) > 25
    answers = {
        (method, path): await doors.call(method, path_with(path), BODIES.get(path), headers=headers)
        for method, path in all_doors
    }
    assert {door: answer.status for door, answer in answers.items()} == dict.fromkeys(all_doors, status)
    assert {answer.error["code"] for answer in answers.values()} == {"UNAUTHORIZED" if status == 401 else "FORBIDDEN"}
    if status == 401:
        assert len({answer.body for answer in answers.values()}) == 1


@pytest.mark.parametrize("scope", Scope)
async def test_every_door_opens_to_one_scope_only(doors: Doors, all_doors: list[tuple[str, str]], scope: Scope) -> None:
    await add_key(doors, "some", scopes=frozenset({scope}))
    others = frozenset(Scope) - {scope}
    await add_key(doors, "others", scopes=others)
    for method, path in all_doors:
        statuses = [
            (await doors.call(method, path_with(path), BODIES.get(path), headers={"X-Authorization-Key": key})).status
            for key in ("some", "others")
        ]
        assert statuses.count(403) == 1, f"{method} {path}: {statuses}"


async def test_what_is_another_accounts_is_as_if_it_were_not_there(
    doors: Doors, all_doors: list[tuple[str, str]]
) -> None:
    (sent,) = await doors.send(message())
    hook = await doors.call("POST", "/v1/webhooks", {"url": "http://127.0.0.1:9/hook"})
    assert hook.status in (200, 201), hook.body
    ours = {
        "message_id": sent["messageId"],
        "webhook_id": str(hook.json["id"]),
        "token": VIBER,
        "phone": "+380501112233",
    }
    theirs = {"X-Authorization-Key": OTHER_KEY}
    for method, path in all_doors:
        if "{" not in path:
            continue
        body = BODIES.get(path)
        real = await doors.call(method, path_with(path, **ours), body, headers=theirs)
        made_up = await doors.call(method, path_with(path), body, headers=theirs)
        alike = made_up.body.replace(IDS["phone"].encode(), ours["phone"].encode())
        assert (real.status, TIME.sub(b"", real.body)) == (made_up.status, TIME.sub(b"", alike)), f"{method} {path}"
        # What concerns all of a tag or of a person finds nothing to do, and says so.
        assert real.status == 404 or any(word in path for word in ("/tags/", "/people/", "/opt-outs/", "/surveys")), (
            f"{method} {path}: {real.status} {real.body!r}"
        )
