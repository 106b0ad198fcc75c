"""Accounts, their API keys and their bots. Keys are kept as digests; bot tokens are used again, so they are sealed."""

import json
from collections.abc import Mapping
from ipaddress import ip_network
from typing import NamedTuple

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from cascade.core.directory import Account, ApiKey, Bot, Rate, Scope, digest
from cascade.core.errors import CascadeError, ConfigError
from cascade.core.secret import Secret
from cascade.core.words import Channel
from cascade.store.database import Reader, Row, Transaction


class UnknownAccountError(CascadeError):
    """No account has this name."""


class Accounts(NamedTuple):
    """Everything a directory is made of, as of one version."""

    version: int
    accounts: dict[int, Account]
    keys: dict[bytes, ApiKey]
    bots: tuple[Bot, ...]
    tokens: dict[str, Secret]
    """By link."""


class Seal:
    """Encrypts what must be readable again. The first key seals, all of them open: that is how keys are rotated."""

    def __init__(self, keys: list[Secret]) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key.reveal()) for key in keys])
        except ValueError as error:
            raise ConfigError(
                "secrets.keys", "a key is not 32 bytes in URL-safe base64", "Make one with `cascade key new-seal`"
            ) from error

    def close(self, secret: Secret) -> bytes:
        return self._fernet.encrypt(secret.reveal().encode())

    def open(self, sealed: bytes) -> Secret:
        try:
            return Secret(self._fernet.decrypt(sealed).decode())
        except InvalidToken as error:
            raise ConfigError(
                "secrets.keys", "no key opens the bot tokens in the store", "Put back the key that sealed them"
            ) from error


SELECT_ACCOUNTS = "SELECT id, name, is_strict, senders, send_rate, send_burst, read_rate, read_burst FROM account"


async def add_account(tx: Transaction, name: str, now_ms: int) -> int:
    """Add an account, or find the one of this name; its id."""
    await tx.execute(
        "INSERT INTO account (name, created_at_ms) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", (name, now_ms)
    )
    await changed(tx)
    return await find_account(tx, name)


async def find_account(reader: Reader, name: str) -> int:
    rows = await reader.rows("SELECT id FROM account WHERE name = ?", (name,))
    if not rows:
        raise UnknownAccountError(f"no account is named {name!r}; `cascade account list` names them")
    account_id: int = rows[0][0]
    return account_id


async def account(reader: Reader, account_id: int) -> Account:
    """One that is there."""
    [row] = await reader.rows(f"{SELECT_ACCOUNTS} WHERE id = ?", (account_id,))
    return _account(row)


async def ids(reader: Reader) -> list[int]:
    """Of every account."""
    return [id_ for (id_,) in await reader.rows("SELECT id FROM account")]


async def list_accounts(reader: Reader) -> list[tuple[str, int, int]]:
    """Name, number of keys and number of bots of each account."""
    return [
        (name, keys, bots)
        for name, keys, bots in await reader.rows(
            "SELECT name, (SELECT count(*) FROM api_key WHERE account_id = account.id),"
            " (SELECT count(*) FROM bot WHERE account_id = account.id) FROM account ORDER BY name"
        )
    ]


async def add_key(tx: Transaction, api_key: ApiKey, key: Secret, now_ms: int) -> None:
    """Give an account another key. The key itself is not kept; one that exists stays as it is."""
    networks = None if api_key.networks is None else json.dumps([str(network) for network in api_key.networks])
    await tx.execute(
        "INSERT INTO api_key (digest, account_id, name, created_at_ms, scopes, expires_at_ms, allowed_networks)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO NOTHING",
        (
            digest(key.reveal()),
            api_key.account_id,
            api_key.name,
            now_ms,
            ",".join(sorted(api_key.scopes)),
            api_key.expires_at_ms,
            networks,
        ),
    )
    await changed(tx)


async def list_keys(reader: Reader, account_id: int) -> list[tuple[str, str, int | None, int | None]]:
    """Name, scopes, when it expires and when it was last used, of each key."""
    return [
        (name, scopes, expires_at_ms, last_used_at_ms)
        for name, scopes, expires_at_ms, last_used_at_ms in await reader.rows(
            "SELECT name, scopes, expires_at_ms, last_used_at_ms FROM api_key WHERE account_id = ? ORDER BY name",
            (account_id,),
        )
    ]


async def keys_used(tx: Transaction, used_at_ms: Mapping[bytes, int]) -> None:
    """Remember when keys were last used. By digest; nothing else about the use is kept."""
    await tx.many(
        "UPDATE api_key SET last_used_at_ms = ? WHERE digest = ?",
        [(at_ms, key_digest) for key_digest, at_ms in sorted(used_at_ms.items())],
    )


