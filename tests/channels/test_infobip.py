"""What Infobip is asked, what its answers and reports mean, and who is believed. Judged by Infobip's own models."""

from dataclasses import replace
from typing import Any, TypeVar

import orjson
import pytest
from infobip_api_client import models as judge
from structlog.testing import capture_logs

from cascade.channels.base import Callback
from cascade.channels.http import HttpResponse
from cascade.channels.infobip import Infobip, InfobipRcs, InfobipSms, InfobipViber
from cascade.core.attempt import Accepted, Attempt, Outcome, Rejected, Retry
from cascade.core.content import Button, Content, Media
from cascade.core.errors import ForgedCallbackError, MalformedCallbackError
from cascade.core.inbound import Inbound, InboundKind
from cascade.core.receipt import Receipt, ReceiptState
from cascade.core.secret import Secret
from cascade.core.words import MessageType, Reason

BASE = "https://acme.api.infobip.com"
URL = "https://gateway.example/callbacks/viber_business.infobip"
SECRET = "end-of-path"
PHONE = "+380501112233"
MESSAGE_ID = bytes(range(16))
OURS = f"{MESSAGE_ID.hex()}-3"
IMAGE, PREVIEW = "https://cdn.example/sale.jpg", "https://cdn.example/small.png"
VIDEO, FILE = "https://cdn.example/sale.mp4", "https://cdn.example/terms.pdf"
PAGE = "https://shop.example/sale"
OPEN = Button("Open", PAGE)
FILM = Media(video=VIDEO, thumbnail=PREVIEW, duration_s=12)
QUESTION = Content("How was it?", options=("Good", "Bad"))
PROMO, PLAIN, SURVEY = MessageType.PROMO, MessageType.TRANSACTION, MessageType.VIBER_SURVEY

AnAdapter = TypeVar("AnAdapter", bound=Infobip)


def an_account(adapter: type[AnAdapter], **settings: Any) -> AnAdapter:
    return adapter(BASE, Secret("key"), Secret(SECRET), **{"callback_url": URL, **settings})


def an_attempt(content: Content, type_: MessageType = PROMO, window_s: int = 60) -> Attempt:
    return Attempt(1, MESSAGE_ID, 7, PHONE, "Shop", type_, content, window_s=window_s, step=3)


BUTTON = judge.ViberButton(title="Open", action=PAGE)
VIBER: dict[str, tuple[MessageType, Content, Any, str]] = {  # content, its judge, label
    "a transaction": (
        PLAIN,
        Content("Код 1"),
        judge.ViberOutboundTextContent(type="TEXT", text="Код 1"),
        "TRANSACTIONAL",
    ),
    "a transaction with a picture: a link": (
        PLAIN,
        Content("Paid", media=Media(image=IMAGE)),
        judge.ViberOutboundTextContent(type="TEXT", text=f"Paid\n{IMAGE}"),
        "TRANSACTIONAL",
    ),
    "a text with a button": (
        PROMO,
        Content("Sale", buttons=(OPEN,)),
        judge.ViberOutboundTextContent(type="TEXT", text="Sale", button=BUTTON),
        "PROMOTIONAL",
    ),
    "two buttons: links": (
        PROMO,
        Content("Sale", buttons=(OPEN, OPEN)),
        judge.ViberOutboundTextContent(type="TEXT", text=f"Sale Open: {PAGE} Open: {PAGE}"),
        "PROMOTIONAL",
    ),
    "a picture with a button": (
        PROMO,
        Content("Sale", media=Media(image=IMAGE), buttons=(OPEN,)),
        judge.ViberOutboundImageContent(type="IMAGE", mediaUrl=IMAGE, text="Sale", button=BUTTON),
        "PROMOTIONAL",
    ),
    "a video with a button": (
        PROMO,
        Content("Sale", media=FILM, buttons=(OPEN,)),
        judge.ViberOutboundVideoContent(
            type="VIDEO", mediaUrl=VIDEO, mediaDuration="PT12S", thumbnailUrl=PREVIEW, text="Sale", button=BUTTON
        ),
        "PROMOTIONAL",
    ),
    "a video of unknown length: a link": (
        PROMO,
        Content("Sale", media=replace(FILM, duration_s=None)),
        judge.ViberOutboundTextContent(type="TEXT", text=f"Sale\n{VIDEO}"),
        "PROMOTIONAL",
    ),
    "a file": (
        PLAIN,
        Content("", media=Media(file=FILE)),
        judge.ViberOutboundFileContent(type="FILE", mediaUrl=FILE, fileName="terms.pdf"),
        "TRANSACTIONAL",
    ),
    "a survey": (
        SURVEY,
        QUESTION,
        judge.ViberOutboundListContent(type="LIST", text="How was it?", options=["Good", "Bad"]),
        "PROMOTIONAL",
    ),
    "a survey with a long option: numbered lines": (
        SURVEY,
        Content("How was it?", options=("x" * 51, "Bad")),
        judge.ViberOutboundTextContent(type="TEXT", text=f"How was it?\n1. {'x' * 51}\n2. Bad"),
        "PROMOTIONAL",
    ),
}


