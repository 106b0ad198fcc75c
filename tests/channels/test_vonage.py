"""What Vonage is asked, what its answers and webhooks mean, and who is believed. Judged by Vonage's own models."""

import hashlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import BaseModel
from structlog.testing import capture_logs
from vonage_messages.models import rcs as judge_rcs
from vonage_messages.models import sms as judge_sms
from vonage_messages.models import viber as judge_viber

from cascade.channels.base import Callback
from cascade.channels.http import HttpRequest, HttpResponse
from cascade.channels.vonage import Vonage, VonageRcs, VonageSms, VonageViber
from cascade.core.attempt import Accepted, Attempt, Outcome, Rejected, Retry, Revocation, Sent
from cascade.core.content import Button, Content, Media
from cascade.core.errors import ConfigError, ForgedCallbackError, MalformedCallbackError
from cascade.core.inbound import Inbound, InboundKind
from cascade.core.receipt import Receipt, ReceiptState
from cascade.core.secret import Secret
from cascade.core.words import MessageType, Reason

SECRET = "the signature secret of the account"
URL = "https://gateway.example/callbacks/rcs.vonage"
PHONE = "+380501112233"
MESSAGE_ID = bytes(range(16))
KEY = generate_private_key(65537, 2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
IMAGE, PREVIEW = "https://cdn.example/sale.jpg", "https://cdn.example/small.png"
VIDEO, FILE = "https://cdn.example/sale.mp4", "https://cdn.example/terms.pdf"
PAGE = "https://shop.example/sale"
OPEN = Button("Open", PAGE)
FILM = Media(video=VIDEO, thumbnail=PREVIEW, duration_s=12, size_bytes=3_500_000)
BASIC: dict[str, Any] = {"api_key": "key", "api_secret": Secret("secret"), "callback_url": URL}


AnAdapter = TypeVar("AnAdapter", bound=Vonage)


def an_account(adapter: type[AnAdapter], **settings: Any) -> AnAdapter:
    return adapter(Secret(SECRET), **{**BASIC, **settings})


def an_attempt(content: Content, type_: MessageType = MessageType.PROMO, window_s: int = 60) -> Attempt:
    return Attempt(1, MESSAGE_ID, 2, PHONE, "Shop", type_, content, window_s=window_s)


def asked(account: Vonage, attempt: Attempt) -> HttpRequest:
    request = account.request(attempt)
    assert isinstance(request, HttpRequest)
    return request


def viber(model: type[judge_viber.BaseViber], options: judge_viber.ViberOptions, **fields: Any) -> BaseModel:
    said: BaseModel = model(**COMMON, viber_service=options, **fields)
    return said


COMMON = {
    "to": "380501112233",
    "from_": "Shop",
    "client_ref": f"{MESSAGE_ID.hex()}-2",
    "webhook_url": URL,
    "webhook_version": "v1",
}
PROMO, PLAIN = MessageType.PROMO, MessageType.TRANSACTION
PROMOTED: dict[str, Any] = {"category": "promotion", "ttl": 60}
CARD_OPTIONS = judge_rcs.RcsOptionsCard(category="promotion", card_orientation="VERTICAL")
OPEN_CHIP = judge_rcs.RcsSuggestionActionOpenUrl(text="Open", postback_data="open", url=PAGE, description="Open")
REPLY_CHIPS = [
    judge_rcs.RcsSuggestionReply(text=text, postback_data=f"{MESSAGE_ID.hex()}_{place}")
    for place, text in enumerate(("Good", "Bad"))
]
QUESTION = Content("How was it?", options=("Good", "Bad"))
LINES = "How was it?\n1. Good\n2. Bad"

ASKED: dict[str, tuple[type[Vonage], MessageType, Content, BaseModel]] = {
    "Viber: a transaction": (
        VonageViber,
        PLAIN,
        Content("Код 1"),
        viber(judge_viber.ViberText, judge_viber.ViberTextOptions(category="transaction", ttl=60), text="Код 1"),
    ),
    "Viber: a transaction with a button: a link": (
        VonageViber,
        PLAIN,
        Content("Paid", buttons=(OPEN,)),
        viber(
            judge_viber.ViberText,
            judge_viber.ViberTextOptions(category="transaction", ttl=60),
            text=f"Paid Open: {PAGE}",
        ),
    ),
    "Viber: a picture with a button": (
        VonageViber,
        PROMO,
        Content("Sale", media=Media(image=IMAGE), buttons=(OPEN,)),
        viber(
            judge_viber.ViberImage,
            judge_viber.ViberImageOptions(**PROMOTED, action=judge_viber.ViberAction(url=PAGE, text="Open")),
            image=judge_viber.ViberImageResource(url=IMAGE, caption="Sale"),
        ),
    ),
    "Viber: a video; its button is a link": (
        VonageViber,
        PROMO,
        Content("Sale", media=FILM, buttons=(OPEN,)),
        viber(
            judge_viber.ViberVideo,
            judge_viber.ViberVideoOptions(**PROMOTED, duration="12", file_size="4"),
            video=judge_viber.ViberVideoResource(url=VIDEO, thumb_url=PREVIEW, caption=f"Sale Open: {PAGE}"),
        ),
    ),
    "Viber: a video of unknown size: a link": (
        VonageViber,
        PROMO,
        Content("Sale", media=replace(FILM, size_bytes=None)),
        viber(judge_viber.ViberText, judge_viber.ViberTextOptions(**PROMOTED), text=f"Sale\n{VIDEO}"),
    ),
    "Viber: a file": (
        VonageViber,
        PLAIN,
        Content("", media=Media(file=FILE, file_name="terms.pdf")),
        viber(
            judge_viber.ViberFile,
            judge_viber.ViberFileOptions(category="transaction", ttl=60),
            file=judge_viber.ViberFileResource(url=FILE, name="terms.pdf"),
        ),
    ),
    "Viber: a survey is numbered lines": (
        VonageViber,
        MessageType.VIBER_SURVEY,
        QUESTION,
        viber(judge_viber.ViberText, judge_viber.ViberTextOptions(**PROMOTED), text=LINES),
    ),
    "RCS: a text": (
        VonageRcs,
        PLAIN,
        Content("Код 1"),
        judge_rcs.RcsText(**COMMON, ttl=60, text="Код 1", rcs=judge_rcs.RcsOptions(category="transaction")),
    ),
    "RCS: a survey is chips": (
        VonageRcs,
        MessageType.VIBER_SURVEY,
        QUESTION,
        judge_rcs.RcsText(
            **COMMON,
            ttl=60,
            text="How was it?",
            suggestions=REPLY_CHIPS,
            rcs=judge_rcs.RcsOptions(category="promotion"),
        ),
    ),
    "RCS: a picture and a button are a card": (
        VonageRcs,
        PROMO,
        Content("Sale", media=Media(image=IMAGE), buttons=(OPEN,)),
        judge_rcs.RcsCardMessage(
            **COMMON,
            ttl=60,
            rcs=CARD_OPTIONS,
            card=judge_rcs.RcsCard(
                title="Shop", text="Sale", media_url=IMAGE, media_height="MEDIUM", suggestions=[OPEN_CHIP]
            ),
        ),
    ),
    "RCS: a picture alone": (
        VonageRcs,
        PROMO,
        Content("", media=Media(image=IMAGE)),
        judge_rcs.RcsImage(
            **COMMON,
            ttl=60,
            image=judge_rcs.RcsResource(url=IMAGE),
            rcs=judge_rcs.RcsOptions(category="promotion"),
        ),
    ),
    "RCS: a picture beside too long a text: a link": (
        VonageRcs,
        PROMO,
        Content("x" * 2001, media=Media(image=IMAGE), buttons=(OPEN,)),
        judge_rcs.RcsText(
            **COMMON,
            ttl=60,
            text=f"{'x' * 2001}\n{IMAGE}",
            suggestions=[OPEN_CHIP],
            rcs=judge_rcs.RcsOptions(category="promotion"),
        ),
    ),
    "SMS: all is text": (
        VonageSms,
        PROMO,
        Content("Sale", media=Media(image=IMAGE), buttons=(OPEN,)),
        judge_sms.Sms(**COMMON, text=f"Sale\n{IMAGE} Open: {PAGE}", ttl=60),
    ),
}


@pytest.mark.parametrize(("adapter", "type_", "content", "expected"), ASKED.values(), ids=ASKED)
def test_a_message_is_asked_for(
    adapter: type[Vonage], type_: MessageType, content: Content, expected: BaseModel
) -> None:
    account = an_account(adapter)
    assert account.fits(content, type_) is None
    request = asked(account, an_attempt(content, type_))
    assert (request.method, request.url) == ("POST", "https://api.nexmo.com/v1/messages")
    assert request.json == orjson.loads(orjson.dumps(expected.model_dump(by_alias=True, exclude_none=True)))


UNFIT: dict[str, tuple[type[Vonage], Content]] = {
    "Viber: over 1,000 characters": (VonageViber, Content("x" * 1001)),
    "Viber: nothing": (VonageViber, Content(" ")),
    "RCS: over 3,072 characters": (VonageRcs, Content("x" * 3073)),
    "RCS: twelve options": (VonageRcs, Content("?", options=tuple("abcdefghijkl"))),
    "SMS: over 3,200 characters": (VonageSms, Content("x" * 3201)),
}


@pytest.mark.parametrize(("adapter", "content"), UNFIT.values(), ids=UNFIT)
def test_it_does_not_fit(adapter: type[Vonage], content: Content) -> None:
    assert an_account(adapter).fits(content, PROMO) is Reason.CONTENT_UNFIT


def test_a_sender_that_vonage_would_not_take_does_not_leave_us() -> None:
    attempt = replace(an_attempt(Content("hi")), sender="x" * 51)
    refusal = an_account(VonageSms).request(attempt)
    assert isinstance(refusal, Rejected)
    assert refusal.reason is Reason.INVALID_SENDER
    assert asked(an_account(VonageSms, default_sender="Shop"), attempt).json["from"] == "Shop"


TTLS = [(VonageViber, 1, 30), (VonageViber, 10**6, 259_200), (VonageRcs, 1, 20), (VonageSms, 10**6, 604_800)]


@pytest.mark.parametrize(("adapter", "window_s", "ttl"), TTLS)
def test_the_window_is_its_time_to_live(adapter: type[Vonage], window_s: int, ttl: int) -> None:
    body = asked(an_account(adapter), an_attempt(Content("hi"), window_s=window_s)).json
    assert body.get("viber_service", body)["ttl"] == ttl


def test_an_application_says_who_it_is_by_a_token_that_is_used_for_minutes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "vonage.key"
    path.write_text(PEM, encoding="ascii")
    account = an_account(VonageSms, application_id="app", private_key_file=str(path))
    first = authorization(account)
    claims = jwt.decode(first, KEY.public_key(), algorithms=["RS256"])
    assert claims["application_id"] == "app"
    assert claims["exp"] - claims["iat"] == 900
    assert claims["jti"]
    assert authorization(account) == first
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 601)
    assert authorization(account) != first


