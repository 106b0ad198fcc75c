"""What an upstream account at SMSBAT is asked, what its answers and its webhook mean, and who is believed."""

from typing import Any

import orjson
import pytest

from cascade.channels.base import Callback
from cascade.channels.http import HttpRequest, HttpResponse
from cascade.channels.smsbat import Smsbat, SmsbatRcs, SmsbatSms, SmsbatViber, fitting
from cascade.core.attempt import Accepted, Attempt, Outcome, Rejected, Retry
from cascade.core.content import Button, Content, Media
from cascade.core.errors import ForgedCallbackError, MalformedCallbackError
from cascade.core.receipt import Receipt, ReceiptState
from cascade.core.secret import Secret
from cascade.core.words import MessageType, Reason

KEY, SECRET = "key-of-acme", "s3cret-path"
PHONE = "+380501112233"
IMAGE = "https://cdn.example/sale.jpg"
VIDEO = "https://cdn.example/sale.mp4"
PDF = "https://cdn.example/terms.pdf"
PAGE = "https://shop.example"
OPEN = Button("Open", PAGE)
VIBER, RCS, SMS = (
    adapter(Secret(KEY), Secret(SECRET), {"Shop": "Acme"}) for adapter in (SmsbatViber, SmsbatRcs, SmsbatSms)
)
PROMO, TRANSACTION = MessageType.PROMO, MessageType.TRANSACTION


def asked(account: Smsbat, content: Content, type_: MessageType = PROMO) -> dict[str, Any]:
    request = account.request(Attempt(1, b"m" * 16, 3, PHONE, "Shop", type_, content, window_s=60))
    assert isinstance(request, HttpRequest)
    (message,) = request.json["messages"]
    return dict(message)


def test_a_message_is_asked_for() -> None:
    request = SMS.request(Attempt(1, b"m" * 16, 3, PHONE, "Shop", PROMO, Content("Привіт"), window_s=60))
    assert isinstance(request, HttpRequest)
    assert (request.method, request.url) == ("POST", "https://restapi.smsbat.com/bat/messagelist")
    assert request.headers["X-Authorization-Key"] == KEY
    assert request.json == {
        "messages": [
            {
                "from": "Acme",
                "to": PHONE,
                "ttl": 60,
                "type": "sms",
                "text": "Привіт",
                "customerMessageId": f"{(b'm' * 16).hex()}-3",
            }
        ]
    }


