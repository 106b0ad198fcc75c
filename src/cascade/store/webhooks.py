"""Webhooks: where an account wants to be told of events, and with which secrets the telling is signed."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from secrets import token_bytes

import uuid_utils

from cascade.core.events import EventType, Listener, Listeners
from cascade.core.secret import Secret
from cascade.core.signature import SECRET_BYTES, secret_of
from cascade.store import accounts
from cascade.store.accounts import Seal
from cascade.store.database import Reader, Row, Transaction

MOST_SECRETS = 3


class Format(StrEnum):
    """What a body looks like. Part of the API."""

    STANDARD = "standard"
    FLAT = "flat"


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """`ends_at_ms` None: it is the present one."""

    sealed: str
    ends_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Webhook:
    """`types` None: every type. `retry_delays_s` None: the configuration's. `secrets`: the newest first.

    `batch_max` is how many events one request may carry; with 1 the body is the event itself. `failing_since_ms` is
    the first failed try after which none succeeded.
    """

    account_id: int
    id: str
    url: str
    types: frozenset[EventType] | None
    format: Format
    secrets: tuple[SealedSecret, ...]
    batch_max: int
    retry_delays_s: tuple[int, ...] | None
    created_at_ms: int
    is_enabled: bool = True
    disabled_reason: str | None = None
    disabled_at_ms: int | None = None
    failing_since_ms: int | None = None

    @property
    def key(self) -> tuple[int, str]:
        return self.account_id, self.id

    def valid_secrets(self, unseal: Callable[[bytes], Secret], now_ms: int) -> list[Secret]:
        """Those to sign with, opened by `Seal.open`. Raises `ConfigError` when no key opens them."""
        return [
            unseal(one.sealed.encode()) for one in self.secrets if one.ends_at_ms is None or now_ms < one.ends_at_ms
        ]


def new(
    account_id: int,
    url: str,
    seal: Seal,
    now_ms: int,
    *,
    types: frozenset[EventType] | None = None,
    format_: Format = Format.STANDARD,
    batch_max: int = 1,
    retry_delays_s: tuple[int, ...] | None = None,
) -> tuple[Webhook, Secret]:
    """A webhook to add, and its secret."""
    secret = _new_secret()
    sealed = (SealedSecret(seal.close(secret).decode(), None),)
    id_ = f"wh_{uuid_utils.uuid7().hex}"
    return Webhook(account_id, id_, url, types, format_, sealed, batch_max, retry_delays_s, now_ms), secret


def rotated(webhook: Webhook, seal: Seal, now_ms: int, overlap_s: int) -> tuple[Webhook, Secret]:
    """The webhook with another secret, and that secret. Of those it has, up to two sign too for `overlap_s`."""
    secret = _new_secret()
    until_ms = now_ms + overlap_s * 1000
    old = [
        SealedSecret(one.sealed, until_ms if one.ends_at_ms is None else min(one.ends_at_ms, until_ms))
        for one in webhook.secrets
        if one.ends_at_ms is None or now_ms < one.ends_at_ms
    ]
    kept = (SealedSecret(seal.close(secret).decode(), None), *old)[:MOST_SECRETS]
    return replace(webhook, secrets=kept), secret


def _new_secret() -> Secret:
    return secret_of(token_bytes(SECRET_BYTES))


COLUMNS = """account_id, id, url, types, format, secrets, batch_max, retry_delays_s, created_at_ms, is_enabled,
    disabled_reason, disabled_at_ms, failing_since_ms"""

ADD = f"INSERT INTO webhook ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constants only
OF_ACCOUNT = f"SELECT {COLUMNS} FROM webhook WHERE account_id = ? ORDER BY created_at_ms, id"  # noqa: S608
ONE = f"SELECT {COLUMNS} FROM webhook WHERE account_id = ? AND id = ?"  # noqa: S608
ENABLED = f"SELECT {COLUMNS} FROM webhook WHERE is_enabled = TRUE"  # noqa: S608
STATES = """
    SELECT CASE WHEN is_enabled = FALSE THEN 'disabled' WHEN failing_since_ms IS NULL THEN 'working' ELSE 'failing' END,
        count(*)
    FROM webhook GROUP BY 1
"""
CHANGE = """
    UPDATE webhook SET url = ?, types = ?, secrets = ?, retry_delays_s = ?, is_enabled = ?, disabled_reason = ?,
        disabled_at_ms = ?, failing_since_ms = ?
    WHERE account_id = ? AND id = ?
"""
FAILED = "UPDATE webhook SET failing_since_ms = coalesce(failing_since_ms, ?) WHERE account_id = ? AND id = ?"
WORKED = """
    UPDATE webhook SET failing_since_ms = NULL WHERE account_id = ? AND id = ? AND failing_since_ms IS NOT NULL
"""
DISABLE = """
    UPDATE webhook SET is_enabled = FALSE, disabled_reason = ?, disabled_at_ms = ?
    WHERE account_id = ? AND id = ? AND is_enabled = TRUE
