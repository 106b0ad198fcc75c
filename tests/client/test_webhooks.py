"""Whether a webhook is believed."""

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook

from .speakers import Ask, php

SECRET = f"whsec_{base64.b64encode(b'k' * 32).decode()}"
OTHER = f"whsec_{base64.b64encode(b'o' * 32).decode()}"
NOW_S = 1_795_426_200
BODY = '{"type": "message.delivered", "timestamp": "2026-11-23T09:30:00Z", "data": {"text": "Привіт"}}'


def signed(secret: str = SECRET, at_s: int = NOW_S, body: str = BODY) -> dict[str, str]:
    """As the reference library of the specification signs it."""
    return {
        "Webhook-Id": "msg_1",
        "Webhook-Timestamp": str(at_s),
        "Webhook-Signature": Webhook(secret).sign("msg_1", datetime.fromtimestamp(at_s, UTC), body),
    }


def verified(ask: Ask, headers: dict[str, str], body: str = BODY, secret: str = SECRET) -> Any:
    return ask("http://127.0.0.1:9", "verify", secret=secret, headers=headers, body=body, now_s=NOW_S)


def test_signed_by_the_reference_library(ask: Ask) -> None:
    event = verified(ask, signed())
    assert (event["type"], event["data"]) == ("message.delivered", {"text": "Привіт"})


def test_one_of_two_signatures_is_enough(ask: Ask) -> None:
    both = f"{signed(OTHER)['Webhook-Signature']} {signed()['Webhook-Signature']}"
    assert verified(ask, signed() | {"Webhook-Signature": both})["type"] == "message.delivered"


FORGED = {
    "another secret": (signed(OTHER), BODY),
    "another body": (signed(), BODY.replace("delivered", "read")),
    "another id": (signed() | {"Webhook-Id": "msg_2"}, BODY),
    "too old": (signed(at_s=NOW_S - 301), BODY),
    "from the future": (signed(at_s=NOW_S + 301), BODY),
    "no time": (signed() | {"Webhook-Timestamp": "now"}, BODY),
    "no signature": ({"webhook-id": "msg_1", "webhook-timestamp": str(NOW_S)}, BODY),
    "an empty signature": (signed() | {"Webhook-Signature": ""}, BODY),
    "a version that nobody knows": (
        signed() | {"Webhook-Signature": signed()["Webhook-Signature"].replace("v1,", "v9,")},
        BODY,
    ),
    "a signature beyond ASCII": (signed() | {"Webhook-Signature": "v1,ї"}, BODY),
}


@pytest.mark.parametrize("case", FORGED)
def test_forged(case: str, ask: Ask) -> None:
    assert verified(ask, *FORGED[case]).kind == "ForgedWebhook"


def test_a_secret_that_is_none_is_the_programs_fault(ask: Ask) -> None:
    refusal = verified(ask, signed(), secret="whsec_%%%")
    assert refusal.kind in ("Value", "Type", "InvalidArgument")
    assert "whsec_" in refusal.message


def test_php_finds_the_headers_where_it_has_them() -> None:
    as_server = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in signed().items()}
    assert verified(php, as_server)["type"] == "message.delivered"
