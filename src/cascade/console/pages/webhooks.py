"""Webhooks of the accounts, and what became of their deliveries."""

import uuid
from dataclasses import replace
from typing import Any, Final

import orjson
from starlette.responses import Response

from cascade.console.page import NotFoundError, Page, RefusedError, int_or_missing
from cascade.console.pages import messages
from cascade.core import events as core_events
from cascade.store import deliveries, events, webhooks
from cascade.store.deliveries import AFTER_ALL, State
from cascade.store.webhooks import Webhook

LENGTH: Final = 50
BY_OPERATOR: Final = "disabled by an operator"
REASONS: Final = {
    BY_OPERATOR: "disabled.operator",
    "disabled by its owner": "disabled.owner",
    "it answered 410 Gone": "disabled.gone",
    "every try failed for too long": "disabled.failing",
}
"""Why one is disabled, as the store has it, and the word for it."""
MOST_REDELIVERED: Final = 10_000


async def listed(page: Page) -> Response:
    found: list[Webhook] = []
    async with page.parts.database.reading() as reader:
        for account in page.accounts:
            found += await webhooks.of_account(reader, account.id)
    return page.render("webhooks.html", webhooks=found)


async def show(page: Page) -> Response:
    return page.render("webhook.html", **await _webhook(page))


async def live(page: Page) -> Response:
    return page.render("webhook_live.html", **await _webhook(page))


async def _webhook(page: Page) -> dict[str, Any]:
    webhook = await _find(page)
    given = page.request.query_params
    state = State(given["state"]) if given.get("state") in list(State) else None
    before_id = given.get("before") or AFTER_ALL
    message_id = messages.as_id(given.get("message", ""))
    async with page.parts.database.cold_reading() as reader:
        found = await deliveries.page(reader, webhook.key, state, before_id, LENGTH + 1, message_id=message_id)
        is_failing = webhook.failing_since_ms is not None or not webhook.is_enabled
        failure = await deliveries.last_failed(reader, webhook.key) if is_failing else None
    return {
        "webhook": webhook,
        "failure": failure,
        "deliveries": found[:LENGTH],
        "before": found[LENGTH - 1].event_id if len(found) > LENGTH else None,
        "is_first": before_id == AFTER_ALL,
        "state": state,
        "message_id": message_id,
        "states": list(State),
        "reasons": REASONS,
        "bodies": {
            one.event_id: orjson.dumps(orjson.loads(one.body), option=orjson.OPT_INDENT_2).decode() for one in found
        },
        "uuid_of": lambda id_: str(uuid.UUID(bytes=id_)),
    }


async def _find(page: Page) -> Webhook:
    given = page.request.path_params
    async with page.parts.database.reading() as reader:
        webhook = await webhooks.find(reader, int_or_missing(given, "account_id"), given["id"])
    if webhook is None:
        raise NotFoundError
    return webhook


async def enable(page: Page) -> Response:
    return await _enable(page, is_enabled=True)


async def disable(page: Page) -> Response:
    return await _enable(page, is_enabled=False)


async def _enable(page: Page, *, is_enabled: bool) -> Response:
    webhook = await _find(page)
    action = "webhook_enabled" if is_enabled else "webhook_disabled"
    changed = replace(
        webhook,
        is_enabled=is_enabled,
        disabled_reason=None if is_enabled else BY_OPERATOR,
        disabled_at_ms=None if is_enabled else page.parts.now_ms(),
        failing_since_ms=None,
    )
    async with page.parts.database.transaction() as tx:
        await webhooks.change(tx, changed)
        await page.audit(tx, action, webhook.id, webhook.account_id)
    await page.parts.refresh()
    return _back(page, webhook, action)


async def redeliver(page: Page) -> Response:
    webhook = await _find(page)
    event_id = page.request.path_params["event_id"]
    async with page.parts.database.transaction() as tx:
        if not await deliveries.redeliver(tx, webhook.key, event_id, page.parts.now_ms()):
            raise RefusedError("webhook.no_delivery")
        await page.audit(tx, "delivery_repeated", event_id, webhook.account_id)
    return _back(page, webhook, "delivery_repeated")


async def redeliver_failed(page: Page) -> Response:
    webhook = await _find(page)
    now_ms = page.parts.now_ms()
    async with page.parts.database.transaction() as tx:
        count = await deliveries.redeliver_range(
            tx, webhook.key, from_ms=0, to_ms=now_ms + 1, is_failed_only=True, limit=MOST_REDELIVERED, now_ms=now_ms
        )
        await page.audit(tx, "deliveries_repeated", f"{webhook.id}: {count}", webhook.account_id)
    return _back(page, webhook, "deliveries_repeated")


async def test(page: Page) -> Response:
    """An event that says nothing, to see whether it arrives."""
    webhook = await _find(page)
    if not webhook.is_enabled:
        raise RefusedError("webhook.is_disabled")
    happened = core_events.sample(uuid.uuid4(), page.parts.now_ms(), webhook.account_id)
    async with page.parts.database.transaction() as tx:
        await events.add_for(tx, happened, [webhook.id])
        await page.audit(tx, "webhook_tested", webhook.id, webhook.account_id)
    return _back(page, webhook, "webhook_tested")


def _back(page: Page, webhook: Webhook, done: str) -> Response:
    return page.go(f"/webhooks/{webhook.account_id}/{webhook.id}", done)