PICTURE = Media(image=IMAGE)
FILM = Media(video=VIDEO, thumbnail=IMAGE, size_bytes=1_000_000, duration_s=20)
SHOWN: dict[str, tuple[Smsbat, MessageType, Content, dict[str, Any]]] = {
    "Viber: a transaction": (VIBER, TRANSACTION, Content("Code 1"), {"type": "viber_trans", "text": "Code 1"}),
    "Viber: a transaction with a PDF": (
        VIBER, TRANSACTION, Content("Bill", media=Media(file=PDF)),
        {"type": "viber_trans", "text": "Bill",
         "messageData": {"fileUrl": PDF, "fileName": "terms.pdf", "fileType": "pdf"}},
    ),
    "Viber: a transaction has no picture": (
        VIBER, TRANSACTION, Content("Bill", media=PICTURE), {"type": "viber_trans", "text": f"Bill\n{IMAGE}"},
    ),
    "Viber: a picture and a button": (
        VIBER, PROMO, Content("Sale", media=PICTURE, buttons=(OPEN,)),
        {"type": "viber_promo", "text": "Sale",
         "messageData": {"img": IMAGE, "buttonText": "Open", "buttonAction": PAGE}},
    ),
    "Viber: a picture alone": (
        VIBER, PROMO, Content("", media=PICTURE), {"type": "viber_promo", "messageData": {"img": IMAGE}},
    ),
    "Viber: a video": (
        VIBER, PROMO, Content("Sale", media=FILM),
        {"type": "viber_promo", "text": "Sale",
         "messageData": {"video": VIDEO, "thumbnail": IMAGE, "fileSize": 1_000_000, "duration": 20}},
    ),
    "Viber: a video of unknown size": (
        VIBER, PROMO, Content("Sale", media=Media(video=VIDEO)), {"type": "viber_promo", "text": f"Sale\n{VIDEO}"},
    ),
    "Viber: two buttons": (
        VIBER, PROMO, Content("Sale", buttons=(OPEN, OPEN)),
        {"type": "viber_promo", "text": f"Sale Open: {PAGE} Open: {PAGE}"},
    ),
    "Viber: a survey": (
        VIBER, MessageType.VIBER_SURVEY, Content("So?", options=("Yes", "No")),
        {"type": "viber_survey", "text": "So?", "messageData": {"survey": {"options": ["Yes", "No"]}}},
    ),
    "RCS: a picture and a button": (
        RCS, PROMO, Content("Sale", media=PICTURE, buttons=(OPEN,)),
        {"type": "rcs", "text": "Sale", "messageData": {
            "media": {"url": IMAGE, "type": "image/jpeg"},
            "buttons": [{"text": "Open", "action": {"type": "openUrl", "url": PAGE}}]}},
    ),
    "RCS: a survey is numbered lines": (
        RCS, MessageType.VIBER_SURVEY, Content("So?", options=("Yes", "No")),
        {"type": "rcs", "text": "So?\n1. Yes\n2. No"},
    ),
    "RCS: five buttons": (
        RCS, PROMO, Content("Sale", buttons=(OPEN,) * 5), {"type": "rcs", "text": "Sale" + f" Open: {PAGE}" * 5},
    ),
    "SMS: everything is text": (
        SMS, PROMO, Content("Sale", media=PICTURE, buttons=(OPEN,)),
        {"type": "sms", "text": f"Sale\n{IMAGE} Open: {PAGE}"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("account", "type_", "content", "shown"), SHOWN.values(), ids=SHOWN)
def test_a_phone_shows(account: Smsbat, type_: MessageType, content: Content, shown: dict[str, Any]) -> None:
    message = asked(account, content, type_)
    assert {name: message[name] for name in ("type", "text", "messageData") if name in message} == shown
    preview = fitting(type(account), content, type_)
    assert preview is not None
    assert preview.text == shown.get("text", "")


UNFIT = {
    "a flash call": (SMS, MessageType.FLASHCALL, Content("")),
    "Viber: too long": (VIBER, PROMO, Content("x" * 1001)),
    "Viber: nothing": (VIBER, PROMO, Content("")),
    "Viber: a question too long": (VIBER, MessageType.VIBER_SURVEY, Content("x" * 86, options=("a", "b"))),
    "RCS: too long": (RCS, PROMO, Content("x" * 3073)),
}


@pytest.mark.parametrize(("account", "type_", "content"), UNFIT.values(), ids=UNFIT)
def test_what_does_not_fit(account: Smsbat, type_: MessageType, content: Content) -> None:
    assert account.fits(content, type_) is Reason.CONTENT_UNFIT


AT_THE_EDGE: dict[str, tuple[Smsbat, MessageType, Content, dict[str, Any]]] = {  # what just goes, and what no longer
    "Viber: 1,000 signs": (VIBER, PROMO, Content("x" * 1_000), {"type": "viber_promo"}),
    "Viber: a question of 85 signs": (
        VIBER,
        MessageType.VIBER_SURVEY,
        Content("x" * 85, options=("a", "b")),
        {"type": "viber_survey", "messageData": {"survey": {"options": ["a", "b"]}}},
    ),
    "Viber: a button of 30 signs": (
        VIBER,
        PROMO,
        Content("Sale", buttons=(Button("x" * 30, PAGE),)),
        {"type": "viber_promo", "messageData": {"buttonText": "x" * 30, "buttonAction": PAGE}},
    ),
    "Viber: a button of 31 signs: a link": (
        VIBER,
        PROMO,
        Content("Sale", buttons=(Button("x" * 31, PAGE),)),
        {"type": "viber_promo"},
    ),
    "RCS: 3,072 signs": (RCS, PROMO, Content("x" * 3_072), {"type": "rcs"}),
    "RCS: four buttons of 25 signs": (
        RCS,
        PROMO,
        Content("Sale", buttons=(Button("x" * 25, PAGE),) * 4),
        {
            "type": "rcs",
            "messageData": {"buttons": [{"text": "x" * 25, "action": {"type": "openUrl", "url": PAGE}}] * 4},
        },
    ),
    "RCS: a button of 26 signs: a link": (
        RCS,
        PROMO,
        Content("Sale", buttons=(Button("x" * 26, PAGE),)),
        {"type": "rcs"},
    ),
}


@pytest.mark.parametrize(("account", "type_", "content", "shown"), AT_THE_EDGE.values(), ids=AT_THE_EDGE)
def test_the_limits_are_smsbats(account: Smsbat, type_: MessageType, content: Content, shown: dict[str, Any]) -> None:
    message = asked(account, content, type_)
    assert {name: message[name] for name in ("type", "messageData") if name in message} == shown


MIME = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "mp4": "video/mp4",
    "pdf": "application/pdf",
}


@pytest.mark.parametrize(("ending", "kind"), MIME.items())
def test_rcs_is_told_what_a_file_is(ending: str, kind: str) -> None:
    url = f"https://cdn.example/a.{ending.upper()}?v=1"
    assert asked(RCS, Content("Sale", media=Media(image=url)), PROMO)["messageData"] == {
        "media": {"url": url, "type": kind}
    }


def answer(status: int, body: Any) -> HttpResponse:
    return HttpResponse(status, body=orjson.dumps(body))


def refusal(status: int, code: str) -> HttpResponse:
    return answer(status, {"error": {"code": code, "message": "said"}})


ANSWERS: dict[str, tuple[HttpResponse, Outcome]] = {
    "accepted": (
        answer(200, {"messagelistId": 1, "messages": [{"messageId": "77", "status": "accepted"}]}), Accepted(("77",)),
    ),
    "rejected": (
        answer(200, {"messages": [{"messageId": "77", "status": "rejected"}]}),
        Rejected(Reason.PROVIDER_REFUSED, "rejected"),
    ),
    "failed": (
        answer(200, {"messages": [{"messageId": "77", "status": "failed"}]}),
        Rejected(Reason.PROVIDER_REFUSED, "failed"),
    ),
    "a bad phone": (
        refusal(400, "INVALID_RECIPIENT"), Rejected(Reason.UNKNOWN_RECIPIENT, "INVALID_RECIPIENT said"),
    ),
    "a bad key": (refusal(401, "UNAUTHORIZED"), Rejected(Reason.MISCONFIGURED, "UNAUTHORIZED said")),
    "no money": (refusal(402, "X"), Rejected(Reason.NO_CREDIT, "X said")),
    "too many": (refusal(429, "RATE_LIMITED"), Retry(Reason.THROTTLED, None, "RATE_LIMITED said")),
    "a code of tomorrow": (refusal(400, "X"), Rejected(Reason.PROVIDER_REFUSED, "X said")),
}  # fmt: skip


@pytest.mark.parametrize(("response", "outcome"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_means(response: HttpResponse, outcome: Outcome) -> None:
    assert VIBER.outcome(response) == outcome


CODES = {
    Reason.UNKNOWN_RECIPIENT: ("INVALID_RECIPIENT", "INVALID_PHONE"),
    Reason.INVALID_SENDER: ("INVALID_SENDER",),
    Reason.NO_CREDIT: ("INSUFFICIENT_FUNDS", "INSUFFICIENT_BALANCE"),
    Reason.INVALID_CONTENT: ("TEXT_TOO_LONG", "TEXT_REQUIRED"),
}


@pytest.mark.parametrize(("code", "reason"), [(code, reason) for reason, codes in CODES.items() for code in codes])
def test_each_code_has_its_meaning(code: str, reason: Reason) -> None:
    assert VIBER.outcome(refusal(400, code)) == Rejected(reason, f"{code} said")


def call(body: Any, tail: str = SECRET) -> Callback:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return Callback("POST", f"https://gateway.example/callbacks/sms.smsbat/{tail}", {}, raw, tail=tail)


RECEIPTS: dict[str, list[Receipt]] = {
    "delivered": [Receipt("77", ReceiptState.DELIVERED)],
    "undeliverable": [Receipt("77", ReceiptState.FAILED, Reason.UNDELIVERABLE)],
    "permanenterror": [Receipt("77", ReceiptState.FAILED, Reason.PROVIDER_REFUSED)],
    "scheduled": [],
    "processing": [],
    "teleported": [],
}


@pytest.mark.parametrize(("status", "receipts"), RECEIPTS.items())
def test_a_status_is_a_receipt(status: str, receipts: list[Receipt]) -> None:
    assert list(SMS.hear(call({"messageId": "77", "deliverystatus": status, "cost": 0.05})).receipts) == receipts


@pytest.mark.parametrize("tail", ["", "other", SECRET + "/x", "підпис"])
def test_a_call_without_the_secret_is_refused(tail: str) -> None:
    with pytest.raises(ForgedCallbackError):
        SMS.hear(call({"messageId": "77", "deliverystatus": "delivered"}, tail))


MALFORMED = [b"{", [], {"messageId": "77"}, {"deliverystatus": "delivered"}, {"messageId": [], "deliverystatus": "x"}]


@pytest.mark.parametrize("body", MALFORMED)
def test_a_malformed_call_is_refused(body: Any) -> None:
    with pytest.raises(MalformedCallbackError):
        SMS.hear(call(body))


def test_no_secret_is_shown() -> None:
    assert KEY not in repr(SMS)
    assert SECRET not in repr(SMS)
