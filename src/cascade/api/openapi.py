"""What the OpenAPI document says of doors that read their bodies themselves."""

from typing import Any

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

MESSAGE: dict[str, Any] = {
    "type": "object",
    "required": ["id", "fromName", "toPhone", "messageType"],
    "properties": {
        "id": {"type": "string", "minLength": 1, "maxLength": 255, "description": "Your tracking id"},
        "fromName": {"type": "string", "minLength": 1, "maxLength": 255},
        "toPhone": {"type": "string", "pattern": r"^\+[1-9][0-9]{6,14}$"},
        "messageType": {"type": "string", "enum": ["transaction", "promo", "viber_survey", "flashcall"]},
        "text": {"type": "string", "maxLength": 4096},
        "ttl": {"type": "integer", "minimum": 1, "maximum": 2_592_000, "description": "Seconds"},
        "scheduledSent": {"type": "string", "description": "ISO 8601; UTC unless it has an offset"},
        "surveyOptions": {"type": "array", "minItems": 2, "maxItems": 5, "items": {"type": "string"}},
        "media": {"type": "object"},
        "button": {"type": "object", "properties": {"text": {"type": "string"}, "url": {"type": "string"}}},
    },
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


REFUSALS: dict[int | str, dict[str, Any]] = {
    401: _error("No credential, a wrong one, or credentials of different accounts"),
    503: _error("The store is away; nothing was stored"),
}
SEND_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Durably stored, in the order of the request",
        "content": {
            "application/json": {
                "schema": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["messageId", "trackinId"],
                        "properties": {
                            "messageId": {"type": "string", "format": "uuid"},
                            "trackinId": {"type": "string"},
                            "ignored": {"type": "array", "items": {"type": "string"}},
                        },
                    },
                },
                "example": [{"messageId": MESSAGE_ID, "trackinId": "order-12345"}],
            }
        },
    },
    400: _error("A rule is broken: every fault of the batch at once, and nothing is stored"),
    **REFUSALS,
}
STATUS_RESPONSES: dict[int | str, dict[str, Any]] = {404: _error("No such message of this account"), **REFUSALS}
