"""What the OpenAPI document says of doors that read their bodies themselves."""

from typing import Any

from pydantic import BaseModel

from cascade.api.message_schema import BATCH_IN

MESSAGE_ID = "0198c5a2-7b1e-7c3d-9f2a-3c4d5e6f7a8b"

ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "field": {"type": ["string", "null"]},
                "index": {"type": ["integer", "null"], "description": "Place in the batch, from 0"},
                "details": {"type": "array", "items": {"type": "object"}, "description": "Further faults, at most 100"},
            },
        }
    },
}


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """The schema with every reference to one of its own definitions replaced by it."""
    if isinstance(schema, list):
        return [_inlined(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {name: _inlined(part, definitions) for name, part in schema.items() if name != "$defs"}


_BATCH = BATCH_IN.json_schema()
MESSAGE: dict[str, Any] = {
    **_inlined(_BATCH["items"], _BATCH["$defs"]),
    "example": {
        "id": "order-12345",
        "fromName": "YourStore",
        "toPhone": "+380501112233",
        "messageType": "transaction",
        "text": "Your order has been confirmed",
        "ttl": 3600,
    },
}

SEND_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "array", "minItems": 1, "items": MESSAGE}}},
    }
}


def _error(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": ERROR}}}


CREDENTIALS: dict[str, Any] = {
    "key": {"type": "apiKey", "in": "header", "name": "X-Authorization-Key", "description": "The account's API key"},
    "viberBot": {"type": "apiKey", "in": "header", "name": "X-Viber-Auth-Token", "description": "A Viber bot's token"},
    "telegramBot": {"type": "apiKey", "in": "header", "name": "X-Tg-Bot-Key", "description": "A Telegram bot's token"},
    "basic": {"type": "http", "scheme": "basic", "description": "User `@`, the API key as the password"},
}
OPEN_PATHS = ("/health/", "/s/")
"""Doors for everybody."""
REFUSALS: dict[int | str, dict[str, Any]] = {
    401: _error("No credential, a wrong one, or credentials of different accounts"),
    403: _error("A right credential without the scope that this takes, or from an address that it does not allow"),
    429: _error("Too many requests: wait as `Retry-After` says"),
    500: _error("Our fault; tell us the `requestId`"),
    503: _error("The store is away; nothing was stored"),
}
_IGNORED = {"type": "array", "items": {"type": "string"}, "description": "Names of fields without effect"}
ACCEPTED: dict[str, Any] = {
    "type": "object",
    "description": "Stored",
    "required": ["messageId", "trackinId"],
    "properties": {
        "messageId": {"type": "string", "format": "uuid"},
        "trackinId": {"type": "string"},
        "callerId": {"type": "string", "description": "Who will call; of a flash call"},
        "pattern": {"type": "string", "description": "The same with its last digits alone: they are the code"},
        "ignored": _IGNORED,
    },
}
REFUSED: dict[str, Any] = {
    "type": "object",
    "description": "With `?partial=true`, in the place of a message at fault",
    "required": ["trackinId", "error"],
    "properties": {"trackinId": {"type": ["string", "null"]}, "error": ERROR["properties"]["error"]},
}
WRONG = {
    "code": "INVALID_PHONE",
    "message": "Invalid phone number format",
    "field": "toPhone",
    "index": 0,
    "details": [],
}
_AMOUNT = {"type": "string", "description": "A decimal"}
_INSTANT = {"type": "string", "format": "date-time"}
PREVIEWED: dict[str, Any] = {
    "type": "object",
    "description": "With `?validate=true`: what would happen",
    "required": ["trackinId", "route", "startsAt", "expiresAt", "steps", "costLow", "costHigh", "currency"],
    "properties": {
        "trackinId": {"type": "string"},
        "route": {"type": ["string", "null"], "description": "Null: the message's own steps"},
        "startsAt": _INSTANT,
        "expiresAt": _INSTANT,
        "steps": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["channel", "status"],
                "properties": {
                    "channel": {"type": "string"},
                    "status": {"enum": ["planned", "skipped"]},
                    "reason": {"type": "string", "description": "Why it is skipped"},
                    "text": {"type": "string", "description": "As the channel would show it"},
                    "changes": {"type": "array", "items": {"type": "string"}},
                    "parts": {"type": "integer"},
                    "encoding": {"enum": ["gsm", "ucs2"]},
                    "startsAt": _INSTANT,
                    "endsAt": _INSTANT,
                    "cost": _AMOUNT,
                },
            },
        },
        "costLow": _AMOUNT,
        "costHigh": _AMOUNT,
        "currency": {"type": "string"},
        "ignored": _IGNORED,
    },
}
PREVIEW = {
    "trackinId": "order-12345",
    "route": "standard",
    "startsAt": "2026-11-23T10:00:00.000Z",
    "expiresAt": "2026-11-24T10:00:00.000Z",
    "steps": [
        {"channel": "telegram_bot", "status": "skipped", "reason": "not_subscribed"},
        {
            "channel": "sms",
            "status": "planned",
            "text": "Your order has been confirmed",
            "changes": [],
            "parts": 1,
            "encoding": "gsm",
            "startsAt": "2026-11-23T10:00:00.000Z",
            "endsAt": "2026-11-24T10:00:00.000Z",
            "cost": "0.05",
        },
    ],
    "costLow": "0.05",
    "costHigh": "0.05",
    "currency": "USD",
}
SEND_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Durably stored, in the order of the request",
        "content": {
            "application/json": {
                "schema": {"type": "array", "items": {"anyOf": [ACCEPTED, REFUSED, PREVIEWED]}},
                "examples": {
                    "sent": {"value": [{"messageId": MESSAGE_ID, "trackinId": "order-12345"}]},
                    "flashcall": {
                        "summary": "a flash call",
                        "value": [
                            {
                                "messageId": MESSAGE_ID,
                                "trackinId": "login-7",
                                "callerId": "+380441456789",
                                "pattern": "***456789",
                            }
                        ],
                    },
                    "partial": {
                        "summary": "with ?partial=true",
                        "value": [{"trackinId": "order-12345", "error": WRONG}],
                    },
                    "validate": {"summary": "with ?validate=true", "value": [PREVIEW]},
                },
            }
        },
    },
    400: _error("A rule is broken: every fault of the batch at once, and nothing is stored"),
    **REFUSALS,
}
REFUSED_HERE = {
    400: "Something is wrong with the query or the body, or what was asked for cannot be done: every fault at once",
    404: "Nothing of this account has this name",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a door may refuse with, beside what every door may."""
    return {**{status: _error(REFUSED_HERE[status]) for status in statuses}, **REFUSALS}


def body_of(
    model: type[BaseModel], example: dict[str, Any] | None = None, *, is_required: bool = True
) -> dict[str, Any]:
    """The JSON body that a door reads by itself."""
    schema = model.model_json_schema()
    content = {"schema": _inlined(schema, schema.get("$defs", {}))} | ({} if example is None else {"example": example})
    return {"requestBody": {"required": is_required, "content": {"application/json": content}}}


def one_or_many(model: type[BaseModel], most: int, example: dict[str, Any]) -> dict[str, Any]:
    """The same, where an object or an array of them is taken."""
    body = body_of(model, example)
    content = body["requestBody"]["content"]["application/json"]
    schema = content["schema"]
    content["schema"] = {"anyOf": [schema, {"type": "array", "maxItems": most, "items": schema}]}
    return body


STATUS_RESPONSES: dict[int | str, dict[str, Any]] = {404: _error("No such message of this account"), **REFUSALS}