async def limit_account(tx: Transaction, account: Account) -> None:
    """Set what sets one account apart from the configuration."""
    await tx.execute(
        "UPDATE account SET is_strict = ?, senders = ?, send_rate = ?, send_burst = ?, read_rate = ?, read_burst = ?"
        " WHERE id = ?",
        (
            account.is_strict,
            None if account.senders is None else json.dumps(sorted(account.senders), ensure_ascii=False),
            account.send_rate.per_s if account.send_rate else None,
            account.send_rate.burst if account.send_rate else None,
            account.read_rate.per_s if account.read_rate else None,
            account.read_rate.burst if account.read_rate else None,
            account.id,
        ),
    )
    await changed(tx)


async def revoke_key(tx: Transaction, account_id: int, name: str) -> int:
    """Forget the account's keys of this name; how many there were."""
    count = await tx.execute("DELETE FROM api_key WHERE account_id = ? AND name = ?", (account_id, name))
    await changed(tx)
    return count


async def add_bot(tx: Transaction, seal: Seal, account_id: int, channel: Channel, token: Secret, now_ms: int) -> Bot:
    """Register a bot with its account. A token that is already registered stays with the account that has it: the bot
    says whose it is."""
    token_digest = digest(token.reveal())
    await tx.execute(
        "INSERT INTO bot (account_id, channel, token_digest, sealed_token, created_at_ms) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (channel, token_digest) DO NOTHING",
        (account_id, channel.value, token_digest, seal.close(token), now_ms),
    )
    await changed(tx)
    [(id_, owner_id)] = await tx.rows(
        "SELECT id, account_id FROM bot WHERE channel = ? AND token_digest = ?", (channel.value, token_digest)
    )
    return Bot(id_, owner_id, channel, token_digest)


async def list_bots(reader: Reader, account_id: int) -> list[tuple[Bot, int]]:
    """The account's bots, the oldest first, and when each was added."""
    return [
        (Bot(id_, account_id, Channel(channel), token_digest), created_at_ms)
        for id_, channel, token_digest, created_at_ms in await reader.rows(
            "SELECT id, channel, token_digest, created_at_ms FROM bot WHERE account_id = ? ORDER BY id", (account_id,)
        )
    ]


async def remove_bot(tx: Transaction, account_id: int, link: str) -> bool:
    """Forget a bot and the directory of its subscribers; False when the account has none of this link."""
    bot = next((bot for bot, _ in await list_bots(tx, account_id) if bot.link == link), None)
    if bot is None:
        return False
    await tx.execute("DELETE FROM subscriber WHERE account_id = ? AND link = ?", (account_id, link))
    await tx.execute("DELETE FROM bot WHERE id = ?", (bot.id,))
    await changed(tx)
    return True


async def changed(tx: Transaction) -> None:
    """Every process looks at accounts, keys, bots and webhooks again."""
    await tx.execute("UPDATE directory_version SET version = version + 1")


async def version(reader: Reader) -> int:
    """Grows whenever an account, key or bot changes."""
    rows = await reader.rows("SELECT version FROM directory_version")
    number: int = rows[0][0]
    return number


async def reseal(tx: Transaction, seal: Seal) -> int:
    """Seal every bot token anew with the first key, so that the older keys can go; how many there were."""
    rows = [
        (seal.close(seal.open(sealed)), id_)
        for id_, sealed in await tx.rows("SELECT id, sealed_token FROM bot ORDER BY id")
    ]
    await tx.many("UPDATE bot SET sealed_token = ? WHERE id = ?", rows)
    return len(rows)


async def load(reader: Reader, seal: Seal) -> Accounts:
    number = await version(reader)
    accounts = {row[0]: _account(row) for row in await reader.rows(SELECT_ACCOUNTS)}
    keys = {
        key_digest: ApiKey(
            account_id,
            name,
            frozenset(Scope(scope) for scope in scopes.split(",") if scope),
            expires_at_ms,
            None if networks is None else tuple(ip_network(network) for network in json.loads(networks)),
        )
        for key_digest, account_id, name, scopes, expires_at_ms, networks in await reader.rows(
            "SELECT digest, account_id, name, scopes, expires_at_ms, allowed_networks FROM api_key"
        )
    }
    bots = []
    tokens = {}
    for id_, account_id, channel, token_digest, sealed in await reader.rows(
        "SELECT id, account_id, channel, token_digest, sealed_token FROM bot ORDER BY id"
    ):
        bot = Bot(id_, account_id, Channel(channel), token_digest)
        bots.append(bot)
        tokens[bot.link] = seal.open(sealed)
    return Accounts(number, accounts, keys, tuple(bots), tokens)


def _account(row: Row) -> Account:
    id_, name, is_strict, senders, send_rate, send_burst, read_rate, read_burst = row
    return Account(
        id_,
        name,
        bool(is_strict),
        None if senders is None else frozenset(json.loads(senders)),
        None if send_rate is None else Rate(send_rate, send_burst),
        None if read_rate is None else Rate(read_rate, read_burst),
    )