def authorization(account: Vonage) -> str:
    return asked(account, an_attempt(Content("hi"))).headers["Authorization"].removeprefix("Bearer ")


def test_a_key_and_a_secret_do_as_well() -> None:
    request = asked(an_account(VonageSms), an_attempt(Content("hi")))
    assert request.headers["Authorization"] == "Basic a2V5OnNlY3JldA=="


MISSING: dict[str, tuple[dict[str, Any], str]] = {
    "neither": ({"api_secret": None}, "application_id"),
    "no key": ({"application_id": "app"}, "private_key_file"),
    "no file": ({"application_id": "app", "private_key_file": "/nowhere"}, "private_key_file"),
    "no private key": ({"application_id": "app", "private_key": Secret("PEM")}, "private_key_file"),
}


@pytest.mark.parametrize(("settings", "setting"), MISSING.values(), ids=MISSING)
def test_who_cannot_say_who_it_is_does_not_start(settings: dict[str, Any], setting: str) -> None:
    with pytest.raises(ConfigError) as caught:
        an_account(VonageSms, **settings)
    assert caught.value.setting == setting


def problem(status: int, title: str, code: int | None = None) -> HttpResponse:
    page = "https://developer.vonage.com/api-errors/messages"
    type_ = page if code is None else f"{page}#{code}"
    return HttpResponse(status, body=orjson.dumps({"type": type_, "title": title, "detail": "why"}))