@pytest.mark.parametrize(("type_", "content", "expected", "label"), VIBER.values(), ids=VIBER)
def test_a_viber_message_is_asked_for(type_: MessageType, content: Content, expected: Any, label: str) -> None:
    account = an_account(InfobipViber)
    assert account.fits(content, type_) is None
    request = account.request(an_attempt(content, type_))
    assert (request.method, request.url) == ("POST", f"{BASE}/viber/2/messages")
    assert request.headers["Authorization"] == "App key"
    address = f"{URL}/{SECRET}"
    message = judge.ViberMessage(
        sender="Shop",
        destinations=[judge.ViberToDestination(to="380501112233", messageId=OURS)],
        content=expected,
        options=judge.ViberMessageOptions(
            validityPeriod=judge.ValidityPeriod(amount=60, timeUnit=judge.ValidityPeriodTimeUnit.SECONDS),
            label=judge.ViberLabel(label),
            trackingData=MESSAGE_ID.hex(),
        ),
        webhooks=judge.ViberWebhooks(
            delivery=judge.ViberMessageDeliveryReporting(url=address),
            seen=judge.ViberSeenStatusReporting(url=address),
            contentType="application/json",
        ),
    )
    tracking = judge.UrlOptions(shortenUrl=False, trackClicks=False)
    whole = judge.ViberRequest(messages=[message], options=judge.ViberDefaultMessageRequestOptions(tracking=tracking))
    assert without_defaults(request.json) == without_defaults(orjson.loads(whole.to_json()))


def without_defaults(body: Any) -> Any:
    """The models write out what the server would take for granted."""
    if isinstance(body, list):
        return [without_defaults(each) for each in body]
    if not isinstance(body, dict):
        return body
    defaults = {"showImageInFullScreen": False, "removeProtocol": False}
    return {name: without_defaults(value) for name, value in body.items() if (name, value) not in defaults.items()}


def test_an_sms_is_asked_for() -> None:
    request = an_account(InfobipSms).request(an_attempt(Content("Sale", media=Media(image=IMAGE), buttons=(OPEN,))))
    assert request.url == f"{BASE}/sms/3/messages"
    message = judge.SmsMessage(
        sender="Shop",
        destinations=[judge.SmsDestination(to="380501112233", messageId=OURS)],
        content=judge.SmsMessageContent(judge.SmsTextContent(text=f"Sale\n{IMAGE} Open: {PAGE}")),
        options=judge.SmsMessageOptions(
            validityPeriod=judge.ValidityPeriod(amount=60, timeUnit=judge.ValidityPeriodTimeUnit.SECONDS)
        ),
        webhooks=judge.SmsWebhooks(
            delivery=judge.SmsMessageDeliveryReporting(url=f"{URL}/{SECRET}"), contentType="application/json"
        ),
    )
    whole = judge.SmsRequest(
        messages=[message],
        options=judge.SmsMessageRequestOptions(tracking=judge.UrlOptions(shortenUrl=False, trackClicks=False)),
    )
    expected = orjson.loads(whole.to_json())
    expected["options"].pop("includeSmsCountInResponse", None)
    assert without_defaults(request.json) == without_defaults(expected)


