"""What a phone shows of a message by RCS, what Google's answers and events mean, and who is believed."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from structlog.testing import capture_logs

from cascade.channels.base import Callback
from cascade.channels.http import HttpRequest, HttpResponse
from cascade.channels.rcs.google import SCOPE, GoogleRcs, fitted, message_id, said
from cascade.core.attempt import Accepted, Attempt, Outcome, Rejected, Retry, Revocation, Sent
from cascade.core.content import Button, Content, Media
from cascade.core.errors import ConfigError, ForgedCallbackError, MalformedCallbackError
from cascade.core.inbound import Inbound, InboundKind
from cascade.core.receipt import Receipt, ReceiptState
from cascade.core.secret import Secret
from cascade.core.words import MessageType, Reason

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
ACCOUNT = {
    "type": "service_account",
    "client_email": "cascade@shop.iam.gserviceaccount.com",
    "private_key": PEM,
    "token_uri": "https://oauth2.googleapis.com/token",
}
CLIENT_TOKEN = "SJENCPGJESMGUFPY"
PHONE = "+380501112233"
ID = bytes(range(16))
IMAGE = "https://cdn.example/sale.jpg"
VIDEO = "https://cdn.example/sale.mp4"
PDF = "https://cdn.example/terms.pdf"
PAGE = "https://shop.example/sale"


def agent(**settings: Any) -> GoogleRcs:
    given = {"agent_id": "shop", "client_token": Secret(CLIENT_TOKEN), "service_account": Secret(json.dumps(ACCOUNT))}
    return GoogleRcs(**{**given, "check_capabilities": False, **settings})


AGENT = agent()


def an_attempt(content: Content, type_: MessageType = MessageType.PROMO, **more: Any) -> Attempt:
    return Attempt(1, ID, 1, PHONE, "Shop", type_, content, **{"window_s": 60, **more})


def request_for(content: Content, of: GoogleRcs = AGENT, **more: Any) -> HttpRequest:
    request = of.request(an_attempt(content, **more))
    assert isinstance(request, HttpRequest)
    return request


def opens(text: str, url: str = PAGE) -> dict[str, Any]:
    return {"action": {"text": text, "postbackData": "open", "openUrlAction": {"url": url}}}


def replies(text: str, place: int) -> dict[str, Any]:
    return {"reply": {"text": text, "postbackData": f"{ID.hex()}_{place}"}}


def card(url: str, text: str | None = None, **more: Any) -> dict[str, Any]:
    inside: dict[str, Any] = {"media": {"height": "MEDIUM", "contentInfo": {"fileUrl": url, **more.pop("info", {})}}}
    if text is not None:
        inside["description"] = text
    return {"richCard": {"standaloneCard": {"cardOrientation": "VERTICAL", "cardContent": inside | more}}}


BUTTONS = tuple(Button(f"Button {number}", PAGE) for number in range(5))
SHOWN: dict[str, tuple[Content, dict[str, Any]]] = {
    "text": (Content("Привіт 👋"), {"text": "Привіт 👋"}),
    "text with a button": (
        Content("Sale", buttons=(Button("Open", PAGE),)), {"text": "Sale", "suggestions": [opens("Open")]},
    ),
    "a long button is cut": (
        Content("Sale", buttons=(Button("x" * 26, PAGE),)), {"text": "Sale", "suggestions": [opens("x" * 24 + "…")]},
    ),
    "a survey": (
        Content("So?", options=("Yes", "No")), {"text": "So?", "suggestions": [replies("Yes", 0), replies("No", 1)]},
    ),
    "a picture": (Content("", media=Media(image=IMAGE)), card(IMAGE)),
    "a picture and a text": (Content("Sale", media=Media(image=IMAGE)), card(IMAGE, "Sale")),
    "a picture, a text and a button": (
        Content("Sale", media=Media(image=IMAGE), buttons=(Button("Open", PAGE),)),
        card(IMAGE, "Sale", suggestions=[opens("Open")]),
    ),
    "more buttons than a card holds stand below it": (
        Content("Sale", media=Media(image=IMAGE), buttons=BUTTONS),
        card(IMAGE, "Sale") | {"suggestions": [opens(button.text) for button in BUTTONS]},
    ),
    "a video with its preview": (
        Content("Sale", media=Media(video=VIDEO, image=IMAGE)), card(VIDEO, "Sale", info={"thumbnailUrl": IMAGE}),
    ),
    "more text than a card holds": (
        Content("x" * 2001, media=Media(image=IMAGE)), {"text": "x" * 2001 + f"\n\n{IMAGE}"},
    ),
    "a PDF": (Content("", media=Media(file=PDF)), {"contentInfo": {"fileUrl": PDF}}),
    "a PDF and a text": (Content("Terms", media=Media(file=PDF)), {"text": f"Terms\n\n{PDF}"}),
}  # fmt: skip


@pytest.mark.parametrize(("content", "shown"), SHOWN.values(), ids=SHOWN)
def test_a_phone_shows(content: Content, shown: dict[str, Any]) -> None:
    assert request_for(content).json["contentMessage"] == shown


def test_a_message_goes_to_the_phone_under_our_id_with_its_window() -> None:
    request = request_for(Content("hi"), window_s=300)
    url = urlsplit(request.url)
    assert (request.method, url.netloc) == ("POST", "rcsbusinessmessaging.googleapis.com")
    assert url.path == "/v1/phones/+380501112233/agentMessages"
    assert parse_qs(url.query) == {"messageId": [message_id(ID, 0)], "agentId": ["shop"]}
    assert (request.json["ttl"], request.json["messageTrafficType"]) == ("300s", "PROMOTION")


def test_a_repeat_has_the_same_id_and_another_step_another() -> None:
    first, repeat = request_for(Content("hi")).url, request_for(Content("hi"), window_s=7).url
    later = request_for(Content("hi"), step=1).url
    assert first == repeat != later


TTLS = {5: "10s", 300: "300s", 2_592_000: "1296000s"}


@pytest.mark.parametrize(("window_s", "ttl"), TTLS.items())
def test_the_ttl_stays_within_what_google_takes(window_s: int, ttl: str) -> None:
    assert request_for(Content("hi"), window_s=window_s).json["ttl"] == ttl


def test_a_survey_is_a_promotion() -> None:
    survey = Content("How was it?", options=("Good", "Bad"))
    request = request_for(survey, agent(traffic="AUTHENTICATION"), type_=MessageType.VIBER_SURVEY)
    assert request.json["messageTrafficType"] == "PROMOTION"


def test_the_kind_of_traffic_of_a_transaction_is_a_setting() -> None:
    request = request_for(Content("hi"), agent(traffic="AUTHENTICATION"), type_=MessageType.TRANSACTION)
    assert request.json["messageTrafficType"] == "AUTHENTICATION"


UNFIT = {
    "a flash call": (Content(""), MessageType.FLASHCALL),
    "a text too long": (Content("x" * 3073), MessageType.PROMO),
    "nothing": (Content(""), MessageType.PROMO),
    "a text too long with its link": (Content("x" * 3070, media=Media(image=IMAGE)), MessageType.PROMO),
}


@pytest.mark.parametrize(("content", "type_"), UNFIT.values(), ids=UNFIT)
def test_what_does_not_fit(content: Content, type_: MessageType) -> None:
    assert AGENT.fits(content, type_) is Reason.CONTENT_UNFIT


def test_the_preview_says_what_was_changed() -> None:
    changed = fitted(Content("Terms", media=Media(file=PDF)), MessageType.PROMO)
    assert changed is not None
    assert (changed.text, list(changed.changes)) == (f"Terms\n\n{PDF}", ["media_as_links"])


def error(status: int, name: str, message: str = "said") -> HttpResponse:
    return HttpResponse(status, body=orjson.dumps({"error": {"code": status, "status": name, "message": message}}))


ANSWERS: dict[str, tuple[HttpResponse, Outcome]] = {
    "accepted": (
        HttpResponse(200, body=orjson.dumps({"name": "phones/+380501112233/agentMessages/77"})), Accepted(("77",)),
    ),
    "bad content": (error(400, "INVALID_ARGUMENT"), Rejected(Reason.INVALID_CONTENT, "INVALID_ARGUMENT said")),
    "bad token": (error(401, "UNAUTHENTICATED"), Rejected(Reason.MISCONFIGURED, "UNAUTHENTICATED said")),
    "no right": (error(403, "PERMISSION_DENIED"), Rejected(Reason.MISCONFIGURED, "PERMISSION_DENIED said")),
    "not on RCS": (error(404, "NOT_FOUND"), Rejected(Reason.UNKNOWN_RECIPIENT, "NOT_FOUND said")),
    "over quota": (error(429, "RESOURCE_EXHAUSTED"), Retry(Reason.THROTTLED, None, "RESOURCE_EXHAUSTED said")),
    "anything else": (error(409, "ABORTED"), Rejected(Reason.PROVIDER_REFUSED, "ABORTED said")),
}  # fmt: skip


@pytest.mark.parametrize(("response", "outcome"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_means(response: HttpResponse, outcome: Outcome) -> None:
    assert AGENT.outcome(response) == outcome


def test_a_refused_card_is_tried_as_text_under_a_new_id() -> None:
    attempt = an_attempt(Content("Sale", media=Media(image=IMAGE)))
    request = AGENT.second_try(attempt, error(400, "INVALID_ARGUMENT"))
    assert request is not None
    assert request.json["contentMessage"] == {"text": f"Sale\n\n{IMAGE}"}
    assert parse_qs(urlsplit(request.url).query)["messageId"] != [message_id(ID, 0)]


@pytest.mark.parametrize("status", [404, 429])
def test_no_other_refusal_is_tried_again(status: int) -> None:
    assert AGENT.second_try(an_attempt(Content("Sale", media=Media(image=IMAGE))), error(status, "X")) is None


def test_a_refused_text_is_not_tried_again() -> None:
    assert AGENT.second_try(an_attempt(Content("Sale")), error(400, "INVALID_ARGUMENT")) is None


# The person's phone


def features(*names: str) -> HttpResponse:
    return HttpResponse(200, body=orjson.dumps({"features": names}))


def test_who_is_not_reachable_costs_one_question_and_no_send() -> None:
    asking, attempt = agent(check_capabilities=True), an_attempt(Content("hi"))
    request = asking.check_request(attempt)
    assert request is not None
    assert urlsplit(request.url).path == "/v1/phones/+380501112233/capabilities"
    refused = asking.checked(attempt, error(404, "NOT_FOUND"))
    assert refused is not None
    assert refused.reason is Reason.UNKNOWN_RECIPIENT
    assert asking.check_request(attempt) is None
    again = asking.request(attempt)
    assert isinstance(again, Rejected)
    assert again.reason is Reason.UNKNOWN_RECIPIENT


CARDS = {"RICHCARD_STANDALONE": "richCard", "ACTION_DIAL": "text"}


@pytest.mark.parametrize(("feature", "form"), CARDS.items())
def test_a_card_goes_only_to_who_can_see_it(feature: str, form: str) -> None:
    asking, attempt = agent(check_capabilities=True), an_attempt(Content("Sale", media=Media(image=IMAGE)))
    assert asking.checked(attempt, features(feature)) is None
    assert asking.check_request(attempt) is None
    request = asking.request(attempt)
    assert isinstance(request, HttpRequest)
    assert form in request.json["contentMessage"]


# Taking back


REVOCATIONS = {200: Revocation.WITHDRAWN, 404: Revocation.TOO_LATE, 403: Revocation.UNKNOWN}


@pytest.mark.parametrize(("status", "revocation"), REVOCATIONS.items())
def test_a_revocation_means(status: int, revocation: Revocation) -> None:
    assert AGENT.revocation(HttpResponse(status)) is revocation


IDS = {"the id that Google knows": (("77",), "77"), "ours when its answer was lost": ((), message_id(ID, 2))}


@pytest.mark.parametrize(("known", "asked"), IDS.values(), ids=IDS)
def test_a_message_is_taken_back_by(known: tuple[str, ...], asked: str) -> None:
    request = AGENT.revocation_request(Sent(ID, 1, 2, PHONE, known))
    assert (request.method, urlsplit(request.url).path) == (
        "DELETE", f"/v1/phones/+380501112233/agentMessages/{asked}",
    )  # fmt: skip


# The token


def test_the_token_is_asked_for_with_a_signed_assertion() -> None:
    request = AGENT.token_request()
    assert request.url == ACCOUNT["token_uri"]
    assert request.form is not None
    assert request.form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    head, claims, signature = request.form["assertion"].split(".")
    KEY.public_key().verify(decoded(signature), f"{head}.{claims}".encode(), PKCS1v15(), hashes.SHA256())
    assert json.loads(decoded(head)) == {"alg": "RS256", "typ": "JWT"}
    said_ = json.loads(decoded(claims))
    assert (said_["iss"], said_["scope"], said_["aud"]) == (ACCOUNT["client_email"], SCOPE, ACCOUNT["token_uri"])
    assert said_["exp"] - said_["iat"] == 3600


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


NO_KEYS = {
    "no key at all": {"service_account": None},
    "no JSON": {"service_account": Secret("key")},
    "no private key in it": {"service_account": Secret("{}")},
    "a private key that is none": {"service_account": Secret(json.dumps(ACCOUNT | {"private_key": "x"}))},
    "a file that is not there": {"service_account": None, "service_account_file": "/nowhere.json"},
}


@pytest.mark.parametrize("settings", NO_KEYS.values(), ids=NO_KEYS)
def test_without_a_key_the_start_stops(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="service_account_file"):
        agent(**settings)


def test_the_key_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_text(json.dumps(ACCOUNT), encoding="utf-8")
    assert agent(service_account=None, service_account_file=str(path)).token_request().url == ACCOUNT["token_uri"]


def test_no_secret_is_shown() -> None:
    assert "PRIVATE KEY" not in repr(AGENT)
    assert CLIENT_TOKEN not in repr(AGENT)


# What Google tells us


def signed(event: Any, token: str = CLIENT_TOKEN) -> Callback:
    data = event if isinstance(event, bytes) else orjson.dumps(event)
    body = orjson.dumps({"message": {"data": base64.b64encode(data).decode(), "messageId": "1"}, "subscription": "s"})
    signature = base64.b64encode(hmac.new(token.encode(), data, hashlib.sha512).digest()).decode()
    return called(body, {"x-goog-signature": signature})


def called(body: bytes, headers: dict[str, str] | None = None) -> Callback:
    return Callback("POST", "https://gateway.example/callbacks/rcs.google", headers or {}, body)


def test_the_signature_is_googles() -> None:
    """The vector of channels.md, section 9."""
    vector = "hyQQ6gOvgGd9iZawqntX+PNU9G1jMFo3E96b2qr1dWNOneJ/XEPIQs/2jlCpeNQjntc6Win7+Gqgh2YWvt8LBQ=="
    assert signed(b'{"a":1}').headers["x-goog-signature"] == vector


FROM = {"senderPhoneNumber": PHONE, "messageId": "77", "agentId": "shop", "sendTime": "2026-11-24T10:00:00Z"}
SERVER = {"phoneNumber": PHONE, "messageId": "77", "agentId": "shop", "eventId": "e1"}
RECEIPTS: dict[str, tuple[dict[str, Any], list[Receipt]]] = {
    "delivered": (
        FROM | {"eventType": "DELIVERED", "eventId": "e1"},
        [Receipt("77", ReceiptState.DELIVERED, recipient=PHONE[1:])],
    ),
    "read": (FROM | {"eventType": "READ", "eventId": "e1"}, [Receipt("77", ReceiptState.READ, recipient=PHONE[1:])]),
    "its time ran out and it was withdrawn": (
        SERVER | {"eventType": "TTL_EXPIRATION_REVOKED"},
        [Receipt("77", ReceiptState.FAILED, Reason.EXPIRED_AT_PROVIDER, "not delivered in time", PHONE[1:])],
    ),
    "its time ran out and nobody knows": (SERVER | {"eventType": "TTL_EXPIRATION_REVOKE_FAILED"}, []),
    "typing": (FROM | {"eventType": "IS_TYPING", "eventId": "e1"}, []),
    "an event of tomorrow": (FROM | {"eventType": "TELEPORTED", "eventId": "e1"}, []),
}  # fmt: skip


@pytest.mark.parametrize(("event", "receipts"), RECEIPTS.values(), ids=RECEIPTS)
def test_an_event_has_its_receipts(event: dict[str, Any], receipts: list[Receipt]) -> None:
    assert list(AGENT.hear(signed(event)).receipts) == receipts


@pytest.mark.parametrize("kind", ["IS_TYPING", "TTL_EXPIRATION_REVOKE_FAILED"])
def test_an_event_that_says_nothing_of_a_message_is_known(kind: str) -> None:
    with capture_logs() as logs:
        assert not AGENT.hear(signed(FROM | {"eventType": kind, "eventId": "e1"}))
    assert logs == []


INBOUND: dict[str, tuple[dict[str, Any], Inbound]] = {
    "a text": (FROM | {"text": "hi"}, Inbound("77", InboundKind.TEXT, PHONE[1:], "hi")),
    "a tap": (
        FROM | {"suggestionResponse": {"postbackData": f"{ID.hex()}_1", "text": "No"}},
        Inbound("77", InboundKind.TAP, PHONE[1:], "No", payload=f"{ID.hex()}:1"),
    ),
    "a tap that names no message": (
        {"senderPhoneNumber": PHONE, "eventId": "e2", "suggestionResponse": {"postbackData": f"{ID.hex()}_1"}},
        Inbound("e2", InboundKind.TAP, PHONE[1:], payload=f"{ID.hex()}:1"),
    ),
    "a place": (
        FROM | {"location": {"latitude": 50.4, "longitude": 30.5}},
        Inbound("77", InboundKind.TEXT, PHONE[1:], "50.4,30.5"),
    ),
    "a file": (
        FROM | {"userFile": {"payload": {"fileUri": "https://files/1", "mimeType": "image/png"}}},
        Inbound("77", InboundKind.TEXT, PHONE[1:], "https://files/1"),
    ),
    "no more promotions": (
        FROM | {"eventType": "UNSUBSCRIBE", "eventId": "e9"}, Inbound("e9", InboundKind.TEXT, PHONE[1:], "STOP"),
    ),
    "promotions again": (
        FROM | {"eventType": "SUBSCRIBE", "eventId": "e9"}, Inbound("e9", InboundKind.TEXT, PHONE[1:], "START"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("event", "inbound"), INBOUND.values(), ids=INBOUND)
def test_a_person_says(event: dict[str, Any], inbound: Inbound) -> None:
    assert list(AGENT.hear(signed(event)).inbound) == [inbound]


def test_the_challenge_is_answered_with_its_secret() -> None:
    heard = AGENT.hear(called(orjson.dumps({"clientToken": CLIENT_TOKEN, "secret": "s3"})))
    assert (heard.answer.status, heard.answer.body) == (200, b"s3")


GENUINE = FROM | {"eventType": "DELIVERED", "eventId": "e1"}
FORGED = {
    "no signature": called(signed(GENUINE).body),
    "another token's": signed(GENUINE, "other"),
    "another event's": called(signed(GENUINE).body, dict(signed(FROM | {"text": "hi"}).headers)),
    "no ASCII": called(signed(GENUINE).body, {"x-goog-signature": "підпис"}),
    "a challenge with another token": called(orjson.dumps({"clientToken": "other", "secret": "s3"})),
    "a challenge with a token that is none": called(orjson.dumps({"clientToken": 7, "secret": "s3"})),
}


@pytest.mark.parametrize("callback", FORGED.values(), ids=FORGED)
def test_a_forged_call_is_refused(callback: Callback) -> None:
    with pytest.raises(ForgedCallbackError):
        AGENT.hear(callback)


MALFORMED = {
    "no JSON": called(b"delivered"),
    "no object": called(b"[]"),
    "no data": called(b'{"message": {}}'),
    "data that is no base64": called(b'{"message": {"data": "%%"}}'),
    "an event that is no JSON": signed(b"delivered"),
    "an event that is no object": signed([1]),
}


@pytest.mark.parametrize("callback", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_call_is_refused(callback: Callback) -> None:
    with pytest.raises(MalformedCallbackError):
        AGENT.hear(callback)


UNREADABLE = {
    "a receipt without its message": {"eventType": "DELIVERED", "senderPhoneNumber": PHONE},
    "a phone that is none": FROM | {"eventType": "DELIVERED", "senderPhoneNumber": 7},
    "a message of a kind of tomorrow": FROM | {"hologram": {}},
    "a tap that is none": FROM | {"suggestionResponse": [1]},
}


@pytest.mark.parametrize("event", UNREADABLE.values(), ids=UNREADABLE)
def test_what_google_signed_and_nobody_can_read_is_acknowledged_and_counted(event: dict[str, Any]) -> None:
    """Google repeats what is refused for a week, and holds up what is behind it."""
    heard = AGENT.hear(signed(event))
    assert (heard.answer.status, list(heard.receipts), list(heard.inbound)) == (200, [], [])
    assert heard.ignored == ["malformed"]


def test_an_event_of_no_message_is_acknowledged() -> None:
    assert list(said({"agentId": "shop", "launchState": "LAUNCHED"}).receipts) == []