OUTCOMES: dict[str, tuple[HttpResponse, Outcome]] = {
    "accepted": (HttpResponse(202, body=b'{"message_uuid": "u-1"}'), Accepted(("u-1",))),
    "throttled": (problem(429, "Rate Limit Hit"), Retry(Reason.THROTTLED, detail="Rate Limit Hit why")),
    "throttled by code": (problem(422, "1000"), Retry(Reason.THROTTLED, detail="1000 why")),
    "down for now": (problem(422, "1030"), Retry(Reason.PROVIDER_DOWN, detail="1030 why")),
    "wrong credentials": (problem(401, "Unauthorized"), Rejected(Reason.MISCONFIGURED, "Unauthorized why")),
    "no credit": (problem(402, "Low balance"), Rejected(Reason.NO_CREDIT, "Low balance why")),
    "wrong content": (problem(422, "Invalid params"), Rejected(Reason.INVALID_CONTENT, "Invalid params why")),
    "a code in the page's address": (
        problem(422, "Invalid sender", 1120),
        Rejected(Reason.INVALID_SENDER, "Invalid sender why"),
    ),
    "a code as the title": (problem(422, "1170"), Rejected(Reason.UNKNOWN_RECIPIENT, "1170 why")),
    "something new": (problem(409, "Conflict"), Rejected(Reason.PROVIDER_REFUSED, "Conflict why")),
}


