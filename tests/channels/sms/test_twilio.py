"""What Twilio is asked, what its answers and callbacks mean, and who is believed. Judged by Twilio's own library."""

import base64
import hashlib
import hmac
from typing import Any
from urllib.parse import parse_qs, urlencode

import orjson
import pytest
from structlog.testing import capture_logs
from twilio.request_validator import RequestValidator

from cascade.channels.base import Callback
from cascade.channels.http import HttpRequest, HttpResponse
from cascade.channels.sms.twilio import TwilioSms
from cascade.core.attempt import Accepted, Attempt, Outcome, Rejected, Retry
from cascade.core.content import Button, Content
from cascade.core.errors import ConfigError, ForgedCallbackError, MalformedCallbackError
from cascade.core.inbound import Inbound, InboundKind
from cascade.core.receipt import Receipt, ReceiptState
from cascade.core.secret import Secret
from cascade.core.words import MessageType, Reason

SID = "AC00000000000000000000000000000001"
TOKEN = "12345"
JUDGE = RequestValidator(TOKEN)
URL = "https://gateway.example/callbacks/sms.twilio"
PHONE = "+380501112233"
SERVICE = "MG" + "0" * 32


def an_account(**settings: Any) -> TwilioSms:
    return TwilioSms(SID, Secret(TOKEN), **{"callback_url": URL, **settings})


ACCOUNT = an_account()


def an_attempt(content: Content, sender: str = "Shop", window_s: int = 60) -> Attempt:
    return Attempt(1, b"m" * 16, 1, PHONE, sender, MessageType.PROMO, content, window_s=window_s)


def asked(request: HttpRequest) -> dict[str, str]:
    content, content_type = request.content()
    assert content is not None
    assert content_type == "application/x-www-form-urlencoded"
    return {name: values[0] for name, values in parse_qs(content.decode(), strict_parsing=True).items()}


def test_a_message_is_asked_for() -> None:
    request = ACCOUNT.request(an_attempt(Content("Привіт 👋", buttons=(Button("Open", "https://shop.example"),))))
    assert request.url == f"https://api.twilio.com/2010-04-01/Accounts/{SID}/Messages.json"
    assert base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode() == f"{SID}:{TOKEN}"
    assert asked(request) == {
        "To": PHONE,
        "From": "Shop",
        "Body": "Привіт 👋 Open: https://shop.example",
        "ValidityPeriod": "60",
        "StatusCallback": URL,
    }


SENDERS: dict[str, tuple[dict[str, Any], str, str]] = {
    "its own name": ({}, "From", "Shop"),
    "the registered one": ({"senders": {"Shop": "+15005550006"}}, "From", "+15005550006"),
    "the default": ({"default_sender": "Acme"}, "From", "Acme"),
    "a messaging service": ({"default_sender": SERVICE}, "MessagingServiceSid", SERVICE),
    "a name that begins like one": ({"default_sender": "MGroup"}, "From", "MGroup"),
}


@pytest.mark.parametrize(("settings", "field", "sender"), SENDERS.values(), ids=SENDERS)
def test_the_sender_is(settings: dict[str, Any], field: str, sender: str) -> None:
    assert asked(an_account(**settings).request(an_attempt(Content("hi"))))[field] == sender


VALIDITIES = {0: "1", 300: "300", 86_400: "36000"}


@pytest.mark.parametrize(("window_s", "validity"), VALIDITIES.items())
def test_the_window_is_its_validity(window_s: int, validity: str) -> None:
    assert asked(ACCOUNT.request(an_attempt(Content("hi"), window_s=window_s)))["ValidityPeriod"] == validity


def test_an_api_key_is_the_password_where_there_is_one() -> None:
    account = an_account(api_key_sid="SK1", api_key_secret=Secret("s3"))
    header = account.request(an_attempt(Content("hi"))).headers["Authorization"]
    assert base64.b64decode(header.removeprefix("Basic ")) == b"SK1:s3"


def test_half_an_api_key_stops_the_start() -> None:
    with pytest.raises(ConfigError, match="api_key_secret"):
        an_account(api_key_sid="SK1")


@pytest.mark.parametrize(("length", "fits"), [(1, True), (1600, True), (1601, False), (0, False)])
def test_what_fits(length: int, fits: bool) -> None:
    assert (ACCOUNT.fits(Content("x" * length), MessageType.PROMO) is None) == fits


def refusal(status: int, code: int, **headers: str) -> HttpResponse:
    return HttpResponse(status, headers, orjson.dumps({"code": code, "message": "said", "status": status}))