REPLIES = [
    {"type": "REPLY", "text": text, "postbackData": f"{MESSAGE_ID.hex()}_{place}"}
    for place, text in enumerate(("Good", "Bad"))
]
OPENS = {"type": "OPEN_URL", "text": "Open", "postbackData": "open", "url": PAGE}
RCS: dict[str, tuple[MessageType, Content, dict[str, Any]]] = {
    "a text with a button": (
        PROMO,
        Content("Sale", buttons=(OPEN,)),
        {"type": "TEXT", "text": "Sale", "suggestions": [OPENS]},
    ),
    "a survey": (SURVEY, QUESTION, {"type": "TEXT", "text": "How was it?", "suggestions": REPLIES}),
    "a video and a button are a card": (
        PROMO,
        Content("Sale", media=FILM, buttons=(OPEN,)),
        {
            "type": "CARD",
            "orientation": "VERTICAL",
            "alignment": "LEFT",
            "content": {
                "description": "Sale",
                "media": {"file": {"url": VIDEO}, "thumbnail": {"url": PREVIEW}, "height": "MEDIUM"},
                "suggestions": [OPENS],
            },
        },
    ),
    "a file": (PLAIN, Content("", media=Media(file=FILE)), {"type": "FILE", "file": {"url": FILE}}),
    "a file with a text: a link": (
        PLAIN,
        Content("Terms", media=Media(file=FILE)),
        {"type": "TEXT", "text": f"Terms\n{FILE}"},
    ),
    "a button's label too long for a chip": (
        PROMO,
        Content("Sale", buttons=(Button("x" * 26, PAGE),)),
        {"type": "TEXT", "text": "Sale", "suggestions": [OPENS | {"text": "x" * 24 + "…"}]},
    ),
}


@pytest.mark.parametrize(("type_", "content", "expected"), RCS.values(), ids=RCS)
def test_an_rcs_message_is_asked_for(type_: MessageType, content: Content, expected: dict[str, Any]) -> None:
    account = an_account(InfobipRcs)
    assert account.fits(content, type_) is None
    request = account.request(an_attempt(content, type_))
    assert request.url == f"{BASE}/rcs/2/messages"
    assert request.json["messages"][0]["content"] == expected


UNFIT: dict[str, tuple[type[Infobip], Content]] = {
    "Viber: over 1,000 characters": (InfobipViber, Content("x" * 1001)),
    "Viber: a survey too long even as lines": (InfobipViber, Content("?", options=("x" * 999, "y"))),
    "RCS: nothing": (InfobipRcs, Content("")),
    "SMS: over 4,000 bytes": (InfobipSms, Content("я" * 2001)),
}


@pytest.mark.parametrize(("adapter", "content"), UNFIT.values(), ids=UNFIT)
def test_it_does_not_fit(adapter: type[Infobip], content: Content) -> None:
    assert an_account(adapter).fits(content, PROMO) is Reason.CONTENT_UNFIT


def test_a_repeat_has_the_same_id_and_another_step_another() -> None:
    account = an_account(InfobipSms)

    def id_of(attempt: Attempt) -> Any:
        return account.request(attempt).json["messages"][0]["destinations"][0]["messageId"]

    attempt = an_attempt(Content("hi"))
    assert id_of(replace(attempt, number=8)) == id_of(attempt)
    assert id_of(replace(attempt, step=4)) != id_of(attempt)


def test_without_an_address_of_ours_nobody_is_told_where_to_call() -> None:
    request = an_account(InfobipSms, callback_url=None).request(an_attempt(Content("hi"), window_s=10**6))
    assert "webhooks" not in request.json["messages"][0]
    assert request.json["messages"][0]["options"]["validityPeriod"]["amount"] == 172_800


def a_status(group: str, name: str) -> dict[str, Any]:
    return {"groupId": 1, "groupName": group, "id": 1, "name": name, "description": "why"}