@pytest.mark.parametrize(("response", "outcome"), OUTCOMES.values(), ids=OUTCOMES)
def test_an_answer_means(response: HttpResponse, outcome: Outcome) -> None:
    assert an_account(VonageSms).outcome(response) == outcome


CODES = {  # Vonage's numbers, in an answer and in a status
    Reason.THROTTLED: (1000,),
    Reason.INVALID_CONTENT: (1010, 1020, 1022, 1130),
    Reason.PROVIDER_DOWN: (1030, 1100, 1230),
    Reason.BLOCKED: (1050, 1240),
    Reason.NO_CREDIT: (1070,),
    Reason.INVALID_SENDER: (1120,),
    Reason.UNKNOWN_RECIPIENT: (1170, 1190, 1300),
    Reason.UNDELIVERABLE: (1180, 1220, 1260),
    Reason.CONTENT_UNFIT: (1310,),
    Reason.PROVIDER_REFUSED: (1320, 1340),
    Reason.EXPIRED_AT_PROVIDER: (1360,),
}


@pytest.mark.parametrize(("code", "reason"), [(code, reason) for reason, codes in CODES.items() for code in codes])
def test_each_number_has_its_meaning(code: int, reason: Reason) -> None:
    outcome = an_account(VonageSms).outcome(problem(422, str(code)))
    passes = reason in (Reason.THROTTLED, Reason.PROVIDER_DOWN)
    assert outcome == (Retry(reason, None, f"{code} why") if passes else Rejected(reason, f"{code} why"))
    for word in ("rejected", "undeliverable"):
        call = a_call(status(word, error={"title": code, "detail": "why"}))
        assert an_account(VonageSms).hear(call).receipts == failed(reason, f"{code} why")


@pytest.mark.parametrize("how_old_s", [-110, 0, 890])
def test_a_token_is_believed_for_a_quarter_of_an_hour_and_two_minutes_ahead(how_old_s: int) -> None:
    call = a_call(status("delivered"), iat=int(time.time()) - how_old_s)
    assert len(an_account(VonageSms).hear(call).receipts) == 1


@pytest.mark.parametrize("how_old_s", [-130, 910])
def test_a_token_of_another_time_is_not(how_old_s: int) -> None:
    with pytest.raises(ForgedCallbackError):
        an_account(VonageSms).hear(a_call(status("delivered"), iat=int(time.time()) - how_old_s))


def a_call(body: Any, **claims: Any) -> Callback:
    raw = orjson.dumps(body)
    said = {"iat": int(time.time()), "payload_hash": hashlib.sha256(raw).hexdigest()} | claims
    token = jwt.encode(said, SECRET, algorithm="HS256")
    return Callback("POST", URL, {"authorization": f"Bearer {token}"}, raw)


def status(word: str, **more: Any) -> dict[str, Any]:
    return {"message_uuid": "u-1", "to": "380501112233", "from": "Shop", "status": word, "channel": "rcs"} | more


def failed(reason: Reason, detail: str) -> list[Receipt]:
    return [Receipt("u-1", ReceiptState.FAILED, reason, detail, "380501112233")]


