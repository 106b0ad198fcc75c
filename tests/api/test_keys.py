"""What a key may do, from where, and until when."""

import asyncio
from ipaddress import ip_network
from typing import Any

import pytest
from structlog.testing import capture_logs

from cascade.core.directory import Account, ApiKey, Rate, Scope
from cascade.core.secret import Secret
from cascade.core.words import Channel
from cascade.engine import supervision
from cascade.serve import now_ms, open_seal
from cascade.store import accounts

from .doors import PATIENCE_S, POLL_S, SEND, Doors, message

ANYWHERE, NOWHERE = ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8")
UNKNOWN = "/bat/message/0198c5a2-7b1e-7c3d-9f2a-3c4d5e6f7a8b"
KEYS: dict[str, tuple[dict[str, Any], int, int, int]] = {  # the key: answers to send, read, administer
    "all": ({}, 200, 404, 200),
    "send only": ({"scopes": frozenset({Scope.SEND})}, 200, 403, 403),
    "read only": ({"scopes": frozenset({Scope.READ})}, 403, 404, 403),
    "admin only": ({"scopes": frozenset({Scope.ADMIN})}, 403, 403, 200),
    "nothing": ({"scopes": frozenset()}, 403, 403, 403),
    "from here": ({"networks": (NOWHERE, ANYWHERE)}, 200, 404, 200),
    "from elsewhere": ({"networks": (NOWHERE,)}, 403, 403, 403),
    "expired": ({"expires_at_ms": 1}, 401, 401, 401),
    "expires later": ({"expires_at_ms": 1 << 50}, 200, 404, 200),
}


async def add(doors: Doors, key: str, **limits: Any) -> int:
    async with doors.gateway.database.transaction() as tx:
        account_id = await accounts.find_account(tx, "acme")
        await accounts.add_key(tx, ApiKey(account_id, key, **limits), Secret(key), now_ms())
    await doors.gateway.refresh()
    return account_id


@pytest.mark.parametrize("name", KEYS)
async def test_a_key_does_what_it_may(doors: Doors, name: str) -> None:
    limits, *expected = KEYS[name]
    await add(doors, name, **limits)
    auth = {"X-Authorization-Key": name}
    answers = [
        await doors.call("POST", SEND, [message()], headers=auth),
        await doors.call("GET", UNKNOWN, headers=auth),
        await doors.call("GET", "/v1/webhooks", headers=auth),
    ]
    assert [answer.status for answer in answers] == expected


async def test_a_bot_token_alone_cannot_administer(doors: Doors) -> None:
    answer = await doors.call("GET", "/v1/webhooks", headers={"X-Viber-Auth-Token": "viber-of-acme"})
    assert (answer.status, answer.error["code"]) == (403, "FORBIDDEN")


async def test_a_revoked_key_opens_nothing(doors: Doors) -> None:
    account_id = await add(doors, "gone")
    async with doors.gateway.database.transaction() as tx:
        assert await accounts.revoke_key(tx, account_id, "gone") == 1
    await doors.gateway.refresh()
    assert (await doors.call("POST", SEND, [message()], headers={"X-Authorization-Key": "gone"})).status == 401


async def test_a_revoked_key_opens_nothing_whatever_else_goes_wrong(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a fault")

    account_id = await add(doors, "gone")
    revoked = {"X-Authorization-Key": "gone"}
    monkeypatch.setattr(supervision, "RESTART_S", 0.01)
    monkeypatch.setattr(doors.gateway, "_add_bot", broken)
    with capture_logs() as logs:
        async with doors.gateway.database.transaction() as tx:
            seal = open_seal(doors.gateway.settings)
            await accounts.add_bot(tx, seal, account_id, Channel.VIBER_BOT, Secret("new"), now_ms())
        async with asyncio.timeout(PATIENCE_S):
            while not any(entry.get("loop") == "directory" for entry in logs):  # noqa: ASYNC110 - a log has no event
                await asyncio.sleep(POLL_S)
        async with doors.gateway.database.transaction() as tx:
            assert await accounts.revoke_key(tx, account_id, "gone") == 1
        async with asyncio.timeout(PATIENCE_S):
            while (await doors.call("GET", UNKNOWN, headers=revoked)).status != 401:  # noqa: ASYNC110 - nor a directory
                await asyncio.sleep(POLL_S)


async def test_an_account_limited_to_its_senders_and_known_fields(doors: Doors) -> None:
    account_id = await add(doors, "any")
    async with doors.gateway.database.transaction() as tx:
        limits = Account(account_id, "acme", True, frozenset({"YourStore"}), Rate(0, 1), Rate(0, 1))
        await accounts.limit_account(tx, limits)
    await doors.gateway.refresh()
    assert (await doors.call("POST", SEND, [message()])).status == 200
    other = await doors.call("POST", SEND, [message(fromName="YourBank")])
    assert (other.status, other.error["code"], other.error["field"]) == (400, "INVALID_SENDER", "fromName")
    extra = await doors.call("POST", SEND, [message(customerData=1)])
    assert (extra.status, extra.error["code"], extra.error["field"]) == (400, "UNKNOWN_FIELD", "customerData")


async def test_the_use_of_a_key_is_remembered_without_saying_for_what(doors: Doors) -> None:
    account_id = await add(doors, "used")
    before_ms = now_ms()
    await doors.send(message(), headers={"X-Authorization-Key": "used"})
    async with doors.gateway.database.transaction() as tx:
        await accounts.keys_used(tx, doors.parts.keys_used)
        last_used = {name: at_ms for name, _, _, at_ms in await accounts.list_keys(tx, account_id)}
    assert (last_used["used"] or 0) >= before_ms
    assert last_used["first"] is None


async def test_bot_tokens_are_sealed_anew_with_a_new_key(doors: Doors) -> None:
    from cryptography.fernet import Fernet

    old = (doors.gateway.settings.store.path.parent / "cascade.key").read_text()
    new = Fernet.generate_key().decode()
    both, only_new = accounts.Seal([Secret(new), Secret(old)]), accounts.Seal([Secret(new)])
    async with doors.gateway.database.transaction() as tx:
        assert await accounts.reseal(tx, both) == 5
        tokens = (await accounts.load(tx, only_new)).tokens
    assert {token.reveal() for token in tokens.values()} >= {"viber-of-acme", "viber-of-other"}
