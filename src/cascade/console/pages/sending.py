"""A test message: seen first, then sent the way of every client's."""

import secrets
from decimal import Decimal
from typing import Any, Final

import orjson
from starlette.responses import Response

from cascade.console.page import Page, RefusedError, whole
from cascade.core.prices import micros_of
from cascade.core.words import MessageType

FIELDS: Final = ("account_id", "phone", "sender", "type", "text", "options", "route", "ttl")
LABELS: Final = {
    "toPhone": "messages.phone",
    "fromName": "message.from",
    "messageType": "messages.type",
    "text": "send.text",
    "surveyOptions": "send.options",
    "route": "setup.route",
    "ttl": "send.ttl",
}
"""What the form calls the API's fields."""


async def form(page: Page) -> Response:
    given = dict.fromkeys(FIELDS, "") | {"type": MessageType.TRANSACTION.value}
    return _shown(page, given)


async def send(page: Page) -> Response:
    """`preview` sends nothing and shows what would happen; `send` does it."""
    form = await page.form()
    given = {name: form.get(name, "") for name in FIELDS}
    account_id = whole(given["account_id"]) or 0
    if account_id not in page.parts.directory().accounts:
        raise RefusedError("send.no_account")
    is_preview = "preview" in form
    message: dict[str, Any] = {
        "id": f"console-{secrets.token_hex(6)}",
        "fromName": given["sender"],
        "toPhone": given["phone"].replace(" ", ""),
        "messageType": given["type"],
        "tags": ["console"],
    }
    if given["text"]:
        message["text"] = given["text"]
    if options := [line.strip() for line in given["options"].splitlines() if line.strip()]:
        message["surveyOptions"] = options
    if given["route"]:
        message["route"] = given["route"]
    if given["ttl"]:
        message["ttl"] = whole(given["ttl"]) or given["ttl"]  # what is none is refused, with its reason
    answer = await page.parts.send(account_id, orjson.dumps([message]), is_preview)
    if answer.status != 200:
        return _shown(page, given, faults=_faults(answer.body))
    (told,) = answer.body
    if is_preview:
        return _shown(page, given, preview=told)
    async with page.parts.database.transaction() as tx:
        await page.audit(tx, "message_sent", told["messageId"], account_id)
    return page.go(f"/messages/{account_id}/{told['messageId']}", "message_sent")


def _faults(body: Any) -> list[dict[str, Any]]:
    """Each once: the first of the details is the error itself."""
    error = body.get("error", {}) if isinstance(body, dict) else {}
    return error.get("details") or [error]


def _shown(
    page: Page, given: dict[str, str], faults: list[dict[str, Any]] | None = None, preview: Any = None
) -> Response:
    return page.render(
        "send.html",
        400 if faults else 200,
        given=given,
        faults=faults or [],
        labels=LABELS,
        preview=preview,
        micros=lambda amount: micros_of(Decimal(amount)),
        types=list(MessageType),
        routes=sorted(page.parts.directory().routes),
    )