STATUSES: dict[str, tuple[dict[str, Any], list[Receipt]]] = {
    "delivered": (status("delivered"), [Receipt("u-1", ReceiptState.DELIVERED, recipient="380501112233")]),
    "read": (status("read"), [Receipt("u-1", ReceiptState.READ, recipient="380501112233")]),
    "submitted: nothing yet": (status("submitted"), []),
    "not on the network": (
        status("rejected", error={"title": 1300, "detail": "Not a user"}),
        failed(Reason.UNKNOWN_RECIPIENT, "1300 Not a user"),
    ),
    "its time to live ran out": (
        status("rejected", error={"title": "1360", "detail": "expired"}),
        failed(Reason.EXPIRED_AT_PROVIDER, "1360 expired"),
    ),
    "an error without a number": (
        status("rejected", error={"title": "Spam", "detail": "no"}),
        failed(Reason.PROVIDER_REFUSED, "rejected no"),
    ),
    "no error at all": (status("undeliverable"), failed(Reason.UNDELIVERABLE, "undeliverable")),
    "a phone in the wording": (
        status("rejected", error={"title": "1170", "detail": "+380501112233 is none"}),
        failed(Reason.UNKNOWN_RECIPIENT, "1170 *** is none"),
    ),
}


@pytest.mark.parametrize(("said", "receipts"), STATUSES.values(), ids=STATUSES)
def test_a_status_means(said: dict[str, Any], receipts: list[Receipt]) -> None:
    assert an_account(VonageRcs).hear(a_call(said)).receipts == (receipts or ())


def test_an_unknown_status_is_logged_and_guessed_at_by_nobody() -> None:
    with capture_logs() as lines:
        heard = an_account(VonageRcs).hear(a_call(status("pondered")))
    assert not heard.receipts
    assert [line["event_name"] for line in lines] == ["pondered"]


PERSON = {"message_uuid": "in-1", "from": "380501112233", "to": "Shop", "channel": "rcs"}
TAP = f"{MESSAGE_ID.hex()}_1"
SAID: dict[str, tuple[dict[str, Any], Inbound]] = {
    "a text": (
        PERSON | {"message_type": "text", "text": "STOP"},
        Inbound("in-1", InboundKind.TEXT, "380501112233", "STOP"),
    ),
    "an option": (
        PERSON | {"message_type": "reply", "reply": {"id": TAP, "title": "Bad"}},
        Inbound("in-1", InboundKind.TAP, "380501112233", "Bad", f"{MESSAGE_ID.hex()}:1"),
    ),
    "a button": (
        PERSON | {"message_type": "button", "button": {"payload": "open", "text": "Open"}},
        Inbound("in-1", InboundKind.TAP, "380501112233", "Open", "open"),
    ),
    "a picture": (
        PERSON | {"message_type": "image", "image": {"url": IMAGE}},
        Inbound("in-1", InboundKind.TEXT, "380501112233", IMAGE),
    ),
    "a place": (
        PERSON | {"message_type": "location", "location": {"lat": 50.45, "long": 30.52}},
        Inbound("in-1", InboundKind.TEXT, "380501112233", "50.45,30.52"),
    ),
}


@pytest.mark.parametrize(("said", "inbound"), SAID.values(), ids=SAID)
def test_a_person_says(said: dict[str, Any], inbound: Inbound) -> None:
    assert an_account(VonageRcs).hear(a_call(said)).inbound == [inbound]


FORGED = {
    "too old": a_call(status("delivered"), iat=int(time.time()) - 1_000),
    "another body's digest": a_call(status("delivered"), payload_hash="0" * 64),
    "no time": a_call(status("delivered"), iat="now"),
}


@pytest.mark.parametrize("call", FORGED.values(), ids=FORGED)
def test_a_forged_webhook_is_refused(call: Callback) -> None:
    with pytest.raises(ForgedCallbackError):
        an_account(VonageRcs).hear(call)


@pytest.mark.parametrize("said", [{}, [], {"status": "delivered"}, {**PERSON, "message_type": "reply"}])
def test_a_malformed_webhook_is_refused(said: Any) -> None:
    with pytest.raises(MalformedCallbackError):
        an_account(VonageRcs).hear(a_call(said))


def test_it_is_taken_back_on_the_host_of_its_region() -> None:
    account = an_account(VonageRcs, region_url="https://api-ap.nexmo.com/")
    request = account.revocation_request(Sent(MESSAGE_ID, 1, 0, PHONE, ("u-1",)))
    assert isinstance(request, HttpRequest)
    assert (request.method, request.url) == ("PATCH", "https://api-ap.nexmo.com/v1/messages/u-1")
    assert request.json == {"status": "revoked"}


@pytest.mark.parametrize(
    ("code", "revocation"), [(200, Revocation.WITHDRAWN), (404, Revocation.UNKNOWN), (422, Revocation.UNKNOWN)]
)
def test_whether_it_was_taken_back(code: int, revocation: Revocation) -> None:
    assert an_account(VonageRcs).revocation(HttpResponse(code)) is revocation
