"""Accounts with their keys, bots, senders and limits; and what the configuration says for all of them."""

import secrets
from dataclasses import replace
from ipaddress import ip_network
from typing import Any, Final

from starlette.responses import Response

from cascade.console.page import NotFoundError, Page, RefusedError, int_or_missing, whole
from cascade.core.directory import Account, ApiKey, Rate, Scope
from cascade.core.secret import Secret
from cascade.core.words import Channel
from cascade.store import accounts, webhooks

DAY_MS: Final = 86_400_000
LONGEST_NAME: Final = 100


async def listed(page: Page) -> Response:
    async with page.parts.database.reading() as reader:
        found = await accounts.list_accounts(reader)
    ids = {account.name: account.id for account in page.parts.directory().accounts.values()}
    return page.render("accounts.html", accounts=found, ids=ids)


async def add(page: Page) -> Response:
    name = (await page.form()).get("name", "").strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise RefusedError("accounts.bad_name")
    async with page.parts.database.transaction() as tx:
        if any(name == known for known, _, _ in await accounts.list_accounts(tx)):
            raise RefusedError("accounts.taken", name=name)
        account_id = await accounts.add_account(tx, name, page.parts.now_ms())
        await page.audit(tx, "account_added", name, account_id)
    await page.parts.refresh()
    return page.go(f"/accounts/{account_id}", "account_added")


async def show(page: Page) -> Response:
    return page.render("account.html", **await _account(page), key=None)


async def _account(page: Page) -> dict[str, Any]:
    account = _named(page)
    async with page.parts.database.reading() as reader:
        keys = await accounts.list_keys(reader, account.id)
        bots = await accounts.list_bots(reader, account.id)
        hooks = await webhooks.of_account(reader, account.id)
    return {
        "account": account,
        "keys": keys,
        "bots": bots,
        "webhooks": hooks,
        "scopes": list(Scope),
        "bot_channels": [channel for channel in Channel if channel.needs_subscriber],
    }


def _named(page: Page) -> Account:
    account_id = int_or_missing(page.request.path_params, "account_id")
    account = page.parts.directory().accounts.get(account_id)
    if account is None:
        raise NotFoundError
    return account


async def add_key(page: Page) -> Response:
    """The page that answers shows the key, this once."""
    account = _named(page)
    form = await page.form()
    name = form.get("name", "").strip()
    if not name or len(name) > LONGEST_NAME:
        raise RefusedError("accounts.bad_name")
    scopes = frozenset(
        Scope(value) for field, value in await page.fields() if field == "scope" and value in list(Scope)
    )
    if not scopes:
        raise RefusedError("accounts.no_scope")
    try:
        networks = tuple(ip_network(one) for one in form.get("networks", "").replace(",", " ").split()) or None
    except ValueError:
        raise RefusedError("accounts.bad_network") from None
    given_days = form.get("days", "").strip()
    days = whole(given_days)
    if given_days and not (days and days <= 36_500):
        raise RefusedError("accounts.bad_days")
    key = secrets.token_urlsafe(32)
    now_ms = page.parts.now_ms()
    api_key = ApiKey(account.id, name, scopes, now_ms + days * DAY_MS if days else None, networks)
    async with page.parts.database.transaction() as tx:
        await accounts.add_key(tx, api_key, Secret(key), now_ms)
        await page.audit(tx, "key_added", name, account.id)
    await page.parts.refresh()
    return page.render("account.html", **await _account(page), key=key)


async def revoke_key(page: Page) -> Response:
    account = _named(page)
    name = (await page.form()).get("name", "")
    async with page.parts.database.transaction() as tx:
        if not await accounts.revoke_key(tx, account.id, name):
            raise NotFoundError
        await page.audit(tx, "key_revoked", name, account.id)
    await page.parts.refresh()
    return page.go(f"/accounts/{account.id}", "key_revoked")


async def add_bot(page: Page) -> Response:
    account = _named(page)
    form = await page.form()
    channel, token = form.get("channel", ""), form.get("token", "").strip()
    if channel not in list(Channel) or not Channel(channel).needs_subscriber or not token:
        raise RefusedError("accounts.bad_bot")
    async with page.parts.database.transaction() as tx:
        bot = await accounts.add_bot(
            tx, page.parts.seal(), account.id, Channel(channel), Secret(token), page.parts.now_ms()
        )
        await page.audit(tx, "bot_added", bot.link, account.id)
    await page.parts.refresh()
    return page.go(f"/accounts/{account.id}", "bot_added")


async def remove_bot(page: Page) -> Response:
    account = _named(page)
    link = (await page.form()).get("link", "")
    async with page.parts.database.transaction() as tx:
        if not await accounts.remove_bot(tx, account.id, link):
            raise NotFoundError
        await page.audit(tx, "bot_removed", link, account.id)
    await page.parts.refresh()
    return page.go(f"/accounts/{account.id}", "bot_removed")


async def limit(page: Page) -> Response:
    account = _named(page)
    form = await page.form()
    senders = [line.strip() for line in form.get("senders", "").splitlines() if line.strip()]
    changed = replace(
        account,
        is_strict="strict" in form,
        senders=frozenset(senders) if senders else None,
        send_rate=_rate(form, "send"),
        read_rate=_rate(form, "read"),
    )
    async with page.parts.database.transaction() as tx:
        await accounts.limit_account(tx, changed)
        await page.audit(tx, "account_limited", account.name, account.id)
    await page.parts.refresh()
    return page.go(f"/accounts/{account.id}", "account_limited")


def _rate(form: dict[str, str], name: str) -> Rate | None:
    """None: the configuration's, when both fields are empty."""
    given = form.get(f"{name}_rate", "").strip(), form.get(f"{name}_burst", "").strip()
    if not any(given):
        return None
    per_s, burst = map(whole, given)
    if per_s is None or burst is None or burst < 1:
        raise RefusedError("accounts.bad_rate")
    return Rate(min(per_s, 10**6), min(burst, 10**6))


async def setup(page: Page) -> Response:
    """What the configuration says: to be read here, and changed there."""
    directory = page.parts.directory()
    senders = {account.name: sorted(account.senders) for account in page.accounts if account.senders is not None}
    return page.render(
        "setup.html",
        routes=directory.routes,
        prices=page.parts.prices,
        senders=senders,
        send_rate=page.parts.send_rate,
        read_rate=page.parts.read_rate,
    )