def taken(group: str, name: str) -> HttpResponse:
    message = {"messageId": OURS, "destination": "380501112233", "status": a_status(group, name)}
    return HttpResponse(200, body=orjson.dumps({"bulkId": "b", "messages": [message]}))


def problem(status: int, code: str) -> HttpResponse:
    return HttpResponse(status, body=orjson.dumps({"errorCode": code, "description": "why"}))


OLDER = {"requestError": {"serviceException": {"messageId": "UNAUTHORIZED", "text": "Invalid login details"}}}
OUTCOMES: dict[str, tuple[HttpResponse, Outcome]] = {
    "accepted": (taken("PENDING", "PENDING_ACCEPTED"), Accepted((OURS,))),
    "accepted before: a repeat": (taken("REJECTED", "REJECTED_DUPLICATE_MESSAGE_ID"), Accepted((OURS,))),
    "no such person": (
        taken("REJECTED", "REJECTED_PREFIX_MISSING"),
        Rejected(Reason.UNKNOWN_RECIPIENT, "REJECTED_PREFIX_MISSING why"),
    ),
    "no credit": (
        taken("REJECTED", "REJECTED_NOT_ENOUGH_CREDITS"),
        Rejected(Reason.NO_CREDIT, "REJECTED_NOT_ENOUGH_CREDITS why"),
    ),
    "refused for something new": (
        taken("REJECTED", "REJECTED_MOON"),
        Rejected(Reason.PROVIDER_REFUSED, "REJECTED_MOON why"),
    ),
    "throttled": (problem(429, "E429"), Retry(Reason.THROTTLED, None, "E429 why")),
    "wrong content": (problem(400, "E400"), Rejected(Reason.INVALID_CONTENT, "E400 why")),
    "wrong key, in older words": (
        HttpResponse(401, body=orjson.dumps(OLDER)),
        Rejected(Reason.MISCONFIGURED, "UNAUTHORIZED Invalid login details"),
    ),
    "something new": (problem(418, "E418"), Rejected(Reason.PROVIDER_REFUSED, "E418 why")),
}


@pytest.mark.parametrize(("response", "outcome"), OUTCOMES.values(), ids=OUTCOMES)
def test_an_answer_means(response: HttpResponse, outcome: Outcome) -> None:
    assert an_account(InfobipSms).outcome(response) == outcome


def a_call(*results: Any, tail: str = SECRET) -> Callback:
    return Callback("POST", f"{URL}/{tail}", {}, orjson.dumps({"results": results}), tail=tail)


def a_report(group: str, name: str, error: str | None = None) -> dict[str, Any]:
    report: dict[str, Any] = {
        "bulkId": "b",
        "messageId": OURS,
        "to": "380501112233",
        "sender": "Shop",
        "sentAt": "2026-11-24T12:00:00.000+0000",
        "doneAt": "2026-11-24T12:00:01.000+0000",
        "messageCount": 1,
        "price": {"pricePerMessage": 0.02, "currency": "EUR"},
        "status": a_status(group, name),
    }
    if error is not None:
        report["error"] = a_status("USER_ERRORS", error) | {"permanent": True}
    return report


def failed(reason: Reason, detail: str) -> list[Receipt]:
    return [Receipt(OURS, ReceiptState.FAILED, reason, detail, "380501112233")]