ANSWERS: dict[str, tuple[HttpResponse, Outcome]] = {
    "queued": (HttpResponse(201, body=b'{"sid": "SM1", "status": "queued"}'), Accepted(("SM1",))),
    "a bad phone": (refusal(400, 21211), Rejected(Reason.UNKNOWN_RECIPIENT, "21211 said")),
    "opted out": (refusal(400, 21610), Rejected(Reason.BLOCKED, "21610 said")),
    "a bad sender": (refusal(400, 21606), Rejected(Reason.INVALID_SENDER, "21606 said")),
    "a bad password": (refusal(401, 20003), Rejected(Reason.MISCONFIGURED, "20003 said")),
    "no right, by another code": (refusal(403, 99999), Rejected(Reason.MISCONFIGURED, "99999 said")),
    "too many": (refusal(429, 20429), Retry(Reason.THROTTLED, None, "20429 said")),
    "the sender's queue is full": (refusal(400, 21611), Retry(Reason.THROTTLED, None, "21611 said")),
    "a code of tomorrow": (refusal(400, 99999), Rejected(Reason.PROVIDER_REFUSED, "99999 said")),
}


@pytest.mark.parametrize(("response", "outcome"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_means(response: HttpResponse, outcome: Outcome) -> None:
    assert ACCOUNT.outcome(response) == outcome


# What Twilio tells us


def call(form: dict[str, str], url: str = URL, signed_for: str | None = None, token: str = TOKEN) -> Callback:
    signature = RequestValidator(token).compute_signature(signed_for or url, form)
    return Callback("POST", url, {"x-twilio-signature": signature}, urlencode(form).encode())


STATUS = {"MessageSid": "SM1", "To": PHONE, "From": "Shop", "AccountSid": SID, "ApiVersion": "2010-04-01"}
RECEIPTS: dict[str, tuple[dict[str, str], list[Receipt]]] = {
    "delivered": ({"MessageStatus": "delivered"}, [Receipt("SM1", ReceiptState.DELIVERED, recipient=PHONE[1:])]),
    "read": ({"MessageStatus": "read"}, [Receipt("SM1", ReceiptState.READ, recipient=PHONE[1:])]),
    "undelivered": (
        {"MessageStatus": "undelivered", "ErrorCode": "30005"},
        [Receipt("SM1", ReceiptState.FAILED, Reason.UNKNOWN_RECIPIENT, "undelivered 30005", PHONE[1:])],
    ),
    "failed without a code": (
        {"MessageStatus": "failed"}, [Receipt("SM1", ReceiptState.FAILED, Reason.UNDELIVERABLE, "failed 0", PHONE[1:])],
    ),
    "sent": ({"MessageStatus": "sent"}, []),
    "a status of tomorrow": ({"MessageStatus": "teleported"}, []),
}  # fmt: skip


@pytest.mark.parametrize(("form", "receipts"), RECEIPTS.values(), ids=RECEIPTS)
def test_a_callback_has_its_receipts(form: dict[str, str], receipts: list[Receipt]) -> None:
    heard = ACCOUNT.hear(call(STATUS | form))
    assert (list(heard.receipts), heard.answer.body) == (receipts, b"<Response/>")


CODES = {  # Twilio's numbers, in an answer and in a callback
    Reason.MISCONFIGURED: (20003, 20404, 30002),
    Reason.UNKNOWN_RECIPIENT: (21211, 21265, 21614, 30005, 30006),
    Reason.INVALID_SENDER: (21212, 21603, 21606),
    Reason.PROVIDER_REFUSED: (21408, 21612, 30007),
    Reason.INVALID_CONTENT: (21602, 21617),
    Reason.BLOCKED: (21610, 30004),
    Reason.THROTTLED: (21611, 30001),
    Reason.UNDELIVERABLE: (30003,),
    Reason.EXPIRED_AT_PROVIDER: (30036,),
}


@pytest.mark.parametrize(("code", "reason"), [(code, reason) for reason, codes in CODES.items() for code in codes])
def test_each_number_has_its_meaning(code: int, reason: Reason) -> None:
    is_throttled = reason is Reason.THROTTLED
    outcome = Retry(reason, None, f"{code} said") if is_throttled else Rejected(reason, f"{code} said")
    assert ACCOUNT.outcome(refusal(400, code)) == outcome
    for word in ("undelivered", "failed", "canceled"):
        heard = ACCOUNT.hear(call(STATUS | {"MessageStatus": word, "ErrorCode": str(code)}))
        assert list(heard.receipts) == [Receipt("SM1", ReceiptState.FAILED, reason, f"{word} {code}", PHONE[1:])]


@pytest.mark.parametrize("word", ["accepted", "scheduled", "queued", "sending", "sent", "partially_delivered"])
def test_a_status_on_the_way_is_known_and_says_nothing(word: str) -> None:
    with capture_logs() as logs:
        assert not ACCOUNT.hear(call(STATUS | {"MessageStatus": word})).receipts
    assert logs == []


INBOUND = {
    "a text": ({"Body": "Привіт"}, "Привіт"),
    "a word that Twilio took for a farewell": ({"Body": "Стоп", "OptOutType": "STOP"}, "STOP"),
}


@pytest.mark.parametrize(("form", "text"), INBOUND.values(), ids=INBOUND)
def test_a_person_says(form: dict[str, str], text: str) -> None:
    whole = {"SmsStatus": "received", "MessageSid": "SM9", "From": PHONE, "To": "+15005550006"} | form
    assert list(ACCOUNT.hear(call(whole)).inbound) == [Inbound("SM9", InboundKind.TEXT, PHONE[1:], text)]


def test_the_signature_is_twilios() -> None:
    """The vector of channels.md, section 9: Twilio's own."""
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    form = {"CallSid": "CA1234567890ABCDE", "Caller": "+12349013030", "Digits": "1234"}
    form |= {"From": "+12349013030", "To": "+18005551212"}
    signature = "0/KCTR6DLpKmkAf8muzZqo1nDgQ="
    assert JUDGE.validate(url, form, signature)
    with pytest.raises(MalformedCallbackError):  # it is believed, and is no message
        ACCOUNT.hear(Callback("POST", url, {"x-twilio-signature": signature}, urlencode(form).encode()))


PORTS = {
    "without the port that we have": ("https://gateway.example:443/callbacks/x", "https://gateway.example/callbacks/x"),
    "with a port that we have not": ("https://gateway.example/callbacks/x", "https://gateway.example:443/callbacks/x"),
}


@pytest.mark.parametrize(("ours", "signed_for"), PORTS.values(), ids=PORTS)
def test_twilio_may_sign(ours: str, signed_for: str) -> None:
    form = STATUS | {"MessageStatus": "delivered"}
    assert len(ACCOUNT.hear(call(form, ours, signed_for)).receipts) == 1


def test_the_newer_signature_is_known_too() -> None:
    form = STATUS | {"MessageStatus": "delivered"}
    said = URL + "".join(name + form[name] for name in sorted(form))
    signature = base64.b64encode(hmac.new(TOKEN.encode(), said.encode(), hashlib.sha256).digest()).decode()
    headers = {
        "x-twilio-signature": signature,
        "x-twilio-webhooks-signature-settings": "key=12345,algorithm=HMAC_SHA256",
    }
    assert len(ACCOUNT.hear(Callback("POST", URL, headers, urlencode(form).encode())).receipts) == 1


DELIVERED = STATUS | {"MessageStatus": "delivered"}
FORGED = {
    "nothing": Callback("POST", URL, {}, b""),
    "no signature": Callback("POST", URL, {}, urlencode(DELIVERED).encode()),
    "another token's": call(DELIVERED, token="other"),
    "another URL's": call(DELIVERED, signed_for="https://elsewhere.example/"),
    "another form's": Callback("POST", URL, call(STATUS).headers, urlencode(DELIVERED).encode()),
    "no ASCII": Callback("POST", URL, {"x-twilio-signature": "підпис"}, urlencode(DELIVERED).encode()),
}


@pytest.mark.parametrize("callback", FORGED.values(), ids=FORGED)
def test_a_forged_call_is_refused(callback: Callback) -> None:
    with pytest.raises(ForgedCallbackError):
        ACCOUNT.hear(callback)


MALFORMED = {
    "no form": Callback("POST", URL, {}, b"{"),
    "no text": Callback("POST", URL, {}, b"\xff=1"),
    "no status": call({"MessageSid": "SM1"}),
    "no message": call({"MessageStatus": "delivered", "To": PHONE}),
    "a code that is no number": call(STATUS | {"MessageStatus": "failed", "ErrorCode": "x"}),
}


@pytest.mark.parametrize("callback", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_call_is_refused(callback: Callback) -> None:
    with pytest.raises(MalformedCallbackError):
        ACCOUNT.hear(callback)


def test_no_secret_is_shown() -> None:
    assert TOKEN not in repr(ACCOUNT)