"""
DISABLE_FAILING = f"{DISABLE} AND failing_since_ms <= ?"


async def add(tx: Transaction, webhook: Webhook) -> None:
    await tx.execute(
        ADD,
        (
            webhook.account_id,
            webhook.id,
            webhook.url,
            _encode_types(webhook),
            webhook.format.value,
            _encode_secrets(webhook),
            webhook.batch_max,
            _encode_delays(webhook),
            webhook.created_at_ms,
            webhook.is_enabled,
            webhook.disabled_reason,
            webhook.disabled_at_ms,
            webhook.failing_since_ms,
        ),
    )
    await accounts.changed(tx)


async def of_account(reader: Reader, account_id: int) -> list[Webhook]:
    """The oldest first."""
    return [_webhook(row) for row in await reader.rows(OF_ACCOUNT, (account_id,))]


async def find(reader: Reader, account_id: int, id_: str) -> Webhook | None:
    rows = await reader.rows(ONE, (account_id, id_))
    return _webhook(rows[0]) if rows else None


async def enabled(reader: Reader) -> list[Webhook]:
    """Those of all accounts."""
    return [_webhook(row) for row in await reader.rows(ENABLED)]


async def states(reader: Reader) -> dict[str, int]:
    """How many of all accounts' webhooks are `working`, `failing` (enabled, and no try succeeds) or `disabled`."""
    found = dict.fromkeys(("working", "failing", "disabled"), 0)
    for state, number in await reader.rows(STATES):
        found[state] = number
    return found


def listeners(webhooks: Iterable[Webhook]) -> Listeners:
    """The same as the writers of events want it."""
    found: dict[int, tuple[Listener, ...]] = {}
    for webhook in webhooks:
        found[webhook.account_id] = (*found.get(webhook.account_id, ()), Listener(webhook.id, webhook.types))
    return found


async def change(tx: Transaction, webhook: Webhook) -> None:
    """Write everything that may change: all but the account, the id, the format and the batches."""
    await tx.execute(
        CHANGE,
        (
            webhook.url,
            _encode_types(webhook),
            _encode_secrets(webhook),
            _encode_delays(webhook),
            webhook.is_enabled,
            webhook.disabled_reason,
            webhook.disabled_at_ms,
            webhook.failing_since_ms,
            webhook.account_id,
            webhook.id,
        ),
    )
    await accounts.changed(tx)


async def remove(tx: Transaction, account_id: int, id_: str) -> bool:
    """Forget a webhook and its deliveries; False when there is none. Those that are just being added it neither sees
    nor waits for on PostgreSQL: see `deliveries.left_behind`."""
    await tx.execute("DELETE FROM delivery WHERE account_id = ? AND webhook_id = ?", (account_id, id_))
    is_removed = await tx.execute("DELETE FROM webhook WHERE account_id = ? AND id = ?", (account_id, id_))
    await accounts.changed(tx)
    return bool(is_removed)


async def worked(tx: Transaction, account_id: int, id_: str) -> None:
    """A try succeeded."""
    await tx.execute(WORKED, (account_id, id_))


async def failed(tx: Transaction, account_id: int, id_: str, at_ms: int) -> None:
    """A try failed."""
    await tx.execute(FAILED, (at_ms, account_id, id_))


async def disable(
    tx: Transaction, account_id: int, id_: str, reason: str, now_ms: int, *, failing_before_ms: int | None = None
) -> bool:
    """Disable it, or only if it has failed since before that time; whether it was."""
    parameters: Sequence[object] = (reason, now_ms, account_id, id_)
    if failing_before_ms is None:
        is_disabled = await tx.execute(DISABLE, parameters)
    else:
        is_disabled = await tx.execute(DISABLE_FAILING, (*parameters, failing_before_ms))
    if is_disabled:
        await accounts.changed(tx)
    return bool(is_disabled)


async def reseal(tx: Transaction, seal: Seal) -> int:
    """Seal every secret anew with the first key; how many webhooks there were."""
    rows = await tx.rows("SELECT account_id, id, secrets FROM webhook")
    await tx.many(
        "UPDATE webhook SET secrets = ? WHERE account_id = ? AND id = ?",
        [
            (
                json.dumps(
                    [[seal.close(seal.open(sealed.encode())).decode(), end] for sealed, end in json.loads(text)]
                ),
                account_id,
                id_,
            )
            for account_id, id_, text in rows
        ],
    )
    return len(rows)


def _encode_types(webhook: Webhook) -> str | None:
    return None if webhook.types is None else json.dumps(sorted(webhook.types))


def _encode_secrets(webhook: Webhook) -> str:
    return json.dumps([[one.sealed, one.ends_at_ms] for one in webhook.secrets])


def _encode_delays(webhook: Webhook) -> str | None:
    return None if webhook.retry_delays_s is None else json.dumps(webhook.retry_delays_s)


def _webhook(row: Row) -> Webhook:
    account_id, id_, url, types, format_, secrets, batch_max, delays, created_at_ms, is_enabled, *how = row
    return Webhook(
        account_id,
        id_,
        url,
        None if types is None else frozenset(map(EventType, json.loads(types))),
        Format(format_),
        tuple(SealedSecret(sealed, ends_at_ms) for sealed, ends_at_ms in json.loads(secrets)),
        batch_max,
        None if delays is None else tuple(json.loads(delays)),
        created_at_ms,
        bool(is_enabled),
        *how,
    )
