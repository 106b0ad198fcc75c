"""Accounts, keys and bots: found by their digests, opened by the seal, counted by the version."""

from ipaddress import ip_network
from typing import Any

import pytest
from cryptography.fernet import Fernet

from cascade.core.directory import Account, ApiKey, Rate, Scope, digest
from cascade.core.errors import ConfigError
from cascade.core.secret import Secret
from cascade.core.words import Channel
from cascade.store import accounts
from cascade.store.accounts import Accounts, Seal, UnknownAccountError
from cascade.store.database import Database

from .given import T0

OLD, NEW = (Secret(Fernet.generate_key().decode()) for _ in range(2))
SEAL = Seal([OLD])
TOKEN = Secret("123456:telegram-secret")


async def account(database: Database, name: str = "shop") -> int:
    async with database.transaction() as tx:
        return await accounts.add_account(tx, name, T0)


async def add_bot(database: Database, account_id: int, channel: Channel, token: Secret, seal: Seal = SEAL) -> None:
    async with database.transaction() as tx:
        await accounts.add_bot(tx, seal, account_id, channel, token, T0)


async def add_key(database: Database, account_id: int, name: str, key: str) -> ApiKey:
    api_key = ApiKey(account_id, name)
    async with database.transaction() as tx:
        await accounts.add_key(tx, api_key, Secret(key), T0)
    return api_key


async def load(database: Database, seal: Seal = SEAL) -> Accounts:
    async with database.reading() as reader:
        return await accounts.load(reader, seal)


async def test_an_account_is_added_once(database: Database) -> None:
    first = await account(database)
    assert await account(database) == first
    assert await account(database, "other") != first
    async with database.reading() as reader:
        assert await accounts.find_account(reader, "shop") == first


async def test_an_unknown_account_says_how_to_find_the_known(database: Database) -> None:
    async with database.reading() as reader:
        with pytest.raises(UnknownAccountError, match="cascade account list"):
            await accounts.find_account(reader, "nobody")


async def test_accounts_are_listed_with_what_they_have(database: Database) -> None:
    shop, _ = await account(database), await account(database, "bank")
    await add_key(database, shop, "main", "key-1")
    await add_key(database, shop, "spare", "key-2")
    await add_bot(database, shop, Channel.TELEGRAM_BOT, TOKEN)
    async with database.reading() as reader:
        assert await accounts.list_accounts(reader) == [("bank", 0, 0), ("shop", 2, 1)]


async def test_a_key_is_kept_as_its_digest_until_it_is_revoked(database: Database) -> None:
    shop = await account(database)
    main, spare = await add_key(database, shop, "main", "key-1"), await add_key(database, shop, "spare", "key-2")
    assert (await load(database)).keys == {digest("key-1"): main, digest("key-2"): spare}
    async with database.transaction() as tx:
        assert await accounts.revoke_key(tx, shop, "main") == 1
        assert await accounts.revoke_key(tx, shop, "main") == 0
    assert (await load(database)).keys == {digest("key-2"): spare}


async def test_another_accounts_key_is_neither_revoked_nor_taken_over(database: Database) -> None:
    shop, bank = await account(database), await account(database, "bank")
    main = await add_key(database, shop, "main", "key-1")
    await add_key(database, bank, "main", "key-1")
    async with database.transaction() as tx:
        assert await accounts.revoke_key(tx, bank, "main") == 0
    assert (await load(database)).keys == {digest("key-1"): main}


LIMITED_KEYS = {
    "to reading": {"scopes": frozenset({Scope.READ})},
    "to nothing": {"scopes": frozenset()},
    "in time": {"expires_at_ms": T0 + 5},
    "to networks": {"networks": (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))},
    "to nowhere": {"networks": ()},
}


@pytest.mark.parametrize("limits", LIMITED_KEYS.values(), ids=LIMITED_KEYS.keys())
async def test_a_key_stays_limited(database: Database, limits: dict[str, Any]) -> None:
    limited = ApiKey(await account(database), "limited", **limits)
    async with database.transaction() as tx:
        await accounts.add_key(tx, limited, Secret("key-1"), T0)
    assert (await load(database)).keys == {digest("key-1"): limited}


async def test_a_keys_last_use_is_remembered(database: Database) -> None:
    shop = await account(database)
    await add_key(database, shop, "main", "key-1")
    await add_key(database, shop, "spare", "key-2")
    async with database.transaction() as tx:
        await accounts.keys_used(tx, {digest("key-1"): T0 + 9, digest("unknown"): T0})
    async with database.reading() as reader:
        used = {name: at_ms for name, _, _, at_ms in await accounts.list_keys(reader, shop)}
    assert used == {"main": T0 + 9, "spare": None}


