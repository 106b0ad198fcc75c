"""`cascade webhook`: where an account wants to be told of events, and what became of the telling."""

import asyncio
import json as json_words
import uuid
from dataclasses import replace
from typing import Annotated, Any

import typer

from cascade.cli import output
from cascade.cli.gateway import moment
from cascade.cli.in_store import in_store, written
from cascade.cli.options import Config, Json
from cascade.core.errors import ConfigError
from cascade.core.events import EventType, sample
from cascade.core.times import iso
from cascade.engine.egress import Egress
from cascade.serve import now_ms, open_seal
from cascade.settings import Settings, load
from cascade.store import accounts, deliveries, events, webhooks
from cascade.store.database import Transaction
from cascade.store.deliveries import Listed, State
from cascade.store.webhooks import Webhook

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Where an account wants to be told of events.")

Id = Annotated[str, typer.Argument(help="As `cascade webhook list` names it: wh_…")]
LARGEST_SET = 1_000
ANSWER_SHOWN = 60


@app.command("add")
def add_webhook(
    account: str,
    url: str,
    type_: Annotated[list[EventType] | None, typer.Option("--type", help="An event type; none given: all.")] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Tell an account of events at this URL, and print the secret that signs them, this once."""

    async def work(tx: Transaction, settings: Settings) -> tuple[str, str]:
        account_id = await accounts.find_account(tx, account)
        types = frozenset(type_) if type_ else None
        webhook, secret = webhooks.new(account_id, url, open_seal(settings), now_ms(), types=types)
        await webhooks.add(tx, webhook)
        return webhook.id, secret.reveal()

    given = load(config).webhooks
    asyncio.run(Egress(given.targets, given.timeout_s).check(url))
    id_, secret = in_store(config, work)
    if json:
        output.as_json({"id": id_, "secret": secret})
    else:
        output.bare(secret)


@app.command("list")
def list_webhooks(account: str, config: Config = None, json: Json = False) -> None:
    """The account's webhooks, and why one is disabled."""

    async def work(tx: Transaction, settings: Settings) -> list[dict[str, Any]]:
        found = await webhooks.of_account(tx, await accounts.find_account(tx, account))
        return [_shown(webhook) for webhook in found]

    columns = {"id": "webhook", "url": "url", "types": "types", "enabled": "enabled", "disabledReason": "why not"}
    output.rows(columns, in_store(config, work), is_json=json)


@app.command("show")
def show_webhook(account: str, webhook_id: Id, config: Config = None, json: Json = False) -> None:
    """One webhook with everything but its secret."""

    async def work(tx: Transaction, settings: Settings) -> dict[str, Any]:
        return _shown(await _find(tx, account, webhook_id))

    output.fields(in_store(config, work), is_json=json)


@app.command("enable")
def enable_webhook(account: str, webhook_id: Id, config: Config = None, json: Json = False) -> None:
    """Enable a webhook that was disabled: its failures are forgotten, and what was pending goes on."""

    async def work(tx: Transaction, settings: Settings) -> None:
        webhook = await _find(tx, account, webhook_id)
        enabled = replace(webhook, is_enabled=True, disabled_reason=None, disabled_at_ms=None, failing_since_ms=None)
        await webhooks.change(tx, enabled)

    in_store(config, work)
    output.done(f"{webhook_id} is enabled", {"enabled": webhook_id}, is_json=json)


@app.command("remove")
def remove_webhook(account: str, webhook_id: Id, config: Config = None, json: Json = False) -> None:
    """Forget a webhook with everything that is pending for it."""

    async def work(tx: Transaction, settings: Settings) -> None:
        await _find(tx, account, webhook_id)
        await webhooks.remove(tx, await accounts.find_account(tx, account), webhook_id)

    in_store(config, work)
    output.done(f"{webhook_id} removed", {"removed": webhook_id}, is_json=json)


@app.command("test")
def send_test(account: str, webhook_id: Id, config: Config = None, json: Json = False) -> None:
    """Send a test event; a running gateway delivers it within a second."""

    async def work(tx: Transaction, settings: Settings) -> str:
        webhook = await _find(tx, account, webhook_id)
        if not webhook.is_enabled:
            raise ConfigError("webhook", f"{webhook_id} is disabled", "Enable it: `cascade webhook enable`")
        return await events.add_for(tx, sample(uuid.uuid4(), now_ms(), webhook.account_id), [webhook.id])

    event_id = in_store(config, work)
    output.done(f"{event_id} is on its way: see `cascade webhook deliveries`", {"eventId": event_id}, is_json=json)


@app.command("rotate")
def rotate_webhook(
    account: str,
    webhook_id: Id,
    overlap_s: Annotated[int, typer.Option(help="For how long the old secret signs too.", min=0)] = 86_400,
    config: Config = None,
    json: Json = False,
) -> None:
    """Give a webhook a new secret and print it, this once."""

    async def work(tx: Transaction, settings: Settings) -> str:
        webhook = await _find(tx, account, webhook_id)
        changed, secret = webhooks.rotated(webhook, open_seal(settings), now_ms(), overlap_s)
        await webhooks.change(tx, changed)
        return secret.reveal()

    secret = in_store(config, work)
    if json:
        output.as_json({"id": webhook_id, "secret": secret})
    else:
        output.bare(secret)


@app.command("deliveries")
def list_deliveries(
    account: str,
    webhook_id: Id,
    state: Annotated[State | None, typer.Option(help="Only those that stand so.")] = None,
    message: Annotated[uuid.UUID | None, typer.Option(help="Only what was told of this message.")] = None,
    limit: Annotated[int, typer.Option(help="How many.", min=1, max=10_000)] = 20,
    config: Config = None,
    json: Json = False,
) -> None:
    """What became of a webhook's events, the newest first."""

    async def work(tx: Transaction, settings: Settings) -> list[dict[str, Any]]:
        webhook = await _find(tx, account, webhook_id)
        message_id = None if message is None else message.bytes
        found = await deliveries.page(tx, webhook.key, state, deliveries.AFTER_ALL, limit, message_id=message_id)
        return [_delivery(one) for one in found]

    columns = {
        "eventId": "event",
        "type": "type",
        "state": "state",
        "tries": "tries",
        "triedAt": "last try",
        "said": "answer",
    }
    output.rows(columns, in_store(config, work), is_json=json)


@app.command("redeliver")
def redeliver(
    account: str,
    webhook_id: Id,
    event_id: Annotated[str | None, typer.Argument(help="One event: msg_…; none given: all that failed.")] = None,
    since: Annotated[str | None, typer.Option(help="Only events from then on: a time, or a span such as 2h.")] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Try events again, under the same ids; a running gateway does so within a second."""
    begun = moment("--since", since)
    since_ms = 0 if begun is None else round(begun.timestamp() * 1000)

    async def work(tx: Transaction, settings: Settings) -> int:
        webhook = await _find(tx, account, webhook_id)
        if event_id is not None:
            return int(await deliveries.redeliver(tx, webhook.key, event_id, now_ms()))
        count = 0
        while True:
            more = await deliveries.redeliver_range(
                tx,
                webhook.key,
                from_ms=since_ms,
                to_ms=now_ms() + 1,
                is_failed_only=True,
                limit=LARGEST_SET,
                now_ms=now_ms(),
            )
            count += more
            if more < LARGEST_SET:
                return count

    count = in_store(config, work)
    output.done(f"{count} will be tried again", {"redelivered": count}, is_json=json)
    if event_id is not None and count == 0:
        raise typer.Exit(1)


def _shown(webhook: Webhook) -> dict[str, Any]:
    return {
        "id": webhook.id,
        "url": webhook.url,
        "types": "all" if webhook.types is None else sorted(webhook.types),
        "format": webhook.format.value,
        "batchMax": webhook.batch_max,
        "retryDelaysS": "default" if webhook.retry_delays_s is None else list(webhook.retry_delays_s),
        "enabled": webhook.is_enabled,
        "disabledReason": webhook.disabled_reason,
        "failingSince": None if webhook.failing_since_ms is None else iso(webhook.failing_since_ms),
        "createdAt": iso(webhook.created_at_ms),
    }


def _delivery(one: Listed) -> dict[str, Any]:
    said = one.error if one.http_status is None else f"{one.http_status} {(one.answer or '')[:ANSWER_SHOWN]}".strip()
    return {
        "eventId": one.event_id,
        "type": one.type,
        "messageId": None if one.message_id is None else str(uuid.UUID(bytes=one.message_id)),
        "state": one.state.value,
        "tries": one.tries,
        "triedAt": written(one.tried_at_ms),
        "said": said,
        "durationMs": one.duration_ms,
        "event": json_words.loads(one.body),
    }


async def _find(tx: Transaction, account: str, webhook_id: str) -> Webhook:
    webhook = await webhooks.find(tx, await accounts.find_account(tx, account), webhook_id)
    if webhook is None:
        fix = f"`cascade webhook list {account}` names them"
        raise ConfigError("webhook", f"{account!r} has no webhook {webhook_id}", fix)
    return webhook