REPORTS: dict[str, tuple[dict[str, Any], list[Receipt]]] = {
    "delivered": (
        a_report("DELIVERED", "DELIVERED_TO_HANDSET", "NO_ERROR"),
        [Receipt(OURS, ReceiptState.DELIVERED, recipient="380501112233")],
    ),
    "delivered to the operator: not yet": (a_report("DELIVERED", "DELIVERED_TO_OPERATOR"), []),
    "on its way": (a_report("PENDING", "PENDING_ENROUTE"), []),
    "expired": (
        a_report("EXPIRED", "EXPIRED_EXPIRED"),
        failed(Reason.EXPIRED_AT_PROVIDER, "EXPIRED_EXPIRED"),
    ),
    "not a user: the error says more than the status": (
        a_report("UNDELIVERABLE", "UNDELIVERABLE_NOT_DELIVERED", "EC_UNKNOWN_USER"),
        failed(Reason.UNKNOWN_RECIPIENT, "UNDELIVERABLE_NOT_DELIVERED EC_UNKNOWN_USER"),
    ),
    "no error of its own": (
        a_report("REJECTED", "REJECTED_DND", "NO_ERROR"),
        failed(Reason.BLOCKED, "REJECTED_DND NO_ERROR"),
    ),
    "an expiry of a new name": (
        a_report("EXPIRED", "EXPIRED_MOON"),
        failed(Reason.EXPIRED_AT_PROVIDER, "EXPIRED_MOON"),
    ),
    "seen": (
        {"messageId": OURS, "from": "Shop", "to": "380501112233", "seenAt": "2026-11-24T12:00:02.000+0000"},
        [Receipt(OURS, ReceiptState.READ, recipient="380501112233")],
    ),
}


@pytest.mark.parametrize(("report", "receipts"), REPORTS.values(), ids=REPORTS)
def test_a_report_means(report: dict[str, Any], receipts: list[Receipt]) -> None:
    if "status" in report:
        judge.ViberWebhookReport.from_dict(report)
    assert an_account(InfobipViber).hear(a_call(report)).receipts == receipts


WORDS = {  # Infobip's names of statuses and of errors
    Reason.UNKNOWN_RECIPIENT: (
        *("REJECTED_PREFIX_MISSING", "REJECTED_DESTINATION", "MISSING_TO"),
        *("EC_UNKNOWN_SUBSCRIBER", "EC_UNKNOWN_USER", "EC_UNIDENTIFIED_SUBSCRIBER"),
    ),
    Reason.BLOCKED: (
        *("REJECTED_DND", "REJECTED_DESTINATION_BLOCKLISTED"),
        *("EC_ILLEGAL_SUBSCRIBER", "EC_CALL_BARRED", "EC_USER_BLOCKED"),
    ),
    Reason.INVALID_SENDER: ("REJECTED_SOURCE", "REJECTED_SENDER"),
    Reason.NO_CREDIT: ("REJECTED_NOT_ENOUGH_CREDITS", "REJECTED_PREPAID_PACKAGE_EXPIRED"),
    Reason.MISCONFIGURED: (
        *("REJECTED_DESTINATION_NOT_REGISTERED", "REJECTED_ROUTE_NOT_AVAILABLE"),
        *("EC_ACCOUNT_ISSUE", "EC_CONFIGURATION_ERROR", "EC_SERVICE_NOT_ACTIVATED"),
    ),
    Reason.INVALID_CONTENT: (
        *("REJECTED_MESSAGE_TOO_LONG", "REJECTED_INVALID_UDH", "EC_BAD_REQUEST", "EC_BLOCKED_CONTENT"),
        *("EC_MEDIA_UNSUPPORTED", "EC_ILLEGAL_TRAFFIC_TYPE"),
    ),
    Reason.EXPIRED_AT_PROVIDER: ("EXPIRED_EXPIRED", "EXPIRED_DLR_UNKNOWN"),
    Reason.UNDELIVERABLE: (
        *("UNDELIVERABLE_NOT_DELIVERED", "UNDELIVERABLE_REJECTED_OPERATOR", "EC_ABSENT_SUBSCRIBER"),
    ),
    Reason.CONTENT_UNFIT: ("EC_UNSUPPORTED_DEVICE", "EC_UNSUPPORTED_MOBILE_APP_VERSION"),
}


@pytest.mark.parametrize(("word", "reason"), [(word, reason) for reason, words in WORDS.items() for word in words])
def test_each_word_has_its_meaning(word: str, reason: Reason) -> None:
    """Of a status, at once and later, and of an error, beside a status that says nothing."""
    account = an_account(InfobipSms)
    assert account.outcome(taken("REJECTED", word)) == Rejected(reason, f"{word} why")
    assert account.hear(a_call(a_report("REJECTED", word))).receipts == failed(reason, word)
    beside = a_report("REJECTED", "REJECTED_MOON", word)
    assert account.hear(a_call(beside)).receipts == failed(reason, f"REJECTED_MOON {word}")