LIMITED_ACCOUNTS = {
    "not at all": {},
    "strictly": {"is_strict": True},
    "to its senders": {"senders": frozenset({"Shop", "Крамниця"})},
    "to no sender": {"senders": frozenset()},
    "in its rates": {"send_rate": Rate(5, 10), "read_rate": Rate(0, 0)},
}


@pytest.mark.parametrize("limits", LIMITED_ACCOUNTS.values(), ids=LIMITED_ACCOUNTS.keys())
async def test_an_account_stays_limited(database: Database, limits: dict[str, Any]) -> None:
    shop = Account(await account(database), "shop", **limits)
    async with database.transaction() as tx:
        await accounts.limit_account(tx, shop)
    assert (await load(database)).accounts == {shop.id: shop}


async def test_bots_come_back_with_their_tokens_by_link(database: Database) -> None:
    shop = await account(database)
    await add_bot(database, shop, Channel.TELEGRAM_BOT, TOKEN)
    await add_bot(database, shop, Channel.VIBER_BOT, Secret("viber-secret"))
    loaded = await load(database)
    telegram, viber = loaded.bots
    assert (telegram.account_id, telegram.channel, telegram.token_digest) == (
        shop,
        Channel.TELEGRAM_BOT,
        digest(TOKEN.reveal()),
    )
    assert loaded.tokens == {telegram.link: TOKEN, viber.link: Secret("viber-secret")}


async def test_a_token_stays_with_the_account_that_registered_it(database: Database) -> None:
    shop, bank = await account(database), await account(database, "bank")
    await add_bot(database, shop, Channel.TELEGRAM_BOT, TOKEN)
    await add_bot(database, bank, Channel.TELEGRAM_BOT, TOKEN)
    assert [bot.account_id for bot in (await load(database)).bots] == [shop]


async def test_no_secret_is_readable_in_the_store(database: Database) -> None:
    shop = await account(database)
    await add_bot(database, shop, Channel.TELEGRAM_BOT, TOKEN)
    await add_key(database, shop, "main", "a-key-nobody-may-read")
    async with database.reading() as reader:
        rows = [*await reader.rows("SELECT * FROM bot"), *await reader.rows("SELECT * FROM api_key")]
    kept = str(rows)
    assert TOKEN.reveal() not in kept
    assert "a-key-nobody-may-read" not in kept


async def test_the_version_grows_with_every_change(database: Database) -> None:
    shop = await account(database)
    versions = [(await load(database)).version]
    await add_key(database, shop, "main", "key-1")
    versions.append((await load(database)).version)
    await add_bot(database, shop, Channel.VIBER_BOT, TOKEN)
    versions.append((await load(database)).version)
    async with database.transaction() as tx:
        await accounts.limit_account(tx, Account(shop, "shop", is_strict=True))
    versions.append((await load(database)).version)
    async with database.transaction() as tx:
        await accounts.revoke_key(tx, shop, "main")
    versions.append((await load(database)).version)
    assert versions == sorted(set(versions))
    async with database.reading() as reader:
        assert await accounts.version(reader) == versions[-1]


OPENED = {  # keys that seal, keys that open
    "the same key": ([OLD], [OLD]),
    "an old key after a rotation": ([OLD], [NEW, OLD]),
    "the new key after a rotation": ([NEW, OLD], [NEW]),
}


@pytest.mark.parametrize(("sealing", "opening"), OPENED.values(), ids=OPENED.keys())
async def test_a_token_is_opened_by(database: Database, sealing: list[Secret], opening: list[Secret]) -> None:
    await add_bot(database, await account(database), Channel.TELEGRAM_BOT, TOKEN, Seal(sealing))
    assert list((await load(database, Seal(opening))).tokens.values()) == [TOKEN]


async def test_a_token_sealed_anew_needs_the_old_key_no_more(database: Database) -> None:
    await add_bot(database, await account(database), Channel.TELEGRAM_BOT, TOKEN)
    async with database.transaction() as tx:
        assert await accounts.reseal(tx, Seal([NEW, OLD])) == 1
    assert list((await load(database, Seal([NEW]))).tokens.values()) == [TOKEN]


async def test_a_lost_key_stops_the_start_and_names_the_setting(database: Database) -> None:
    await add_bot(database, await account(database), Channel.TELEGRAM_BOT, TOKEN)
    with pytest.raises(ConfigError) as refused:
        await load(database, Seal([NEW]))
    assert refused.value.setting == "secrets.keys"


@pytest.mark.parametrize("key", ["short", "", "ключ"])
def test_what_is_no_key_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Seal([OLD, Secret(key)])
    assert refused.value.setting == "secrets.keys"
    assert not key or key not in str(refused.value)