@pytest.mark.parametrize("group", ["PENDING", "ACCEPTED", "OK"])
def test_what_waits_was_taken(group: str) -> None:
    account = an_account(InfobipSms)
    assert account.outcome(taken(group, "WHATEVER")) == Accepted((OURS,))
    with capture_logs() as logs:
        assert not account.hear(a_call(a_report(group, "WHATEVER"))).receipts
    assert logs == []


def test_one_call_may_hold_several_reports() -> None:
    reports = [report for report, receipts in REPORTS.values() if receipts]
    expected = [receipts[0] for _, receipts in REPORTS.values() if receipts]
    assert an_account(InfobipViber).hear(a_call(*reports)).receipts == expected


def test_an_unknown_group_is_logged_and_guessed_at_by_nobody() -> None:
    with capture_logs() as lines:
        heard = an_account(InfobipViber).hear(a_call(a_report("MOON", "MOON_LANDED")))
    assert not heard.receipts
    assert [line["event_name"] for line in lines] == ["MOON"]


PERSON = {"sender": "380501112233", "to": "Shop", "messageId": "in-1", "pairedMessageId": OURS}
SAID: dict[str, tuple[dict[str, Any], Inbound]] = {
    "a choice from a Viber list": (
        PERSON | {"message": {"type": "TEXT", "text": "Bad", "trackingData": MESSAGE_ID.hex()}},
        Inbound("in-1", InboundKind.TEXT, "380501112233", "Bad", MESSAGE_ID.hex(), OURS),
    ),
    "a Viber file": (
        PERSON | {"message": {"type": "FILE", "url": FILE, "fileName": "terms.pdf"}},
        Inbound("in-1", InboundKind.TEXT, "380501112233", FILE, reply_to=OURS),
    ),
    "an RCS chip": (
        PERSON | {"message": {"type": "SUGGESTION", "text": "Bad", "postbackData": f"{MESSAGE_ID.hex()}_1"}},
        Inbound("in-1", InboundKind.TAP, "380501112233", "Bad", f"{MESSAGE_ID.hex()}:1", OURS),
    ),
    "an SMS": (
        {"messageId": "in-1", "from": "380501112233", "to": "Shop", "text": "STOP", "cleanText": "STOP"},
        Inbound("in-1", InboundKind.TEXT, "380501112233", "STOP"),
    ),
}


@pytest.mark.parametrize(("said", "inbound"), SAID.values(), ids=SAID)
def test_a_person_says(said: dict[str, Any], inbound: Inbound) -> None:
    assert an_account(InfobipViber).hear(a_call(said)).inbound == [inbound]


def test_one_report_that_cannot_be_read_holds_up_no_other() -> None:
    """They come many at a time, and all of them again if one were refused."""
    report = {"messageId": OURS, "to": PHONE[1:], "status": {"groupName": "DELIVERED", "name": "DELIVERED_TO_HANDSET"}}
    results = [report | {"status": {"groupName": None}}, report, None, {"messageId": "in-1", "from": "1", "text": "Hi"}]
    call = replace(a_call(), body=orjson.dumps({"results": results}))
    heard = an_account(InfobipSms).hear(call)
    assert [receipt.provider_id for receipt in heard.receipts] == [OURS]
    assert [one.text for one in heard.inbound] == ["Hi"]
    assert heard.ignored == ("malformed",)


@pytest.mark.parametrize("tail", ["", "end-of-pat", "end-of-path/", "END-OF-PATH", "é"])
def test_a_path_without_the_secret_is_refused(tail: str) -> None:
    with pytest.raises(ForgedCallbackError):
        an_account(InfobipSms).hear(a_call(tail=tail))


@pytest.mark.parametrize("result", [{}, [], None, {"status": {}}, PERSON, {"messageId": 1, "seenAt": "", "to": "1"}])
def test_a_malformed_report_is_refused(result: Any) -> None:
    with pytest.raises(MalformedCallbackError):
        an_account(InfobipSms).hear(a_call(result))
