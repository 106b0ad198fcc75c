"""What the send door takes, and what it says about what it does not take (contract, section 1)."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.api.faults import ErrorCode, Fault, InvalidRequest
from cascade.api.message_in import Batch, Limits, Refused, parse_batch
from cascade.core.content import Button, Content, Media, Variant
from cascade.core.draft import Draft, Fallback, WantedStep, Wishes
from cascade.core.placeholders import Variable
from cascade.core.words import Channel, MessageType

NOW = datetime(2025, 1, 25, 8, 0, tzinfo=UTC)
NOW_MS = 1_737_792_000_000
HOUR_MS = 3_600_000
PHONE = "+380501112233"
TEXT = "Your order #12345 has been confirmed"
PLAIN = {"id": "tx-1", "fromName": "YourBrand", "toPhone": PHONE, "messageType": "transaction", "text": TEXT}
PROMO = PLAIN | {"messageType": "promo"}
SURVEY = PLAIN | {"messageType": "viber_survey", "surveyOptions": ["Yes", "No"]}
CALL = {name: value for name, value in PLAIN.items() if name != "text"} | {"messageType": "flashcall"}
IMAGE = "https://example.com/a.png"
BUTTON = {"text": "Shop", "url": "https://example.com/sale"}
ABSENT = object()


def but(message: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The message with other fields; ABSENT takes one away."""
    return {name: value for name, value in (message | fields).items() if value is not ABSENT}


def read(body: object, **limits: Any) -> Batch:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_batch(raw, route="standard", now_ms=NOW_MS, limits=Limits(**limits))


def draft_of(message: dict[str, Any]) -> Draft:
    (draft,) = read([message]).drafts
    return draft


def faults_of(body: object, **limits: Any) -> tuple[Fault, ...]:
    with pytest.raises(InvalidRequest) as caught:
        read(body, **limits)
    return caught.value.faults


def codes_of(body: object, **limits: Any) -> list[tuple[str, str | None, int | None]]:
    return [(fault.code.value, fault.field, fault.index) for fault in faults_of(body, **limits)]


# What the drafts say

DRAFTS = {
    "the seed's first example": (
        but(PLAIN, ttl=3600),
        Draft("tx-1", "YourBrand", PHONE, MessageType.TRANSACTION, Content(TEXT), 3_600, "standard"),
    ),
    "a transaction lives a day": (
        PLAIN,
        Draft("tx-1", "YourBrand", PHONE, MessageType.TRANSACTION, Content(TEXT), 86_400, "standard"),
    ),
    "a promo lives three days": (
        PROMO,
        Draft("tx-1", "YourBrand", PHONE, MessageType.PROMO, Content(TEXT), 259_200, "standard"),
    ),
    "a survey lives a week": (
        SURVEY,
        Draft("tx-1", "YourBrand", PHONE, MessageType.VIBER_SURVEY, Content(TEXT, ("Yes", "No")), 604_800, "standard"),
    ),
    "a flash call lives five minutes and says nothing": (
        CALL,
        Draft("tx-1", "YourBrand", PHONE, MessageType.FLASHCALL, Content(""), 300, "standard"),
    ),
    "a promo with media and button": (
        but(
            PROMO,
            media={"image": IMAGE, "video": None, "fileName": "a.png", "duration": 5, "fileSize": 10},
            button=BUTTON,
        ),
        Draft(
            "tx-1",
            "YourBrand",
            PHONE,
            MessageType.PROMO,
            Content(
                TEXT,
                media=Media(image=IMAGE, file_name="a.png", duration_s=5, size_bytes=10),
                buttons=(Button("Shop", "https://example.com/sale"),),
            ),
            259_200,
            "standard",
        ),
    ),
    "a file with a transaction": (
        but(PLAIN, media={"file": "https://example.com/a.pdf", "fileName": "bill.pdf"}),
        Draft(
            "tx-1",
            "YourBrand",
            PHONE,
            MessageType.TRANSACTION,
            Content(TEXT, media=Media(file="https://example.com/a.pdf", file_name="bill.pdf")),
            86_400,
            "standard",
        ),
    ),
}


@pytest.mark.parametrize(("message", "draft"), DRAFTS.values(), ids=DRAFTS.keys())
def test_a_message_becomes_a_draft(message: dict[str, Any], draft: Draft) -> None:
    assert read([message]) == Batch([draft], {}, range(1))


def test_drafts_keep_the_order_and_the_route_of_the_request() -> None:
    body = json.dumps([but(PLAIN, id=f"bulk-{number}") for number in range(5_000)]).encode()
    batch = parse_batch(body, route="tg-viber", now_ms=NOW_MS, limits=Limits())
    assert [draft.tracking_id for draft in batch.drafts] == [f"bulk-{number}" for number in range(5_000)]
    assert {draft.route for draft in batch.drafts} == {"tg-viber"}


SAME = {  # other ways to write a message, and the contract's
    "recipient is toPhone": (but(PLAIN, toPhone=ABSENT, recipient=PHONE), PLAIN),
    "recipient beside the same toPhone": (but(PLAIN, recipient=PHONE), PLAIN),
    "scheduledTime": (but(PLAIN, scheduledTime="2025-01-25T10:00:00Z"), but(PLAIN, scheduledSent="2025-01-25T10:00Z")),
    "sheduledSent": (but(PLAIN, sheduledSent="2025-01-25T10:00:00Z"), but(PLAIN, scheduledSent="2025-01-25T10:00Z")),
    "messageData of the public examples": (
        but(
            PROMO,
            messageData={
                "img": IMAGE,
                "video": "https://example.com/v",
                "thumbnail": "https://example.com/t",
                "fileUrl": "https://example.com/f",
                "fileName": "f.pdf",
                "buttonText": "Shop",
                "buttonAction": "https://example.com/sale",
            },
        ),
        but(
            PROMO,
            media={
                "image": IMAGE,
                "video": "https://example.com/v",
                "thumbnail": "https://example.com/t",
                "file": "https://example.com/f",
                "fileName": "f.pdf",
            },
            button=BUTTON,
        ),
    ),
    "buttonText and buttonAction beside the text": (
        but(PROMO, buttonText="Shop", buttonAction="https://example.com/sale"),
        but(PROMO, button=BUTTON),
    ),
    "null is absent": (
        but(PLAIN, ttl=None, scheduledSent=None, surveyOptions=None, media=None, button=None, recipient=None),
        PLAIN,
    ),
    "null inside messageData is absent": (but(PROMO, messageData={"img": None, "buttonText": None}), PROMO),
    "empty extras are absent": (but(PLAIN, surveyOptions=[], media={}), PLAIN),
    "a flash call with an empty text": (but(CALL, text=""), CALL),
    "a flash call with a null text": (but(CALL, text=None), CALL),
}


@pytest.mark.parametrize(("message", "same"), SAME.values(), ids=SAME.keys())
def test_aliases_and_nulls_change_nothing(message: dict[str, Any], same: dict[str, Any]) -> None:
    assert read([message]) == read([same])


def test_the_envelope_is_the_array() -> None:
    assert read({"messages": [PLAIN, PROMO], "campaign": "x"}) == read([PLAIN, PROMO])


def test_a_key_given_twice_counts_with_its_last_value() -> None:
    body = json.dumps([PLAIN]).encode().replace(b'"tx-1"', b'"tx-0", "id": "tx-2"')
    assert read(body).drafts[0].tracking_id == "tx-2"


# The bounds of every field, just inside

GOOD = {
    "id of 1": but(PLAIN, id="1"),
    "id of 255": but(PLAIN, id="x" * 255),
    "id in Finnish": but(PLAIN, id="promo-kesä-2025"),
    "id with a no-break space": but(PLAIN, id="a\u00a0b"),
    "fromName of 255": but(PLAIN, fromName="ї" * 255),
    "phone of 7 digits": but(PLAIN, toPhone="+1234567"),
    "phone of 15 digits": but(PLAIN, toPhone="+123456789012345"),
    "the seed's bulk phone": but(PLAIN, toPhone="+380111111111"),
    "the seed's loop phone": but(PLAIN, toPhone="+3801111111199"),
    "text of 1": but(PLAIN, text="1"),
    "text of 4096": but(PLAIN, text="x" * 4_096),
    "text of 4096 emoji, counted in code points": but(PLAIN, text="😀" * 4_096),
    "text that spells an escape": but(PLAIN, text="\\u0000"),
    "survey text of 85": but(SURVEY, text="ї" * 85),
    "ttl of a second": but(PLAIN, ttl=1),
    "ttl of 30 days": but(PLAIN, ttl=2_592_000),
    "2 options": SURVEY,
    "5 options of 255": but(SURVEY, surveyOptions=["x" * 255] * 5),
    "upper-case scheme": but(PROMO, media={"image": "HTTPS://EXAMPLE.COM/a.png"}),
    "url with port and query": but(PROMO, media={"image": "https://example.com:8443?a=b#c"}),
    "url with brackets behind the host": but(PROMO, media={"image": "https://example.com/a[1].png?b=[]"}),
    "url in Ukrainian": but(PROMO, media={"image": "https://приклад.укр/фото.png"}),
    "http button": but(PROMO, button={"text": "Go", "url": "http://example.com"}),
}


@pytest.mark.parametrize("message", GOOD.values(), ids=GOOD.keys())
def test_within_the_bounds_it_passes(message: dict[str, Any]) -> None:
    draft = draft_of(message)
    assert (draft.tracking_id, draft.sender, draft.phone, draft.content.text) == (
        message["id"],
        message["fromName"],
        message["toPhone"],
        message["text"],
    )


# One wrong field: its code and its name

BAD = {
    "no id": (but(PLAIN, id=ABSENT), "MISSING_FIELD", "id"),
    "null id": (but(PLAIN, id=None), "MISSING_FIELD", "id"),
    "empty id": (but(PLAIN, id=""), "INVALID_ID", "id"),
    "long id": (but(PLAIN, id="x" * 256), "INVALID_ID", "id"),
    "number id": (but(PLAIN, id=12345), "INVALID_ID", "id"),
    "id with a newline": (but(PLAIN, id="a\nb"), "INVALID_ID", "id"),
    "id ending in a newline": (but(PLAIN, id="a\n"), "INVALID_ID", "id"),
    "id with NUL": (but(PLAIN, id="a\0"), "INVALID_ID", "id"),
    "id with DEL": (but(PLAIN, id="a\x7f"), "INVALID_ID", "id"),
    "id with a C1 control": (but(PLAIN, id="a\x85"), "INVALID_ID", "id"),
    "no fromName": (but(PLAIN, fromName=ABSENT), "MISSING_FIELD", "fromName"),
    "empty fromName": (but(PLAIN, fromName=""), "INVALID_FIELD", "fromName"),
    "long fromName": (but(PLAIN, fromName="x" * 256), "INVALID_FIELD", "fromName"),
    "fromName with NUL": (but(PLAIN, fromName="a\0"), "INVALID_FIELD", "fromName"),
    "no toPhone": (but(PLAIN, toPhone=ABSENT), "MISSING_FIELD", "toPhone"),
    "null toPhone": (but(PLAIN, toPhone=None), "MISSING_FIELD", "toPhone"),
    "bad recipient": (but(PLAIN, toPhone=ABSENT, recipient="0501112233"), "INVALID_PHONE", "recipient"),
    "two different phones": (but(PLAIN, recipient="+380509998877"), "INVALID_FIELD", "toPhone"),
    "unknown type": (but(PLAIN, messageType="sms"), "INVALID_MESSAGE_TYPE", "messageType"),
    "type in capitals": (but(PLAIN, messageType="PROMO"), "INVALID_MESSAGE_TYPE", "messageType"),
    "type as a list": (but(PLAIN, messageType=["promo"]), "INVALID_MESSAGE_TYPE", "messageType"),
    "no type": (but(PLAIN, messageType=ABSENT), "MISSING_FIELD", "messageType"),
    "no text": (but(PLAIN, text=ABSENT), "TEXT_REQUIRED", "text"),
    "null text": (but(PLAIN, text=None), "TEXT_REQUIRED", "text"),
    "empty text": (but(PROMO, text=""), "TEXT_REQUIRED", "text"),
    "survey without text": (but(SURVEY, text=ABSENT), "TEXT_REQUIRED", "text"),
    "number text": (but(PLAIN, text=5), "INVALID_FIELD", "text"),
    "text of 4097": (but(PLAIN, text="x" * 4_097), "TEXT_TOO_LONG", "text"),
    "survey text of 86": (but(SURVEY, text="x" * 86), "TEXT_TOO_LONG", "text"),
    "survey text of 5000": (but(SURVEY, text="x" * 5_000), "TEXT_TOO_LONG", "text"),
    "text with NUL": (but(PLAIN, text="a\0b"), "INVALID_FIELD", "text"),
    "ttl of 0": (but(PLAIN, ttl=0), "INVALID_TTL", "ttl"),
    "negative ttl": (but(PLAIN, ttl=-1), "INVALID_TTL", "ttl"),
    "ttl over 30 days": (but(PLAIN, ttl=2_592_001), "INVALID_TTL", "ttl"),
    "ttl in quotes": (but(PLAIN, ttl="3600"), "INVALID_TTL", "ttl"),
    "true ttl": (but(PLAIN, ttl=True), "INVALID_TTL", "ttl"),
    "ttl with a fraction": (but(PLAIN, ttl=1.0), "INVALID_TTL", "ttl"),
    "ttl beyond 64 bits": (but(PLAIN, ttl=2**80), "INVALID_TTL", "ttl"),
    "survey without options": (but(SURVEY, surveyOptions=ABSENT), "INVALID_SURVEY_OPTIONS", "surveyOptions"),
    "one option": (but(SURVEY, surveyOptions=["Yes"]), "INVALID_SURVEY_OPTIONS", "surveyOptions"),
    "six options": (but(SURVEY, surveyOptions=list("abcdef")), "INVALID_SURVEY_OPTIONS", "surveyOptions"),
    "empty option": (but(SURVEY, surveyOptions=["Yes", ""]), "INVALID_SURVEY_OPTIONS", "surveyOptions"),
    "null options": (but(SURVEY, surveyOptions=[None, None]), "INVALID_SURVEY_OPTIONS", "surveyOptions"),
    "long option": (but(SURVEY, surveyOptions=["Yes", "x" * 256]), "INVALID_SURVEY_OPTIONS", "surveyOptions"),
    "option with NUL": (but(SURVEY, surveyOptions=["Yes", "a\0"]), "INVALID_SURVEY_OPTIONS", "surveyOptions"),
    "options as text": (but(SURVEY, surveyOptions="Yes,No"), "INVALID_SURVEY_OPTIONS", "surveyOptions"),
    "options of a promo": (but(PROMO, surveyOptions=["Yes", "No"]), "INVALID_SURVEY_OPTIONS", "surveyOptions"),
    "http image": (but(PROMO, media={"image": "http://example.com/a"}), "INVALID_MEDIA_URL", "media.image"),
    "image without host": (but(PROMO, media={"image": "https:///a"}), "INVALID_MEDIA_URL", "media.image"),
    "image at half an address": (but(PROMO, media={"image": "https://[::1/a"}), "INVALID_MEDIA_URL", "media.image"),
    "image at a host that ends": (
        but(PROMO, media={"image": "https://a\u2100b/a"}),
        "INVALID_MEDIA_URL",
        "media.image",
    ),
    "image with a space": (but(PROMO, media={"image": "https://example.com/a b"}), "INVALID_MEDIA_URL", "media.image"),
    "image ending in NUL": (but(PROMO, media={"image": IMAGE + "\0"}), "INVALID_MEDIA_URL", "media.image"),
    "image with credentials": (
        but(PROMO, media={"image": "https://a:b@example.com"}),
        "INVALID_MEDIA_URL",
        "media.image",
    ),
    "script image": (but(PROMO, media={"image": "javascript:alert(1)"}), "INVALID_MEDIA_URL", "media.image"),
    "long image": (but(PROMO, media={"image": IMAGE + "x" * 2_048}), "INVALID_MEDIA_URL", "media.image"),
    "bad img": (but(PROMO, messageData={"img": "x"}), "INVALID_MEDIA_URL", "messageData.img"),
    "two different images": (but(PROMO, media={"image": IMAGE, "img": IMAGE + "x"}), "INVALID_FIELD", "media.image"),
    "media as a list": (but(PROMO, media=[]), "INVALID_FIELD", "media"),
    "media as text beside messageData": (but(PROMO, media="x", messageData={"img": IMAGE}), "INVALID_FIELD", "media"),
    "messageData as text": (but(PROMO, messageData="x"), "INVALID_FIELD", "messageData"),
    "duration in quotes": (but(PROMO, media={"duration": "5"}), "INVALID_FIELD", "media.duration"),
    "file name with NUL": (but(PROMO, media={"fileName": "a\0"}), "INVALID_FIELD", "media.fileName"),
    "image with a transaction": (but(PLAIN, media={"image": IMAGE}), "INVALID_FIELD", "media.image"),
    "media with a survey": (but(SURVEY, media={"image": IMAGE}), "INVALID_FIELD", "media.image"),
    "button with a transaction": (but(PLAIN, button=BUTTON), "INVALID_FIELD", "button"),
    "button without url": (but(PROMO, button={"text": "Go"}), "MISSING_FIELD", "button.url"),
    "button with null text": (but(PROMO, button=BUTTON | {"text": None}), "MISSING_FIELD", "button.text"),
    "button with NUL": (but(PROMO, buttonText="\0", buttonAction=IMAGE), "INVALID_FIELD", "buttonText"),
    "button to a script": (but(PROMO, button={"text": "Go", "url": "javascript:x"}), "INVALID_FIELD", "button.url"),
    "bad buttonAction": (but(PROMO, buttonText="Go", buttonAction="x"), "INVALID_FIELD", "buttonAction"),
    "fifty-one fields": (but(PLAIN, **{f"x{n}": n for n in range(46)}), "INVALID_FIELD", None),
    "number item": (5, "INVALID_FIELD", None),
    "null item": (None, "INVALID_FIELD", None),
    "array item": ([PLAIN], "INVALID_FIELD", None),
}


@pytest.mark.parametrize(("message", "code", "field"), BAD.values(), ids=BAD.keys())
def test_one_wrong_field_is_one_fault_with_its_place(message: Any, code: str, field: str | None) -> None:
    (fault,) = faults_of([PLAIN, message, PROMO])
    assert (fault.code.value, fault.field, fault.index) == (code, field, 1)
    assert code == "INVALID_PHONE" or (field or "A message") in fault.message


BAD_PHONES = [
    "380501112233",
    "0501112233",
    "+0501112233",
    "00380501112233",
    "++380501112233",
    "+123456",
    "+1234567890123456",
    "+380-50-111-22-33",
    "+380 50 111 22 33",
    "+38050111223a",
    "+380XXXXXXXXX",
    "+٣٨٠٥٠١١١٢٢٣٣",
    "+３８０５０１１１２２３３",
    "＋380501112233",
    "+",
    "",
    " +380501112233",
    "+380501112233 ",
    "+380501112233\n",
    "+380501112233\0",
    380501112233,
]


@pytest.mark.parametrize("phone", BAD_PHONES)
def test_a_phone_in_no_international_format_gets_the_seed_s_answer(phone: object) -> None:
    (fault,) = faults_of([but(PLAIN, toPhone=phone)])
    assert fault == Fault(fault.code, "Invalid phone number format", "toPhone", 0)
    assert fault.code.value == "INVALID_PHONE"


# The schedule

SCHEDULES = {
    "the seed's form": ("2025-01-25T10:00:00Z", 2 * HOUR_MS),
    "Python's isoformat with microseconds": ("2025-01-25T10:00:00.123456", 2 * HOUR_MS + 123),
    "JavaScript's toISOString": ("2025-01-25T10:00:00.500Z", 2 * HOUR_MS + 500),
    ".NET's seven digits": ("2025-01-25T10:00:00.5000000Z", 2 * HOUR_MS + 500),
    "PHP's DATE_ATOM": ("2025-01-25T12:00:00+02:00", 2 * HOUR_MS),
    "PHP's DATE_ISO8601": ("2025-01-25T12:00:00+0200", 2 * HOUR_MS),
    "an offset of hours": ("2025-01-25T12:00:00+02", 2 * HOUR_MS),
    "a western offset": ("2025-01-25T05:00:00-05:00", 2 * HOUR_MS),
    "no offset is UTC": ("2025-01-25T10:00:00", 2 * HOUR_MS),
    "no seconds": ("2025-01-25T10:00Z", 2 * HOUR_MS),
    "small letters": ("2025-01-25t10:00:00z", 2 * HOUR_MS),
    "a space for the T": ("2025-01-25 10:00:00", 2 * HOUR_MS),
    "a decimal comma": ("2025-01-25T10:00:00,5Z", 2 * HOUR_MS + 500),
    "exactly 30 days": ((NOW + timedelta(days=30)).isoformat(), 720 * HOUR_MS),
    "now": (NOW.isoformat(), None),
    "past": ("2024-01-25T09:00:00Z", None),
    "the first year there is": ("0001-01-01T00:00:00+23:59", None),
}


@pytest.mark.parametrize(("written", "ahead_ms"), SCHEDULES.values(), ids=SCHEDULES.keys())
def test_a_schedule_is_an_instant_and_the_past_is_now(written: str, ahead_ms: int | None) -> None:
    scheduled_at_ms = draft_of(but(PLAIN, scheduledSent=written)).scheduled_at_ms
    assert scheduled_at_ms == (None if ahead_ms is None else NOW_MS + ahead_ms)


BAD_SCHEDULES = {
    "a millisecond over 30 days": (NOW + timedelta(days=30, milliseconds=1)).isoformat(),
    "the last year there is": "9999-12-31T23:59:59-23:59",
    "a date alone": "2025-01-26",
    "a time alone": "10:00:00",
    "February 30": "2025-02-30T10:00:00Z",
    "hour 24": "2025-01-26T24:00:00Z",
    "a leap second": "2025-01-25T23:59:60Z",
    "year 0": "0000-01-25T10:00:00Z",
    "year 10000": "10000-01-25T10:00:00Z",
    "an offset of a day": "2025-01-25T10:00:00+24:00",
    "an offset of 99 hours": "2025-01-25T10:00:00+99:99",
    "an offset of 99 minutes": "2025-01-25T10:00:00+02:99",
    "a zone's name": "2025-01-25T10:00:00 Europe/Kyiv",
    "a week": "2025-W04-6T10:00:00Z",
    "no separators": "20250125T100000Z",
    "Arabic digits": "٢٠٢٥-٠١-٢٥T10:00:00Z",
    "a newline after it": "2025-01-25T10:00:00Z\n",
    "NUL after it": "2025-01-25T10:00:00Z\0",
    "a very long one": "2025-01-25T10:00:00." + "0" * 100_000,
    "empty": "",
    "words": "tomorrow",
    "seconds since 1970": 1_737_799_200,
    "true": True,
    "an object": {},
}


@pytest.mark.parametrize("written", BAD_SCHEDULES.values(), ids=BAD_SCHEDULES.keys())
def test_a_wrong_schedule_is_refused(written: object) -> None:
    assert codes_of([but(PLAIN, scheduledSent=written)]) == [("INVALID_SCHEDULE", "scheduledSent", 0)]


# Unknown names

MISTYPED = {
    "scheduledSend": "scheduledSent",
    "scheduleSent": "scheduledSent",
    "scheduled_sent": "scheduledSent",
    "ScheduledSent": "scheduledSent",
    "scheduledAt": "scheduledSent",
    "schedule": "scheduledSent",
    "shedulledSent": "scheduledSent",
    "scheduledTimes": "scheduledTime",
    "surveyOption": "surveyOptions",
    "tll": "ttl",
    "TTL": "ttl",
    "ttlSeconds": "ttl",
    "buton": "button",
    "buttons": "button",
    "buttonAcion": "buttonAction",
    "medai": "media",
    "messagedata": "messageData",
    "tophone": "toPhone",
    "Text": "text",
    "fallbak": "fallback",
    "variable": "variables",
    "maxcost": "maxCost",
}


@pytest.mark.parametrize(("name", "meant"), MISTYPED.items())
def test_a_mistyped_field_is_refused_with_the_right_name(name: str, meant: str) -> None:
    (fault,) = faults_of([but(PLAIN, **{name: "x"})])
    assert (fault.code.value, fault.field, fault.index) == ("UNKNOWN_FIELD", name, 0)
    assert fault.message == f"{name} is not a known field: did you mean {meant}?"


def test_a_mistyped_required_field_is_not_also_missed() -> None:
    assert codes_of([but(PLAIN, toPhone=ABSENT, toPhon=PHONE)]) == [("UNKNOWN_FIELD", "toPhon", 0)]


def test_another_case_means_the_contract_s_own_name_before_an_alias() -> None:
    (fault,) = faults_of([but(PLAIN, tgMessage={"chatID": 5})])
    assert fault.message.endswith("did you mean chatId?")


def test_a_mistyped_field_inside_an_object_is_refused() -> None:
    message = but(PROMO, media={"imge": IMAGE}, button=BUTTON | {"Url": "x"}, messageData={"thumbnails": "x"})
    assert [fault[:2] for fault in codes_of([message])] == [
        ("UNKNOWN_FIELD", "media.imge"),
        ("UNKNOWN_FIELD", "messageData.thumbnails"),
        ("UNKNOWN_FIELD", "button.Url"),
    ]


EXTRAS = {
    "the contract's two": {"customerData": {"a": 1}, "wheterCheckSession": False},
    "neighbours of short names": {"uid": 1, "test": True, "tel": "x", "url": "x", "name": "x"},
    "a near miss beside the field itself": {"texts": "x", "toPhone2": "x", "fromNames": "x"},
    "odd names": {"": 1, "🙂": 1, "x" * 1_000: 1, "__proto__": {}},
}


@pytest.mark.parametrize("extras", EXTRAS.values(), ids=EXTRAS.keys())
def test_an_extra_is_ignored_and_named(extras: dict[str, Any]) -> None:
    batch = read([PLAIN, PLAIN | extras])
    assert batch == Batch([draft_of(PLAIN)] * 2, {1: tuple(extras)}, range(2))


def test_inline_variables_come_along_with_their_ids_as_text() -> None:
    given = [{"id": 1, "type": "name", "value": "John"}, {"id": "a.b", "type": "url", "value": "http://e.com", "x": 1}]
    batch = read([PLAIN | {"variables": given}, PLAIN | {"variables": None}, PLAIN | {"variables": []}])
    assert [draft.variables for draft in batch.drafts] == [
        (Variable("name", "1", "John"), Variable("url", "a.b", "http://e.com")),
        (),
        (),
    ]
    assert batch.ignored == {}


def test_an_extra_inside_an_object_is_named_with_its_place() -> None:
    message = but(PROMO, media={"image": IMAGE, "alt": "x"}, messageData={"lang": "x"}, button=BUTTON | {"color": "x"})
    batch = read([message])
    assert batch.ignored == {0: ("media.alt", "messageData.lang", "button.color")}
    assert batch.drafts == [draft_of(but(PROMO, media={"image": IMAGE}, button=BUTTON))]


def test_the_text_of_a_flash_call_is_ignored_and_named() -> None:
    batch = read([but(CALL, text=TEXT, customerData=1)])
    assert batch == Batch([draft_of(CALL)], {0: ("customerData", "text")}, range(1))


@pytest.mark.parametrize("extras", EXTRAS.values(), ids=EXTRAS.keys())
def test_a_strict_account_refuses_every_extra(extras: dict[str, Any]) -> None:
    assert codes_of([PLAIN | extras], strict_fields=True) == [("UNKNOWN_FIELD", name, 0) for name in extras]


def test_a_message_s_field_beside_the_envelope_s_messages_is_refused() -> None:
    body = {"messages": [PLAIN], "scheduledSent": "2025-01-26T10:00:00Z", "schedule_sent": "x", "campaign": "x"}
    assert codes_of(body) == [("UNKNOWN_FIELD", "scheduledSent", None), ("UNKNOWN_FIELD", "schedule_sent", None)]
    assert codes_of({"messages": [PLAIN], "campaign": 1}, strict_fields=True) == [("UNKNOWN_FIELD", "campaign", None)]


# Whose name


def test_an_account_limited_to_its_senders_uses_no_other() -> None:
    body = [PLAIN, but(PLAIN, fromName="Other"), but(SURVEY, fromName="Other")]
    assert codes_of(body, senders=frozenset({"YourBrand"})) == [
        ("INVALID_SENDER", "fromName", 1),
        ("INVALID_SENDER", "fromName", 2),
    ]
    assert len(read(body, senders=frozenset({"YourBrand", "Other"})).drafts) == 3


# The whole body

BODIES = {
    "nothing": (b"", "INVALID_JSON"),
    "spaces": (b"  \n", "INVALID_JSON"),
    "cut off": (json.dumps([PLAIN]).encode()[:-1], "INVALID_JSON"),
    "trailing comma": (b"[{},]", "INVALID_JSON"),
    "two values": (b"[] []", "INVALID_JSON"),
    "single quotes": (b"[{'id': 'x'}]", "INVALID_JSON"),
    "NaN": (b'[{"ttl": NaN}]', "INVALID_JSON"),
    "a byte order mark": (b"\xef\xbb\xbf" + json.dumps([PLAIN]).encode(), "INVALID_JSON"),
    "UTF-16": (json.dumps([PLAIN]).encode("utf-16"), "INVALID_JSON"),
    "wrong UTF-8": (json.dumps([PLAIN]).encode().replace(b"order", b"\xff"), "INVALID_JSON"),
    "half of a surrogate pair": (json.dumps([but(PLAIN, text="cut \ud83d")]).encode(), "INVALID_JSON"),
    "a raw newline in a string": (json.dumps([PLAIN]).encode().replace(b"order", b"\n"), "INVALID_JSON"),
    "10,000 arrays deep": (b"[" * 10_000 + b"]" * 10_000, "INVALID_JSON"),
    "10,000 objects deep": (b'[{"a":' * 10_000, "INVALID_JSON"),
    "65 levels deep": (
        json.dumps([PLAIN]).encode().replace(b"{", b'{"x":' + b"[" * 63 + b"]" * 63 + b",", 1),
        "INVALID_JSON",
    ),
    "a rich message 300 deep, with a NUL": (
        json.dumps([but(PLAIN, text="a\0")]).encode()[:-2]
        + b',"viberMessage":{"type":"rich_media","richMedia":{"a":%s}}}]' % (b"[" * 300 + b"]" * 300),
        "INVALID_JSON",
    ),
    "a number of 5,000 digits": (b'[{"ttl": 1' + b"0" * 5_000 + b"}]", "INVALID_JSON"),
    "an endless exponent": (b'[{"ttl": 1e999999999}]', "INVALID_JSON"),
    "form data": (b"id=1&text=x", "INVALID_JSON"),
    "one message without its array": (json.dumps(PLAIN).encode(), "INVALID_JSON"),
    "null": (b"null", "INVALID_JSON"),
    "a string": (b'"x"', "INVALID_JSON"),
    "an envelope of nothing": (b'{"messages": null}', "INVALID_FIELD"),
    "an envelope of one message": (json.dumps({"messages": PLAIN}).encode(), "INVALID_FIELD"),
    "an envelope with 51 fields": (
        json.dumps({"messages": [PLAIN]} | {f"x{n}": 1 for n in range(50)}).encode(),
        "INVALID_FIELD",
    ),
    "an empty array": (b"[]", "BATCH_EMPTY"),
    "an empty envelope": (b'{"messages": []}', "BATCH_EMPTY"),
    "5,001 messages": (json.dumps([PLAIN] * 5_001).encode(), "BATCH_TOO_LARGE"),
}


@pytest.mark.parametrize(("body", "code"), BODIES.values(), ids=BODIES.keys())
def test_a_body_that_is_no_batch_is_one_fault_without_an_index(body: bytes, code: str) -> None:
    (fault,) = faults_of(body)
    assert (fault.code.value, fault.index) == (code, None)


def test_64_levels_are_not_too_deep() -> None:
    body = json.dumps([PLAIN]).encode()
    assert read(body.replace(b"{", b'{"x":' + b"[" * 62 + b"]" * 62 + b",", 1)).drafts


def test_the_body_s_length_is_limited_to_the_byte() -> None:
    body = json.dumps([PLAIN]).encode()
    assert read(body, max_body_bytes=len(body)).drafts
    assert codes_of(body, max_body_bytes=len(body) - 1) == [("BODY_TOO_LARGE", None, None)]


def test_the_batch_s_length_is_configurable() -> None:
    assert len(read([PLAIN] * 2, max_batch=2).drafts) == 2
    assert codes_of([PLAIN] * 3, max_batch=2) == [("BATCH_TOO_LARGE", None, None)]


# All faults at once


def test_every_fault_of_the_batch_is_found_in_order() -> None:
    body = [
        PLAIN,
        but(
            PROMO,
            scheduledSent="tomorrow",
            ttl="1",
            toPhone="1",
            id="",
            media={"image": "x", "fileName": ""},
            tll=1,
            fromName=ABSENT,
            text="",
        ),
        "x",
        but(SURVEY, text="x" * 86, surveyOptions=["Yes"]),
        but(SURVEY, messageType="quiz", text="", scheduledSend="x"),
        but(PLAIN, recipient="2", toPhone="1", customerData=1),
    ]
    assert codes_of(body) == [
        ("INVALID_ID", "id", 1),
        ("MISSING_FIELD", "fromName", 1),
        ("INVALID_PHONE", "toPhone", 1),
        ("TEXT_REQUIRED", "text", 1),
        ("INVALID_TTL", "ttl", 1),
        ("INVALID_SCHEDULE", "scheduledSent", 1),
        ("INVALID_MEDIA_URL", "media.image", 1),
        ("INVALID_FIELD", "media.fileName", 1),
        ("INVALID_FIELD", None, 2),
        ("TEXT_TOO_LONG", "text", 3),
        ("INVALID_SURVEY_OPTIONS", "surveyOptions", 3),
        ("INVALID_MESSAGE_TYPE", "messageType", 4),
        ("UNKNOWN_FIELD", "scheduledSend", 4),
        ("INVALID_FIELD", "toPhone", 5),
    ]


def test_five_thousand_bad_messages_are_five_thousand_faults() -> None:
    assert codes_of([but(PLAIN, toPhone="1")] * 5_000) == [("INVALID_PHONE", "toPhone", n) for n in range(5_000)]


def test_no_fault_repeats_a_phone_or_a_text() -> None:
    bad = dict.fromkeys(PROMO, "+380509998877 secret") | {"ttl": "secret", "media": "secret", "button": "secret"}
    faults = faults_of([bad, but(PLAIN, toPhone="secret", text=["secret"], scheduledSent="secret")])
    assert len(faults) == 8
    assert "secret" not in repr(faults)
    assert "+380509998877" not in repr(faults)


# What few messages ask for

TELEGRAM, VIBER = Channel.TELEGRAM_BOT, Channel.VIBER_BOT
VIDEO = "https://example.com/a.mp4"
WISHES = {  # field, its value, the wishes it becomes
    "a route of channel names": (
        {"route": ["viber_bot", "sms"]},
        Wishes(steps=(WantedStep(VIBER), WantedStep(Channel.SMS))),
    ),
    "a route of steps": (
        {"route": [{"channel": "rcs", "windowS": 90, "until": "read", "text": "Hi", "from": "Info"}, "sms"]},
        Wishes(steps=(WantedStep(Channel.RCS, 90, True, "Hi", "Info"), WantedStep(Channel.SMS))),
    ),
    "a step with nulls": (
        {"route": [{"channel": "rcs", "windowS": None, "until": None, "text": None, "from": None}]},
        Wishes(steps=(WantedStep(Channel.RCS),)),
    ),
    "until delivered is as ever": (
        {"route": [{"channel": "rcs", "until": "delivered"}]},
        Wishes(steps=(WantedStep(Channel.RCS),)),
    ),
    "a limit of cost": ({"maxCost": "0.050001"}, Wishes(max_cost_micros=50_001)),
    "a limit of nothing": ({"maxCost": "0"}, Wishes(max_cost_micros=0)),
    "tags, each once": ({"tags": ["літо-2025", "a.b:c_d", "літо-2025"]}, Wishes(tags=("літо-2025", "a.b:c_d"))),
    "Telegram's own content": (
        {
            "tgMessage": {
                "text": "Hi",
                "photoUrl": IMAGE,
                "chatId": -100777,
                "buttons": [{"text": "Go", "action": "https://example.com"}],
            }
        },
        Wishes(
            variants=(
                (
                    TELEGRAM,
                    Variant("Hi", media=Media(image=IMAGE), buttons=(Button("Go", "https://example.com"),)),
                ),
            ),
            addresses=((TELEGRAM, "-100777"),),
        ),
    ),
    "Telegram's names": (
        {"tgMessage": {"chat_id": "@shop", "photo_url": IMAGE}},
        Wishes(variants=((TELEGRAM, Variant(media=Media(image=IMAGE))),), addresses=((TELEGRAM, "@shop"),)),
    ),
    "no buttons for Telegram": ({"tgMessage": {"buttons": []}}, Wishes(variants=((TELEGRAM, Variant(buttons=())),))),
    "a chat alone": ({"tgMessage": {"chatId": 777}}, Wishes(addresses=((TELEGRAM, "777"),))),
    "Viber's own content": (
        {
            "viberMessage": {
                "receiver": "01234567890A=",
                "type": "picture",
                "text": "Hi",
                "media": IMAGE,
                "thumbnail": "https://example.com/t.png",
                "sender": {"name": "Shop", "avatar": "https://example.com/me.png"},
                "minApiVersion": 7,
                "fallbackText": "Hi by SMS",
            }
        },
        Wishes(
            variants=(
                (
                    VIBER,
                    Variant(
                        "Hi",
                        "Shop",
                        media=Media(image=IMAGE, thumbnail="https://example.com/t.png"),
                        native={"minApiVersion": 7, "avatar": "https://example.com/me.png"},
                    ),
                ),
            ),
            addresses=((VIBER, "01234567890A="),),
            text_after_viber="Hi by SMS",
        ),
    ),
    "a text for Viber has no media": (
        {"viberMessage": {"type": "text", "text": "Hi"}},
        Wishes(variants=((VIBER, Variant("Hi", media=Media())),)),
    ),
    "a video for Viber": (
        {"viberMessage": {"type": "video", "media": VIDEO, "size": 10, "duration": 5}},
        Wishes(variants=((VIBER, Variant(media=Media(video=VIDEO, size_bytes=10, duration_s=5))),)),
    ),
    "a file for Viber": (
        {"viberMessage": {"type": "file", "media": VIDEO, "size": 10, "file_name": "a.mp4"}},
        Wishes(variants=((VIBER, Variant(media=Media(file=VIDEO, size_bytes=10, file_name="a.mp4"))),)),
    ),
    "a link for Viber": (
        {"viberMessage": {"type": "url", "media": "http://example.com"}},
        Wishes(variants=((VIBER, Variant(native={"type": "url", "media": "http://example.com"})),)),
    ),
    "a place for Viber": (
        {"viberMessage": {"type": "location", "location": {"lat": 50, "lon": 30.5}}},
        Wishes(variants=((VIBER, Variant(native={"location": {"lat": 50, "lon": 30.5}, "type": "location"})),)),
    ),
    "Viber's names": (
        {"viberMessage": {"min_api_version": 3, "tracking_data": "x"}},
        Wishes(variants=((VIBER, Variant(native={"trackingData": "x", "minApiVersion": 3})),)),
    ),
    "nothing at all": (
        {"tgMessage": {}, "viberMessage": {"sender": {}}, "tags": [], "route": None, "maxCost": None},
        None,
    ),
}


@pytest.mark.parametrize(("fields", "wishes"), WISHES.values(), ids=WISHES.keys())
def test_a_wish_is_kept(fields: dict[str, Any], wishes: Wishes | None) -> None:
    draft = draft_of(PROMO | fields)
    assert draft.wishes == wishes
    assert (draft.content, draft.route) == (Content(TEXT), "standard")


def test_a_route_by_name_is_the_draft_s_route() -> None:
    batch = read([PROMO | {"route": "cheap"}], routes=frozenset({"standard", "cheap"}))
    assert (batch.drafts[0].route, batch.drafts[0].wishes) == ("cheap", None)


FALLBACKS = {
    "as the contract has it": ({"messageType": "promo", "text": "Hi"}, Fallback(MessageType.PROMO, "Hi")),
    "a transaction by default": ({"text": "Hi"}, Fallback(MessageType.TRANSACTION, "Hi")),
}


@pytest.mark.parametrize(("fallback", "expected"), FALLBACKS.values(), ids=FALLBACKS.keys())
def test_a_flash_call_has_a_fallback(fallback: dict[str, Any], expected: Fallback) -> None:
    batch = read([CALL | {"fallback": fallback, "route": ["sms"]}])
    assert batch.drafts[0].wishes == Wishes(steps=(WantedStep(Channel.SMS),), fallback=expected)
    assert batch.ignored == {}


def test_wishes_without_an_effect_are_named() -> None:
    body = [PROMO | {"fallback": {"text": "Hi"}}, CALL | {"tgMessage": {"text": "x"}, "route": ["sms"], "tags": ["a"]}]
    batch = read(body)
    assert batch.ignored == {0: ("fallback",), 1: ("tgMessage", "route")}
    assert batch.drafts[0].wishes is None
    assert read([CALL | {"tags": ["a"]}]).drafts[0].wishes == Wishes(tags=("a",))


BAD_WISHES = {  # fields, code, field
    "an unknown route": ({"route": "expensive"}, "UNKNOWN_ROUTE", "route"),
    "an empty route": ({"route": []}, "INVALID_FIELD", "route"),
    "a route without a name": ({"route": ""}, "INVALID_FIELD", "route"),
    "eleven steps": ({"route": ["sms"] * 11}, "INVALID_FIELD", "route"),
    "an unknown channel": ({"route": ["sms", "fax"]}, "INVALID_FIELD", "route"),
    "a call as a step": ({"route": ["flashcall"]}, "INVALID_FIELD", "route"),
    "a mistyped field of a step": ({"route": [{"channel": "sms", "window": 5}]}, "INVALID_FIELD", "route"),
    "a window of nothing": ({"route": [{"channel": "sms", "windowS": 0}]}, "INVALID_FIELD", "route"),
    "a step until whenever": ({"route": [{"channel": "sms", "until": "sent"}]}, "INVALID_FIELD", "route"),
    "a step without a channel": ({"route": [{"windowS": 5}]}, "INVALID_FIELD", "route"),
    "a step's text with NUL": ({"route": [{"channel": "sms", "text": "a\0"}]}, "INVALID_FIELD", "route"),
    "a cost as a number": ({"maxCost": 0.05}, "INVALID_FIELD", "maxCost"),
    "a cost below nothing": ({"maxCost": "-1"}, "INVALID_FIELD", "maxCost"),
    "a cost of seven decimals": ({"maxCost": "0.0000001"}, "INVALID_FIELD", "maxCost"),
    "a cost with an exponent": ({"maxCost": "1e3"}, "INVALID_FIELD", "maxCost"),
    "a cost with a newline": ({"maxCost": "1\n"}, "INVALID_FIELD", "maxCost"),
    "a cost in Arabic digits": ({"maxCost": "١"}, "INVALID_FIELD", "maxCost"),
    "eleven tags": ({"tags": [f"t{number}" for number in range(11)]}, "INVALID_FIELD", "tags"),
    "a tag with a space": ({"tags": ["a b"]}, "INVALID_FIELD", "tags"),
    "a tag with a slash": ({"tags": ["a/b"]}, "INVALID_FIELD", "tags"),
    "a tag of dots alone, which no path can hold": ({"tags": [".."]}, "INVALID_FIELD", "tags"),
    "an empty tag": ({"tags": [""]}, "INVALID_FIELD", "tags"),
    "a tag of 65": ({"tags": ["x" * 65]}, "INVALID_FIELD", "tags"),
    "a tag as text": ({"tags": "a"}, "INVALID_FIELD", "tags"),
    "Telegram's message as text": ({"tgMessage": "Hi"}, "INVALID_FIELD", "tgMessage"),
    "an http photo": ({"tgMessage": {"photoUrl": "http://example.com/a"}}, "INVALID_MEDIA_URL", "tgMessage.photoUrl"),
    "a photo by its alias": ({"tgMessage": {"photo_url": "x"}}, "INVALID_MEDIA_URL", "tgMessage.photo_url"),
    "a chat with a space": ({"tgMessage": {"chatId": "a b"}}, "INVALID_FIELD", "tgMessage.chatId"),
    "a chat beyond 52 bits": ({"tgMessage": {"chatId": 2**53}}, "INVALID_FIELD", "tgMessage.chatId"),
    "a long text for Telegram": ({"tgMessage": {"text": "x" * 4_097}}, "INVALID_FIELD", "tgMessage.text"),
    "a text for Telegram with NUL": ({"tgMessage": {"text": "a\0"}}, "INVALID_FIELD", "tgMessage"),
    "a button to a script": (
        {"tgMessage": {"buttons": [{"text": "Go", "action": "javascript:x"}]}},
        "INVALID_FIELD",
        "tgMessage.buttons",
    ),
    "a mistyped field of Telegram's": ({"tgMessage": {"photoURL": IMAGE}}, "UNKNOWN_FIELD", "tgMessage.photoURL"),
    "an unknown type for Viber": ({"viberMessage": {"type": "poem"}}, "INVALID_FIELD", "viberMessage.type"),
    "a picture without one": ({"viberMessage": {"type": "picture"}}, "MISSING_FIELD", "viberMessage.media"),
    "a place without one": ({"viberMessage": {"type": "location"}}, "MISSING_FIELD", "viberMessage.location"),
    "a place off the globe": (
        {"viberMessage": {"type": "location", "location": {"lat": 91, "lon": 0}}},
        "INVALID_FIELD",
        "viberMessage.location",
    ),
    "an http picture for Viber": (
        {"viberMessage": {"type": "picture", "media": "http://example.com/a.png"}},
        "INVALID_MEDIA_URL",
        "viberMessage.media",
    ),
    "an avatar that is none": ({"viberMessage": {"sender": {"avatar": "x"}}}, "INVALID_FIELD", "viberMessage.sender"),
    "an empty text after Viber": ({"viberMessage": {"fallbackText": ""}}, "INVALID_FIELD", "viberMessage.fallbackText"),
    "an enormous keyboard": (
        {"viberMessage": {"keyboard": {"x": "x" * 28_000}}},
        "INVALID_FIELD",
        "viberMessage.keyboard",
    ),
    "a fallback without a text": ({"fallback": {"messageType": "promo"}}, "MISSING_FIELD", "fallback.text"),
    "a survey as a fallback": (
        {"fallback": {"messageType": "viber_survey", "text": "x"}},
        "INVALID_MESSAGE_TYPE",
        "fallback.messageType",
    ),
}


@pytest.mark.parametrize(("fields", "code", "field"), BAD_WISHES.values(), ids=BAD_WISHES.keys())
def test_a_wish_that_cannot_be_is_one_fault(fields: dict[str, Any], code: str, field: str) -> None:
    routes = frozenset({"standard"})
    assert codes_of([PROMO, PROMO | fields], routes=routes) == [(code, field, 1)]


def test_a_step_uses_the_account_s_senders() -> None:
    body = [PLAIN | {"route": [{"channel": "sms", "from": "Other"}]}]
    assert codes_of(body, senders=frozenset({"YourBrand"})) == [("INVALID_SENDER", "route", 0)]


def test_the_name_in_viber_s_own_message_is_one_of_the_account_s_senders() -> None:
    body = [PLAIN | {"viberMessage": {"sender": {"name": name, "avatar": IMAGE}}} for name in ("Other", "YourBrand")]
    assert codes_of(body, senders=frozenset({"YourBrand"})) == [("INVALID_SENDER", "viberMessage.sender", 0)]


INSIDES = {  # fields, what the fault says to look at
    "a channel's name": ({"route": ["sms", "fax"]}, "route[1]"),
    "a window of nothing": ({"route": ["sms", {"channel": "sms", "windowS": 0}]}, "route[1].windowS"),
    "a step until whenever": ({"route": [{"channel": "sms", "until": "sent"}]}, "route[0].until"),
    "a step without a channel": ({"route": [{"windowS": 5}]}, "route[0].channel"),
    "a step's mistyped field": ({"route": [{"channel": "sms", "windows": 5}]}, "route[0].windows"),
    "a step's foreign sender": ({"route": ["sms", {"channel": "sms", "from": "Other"}]}, "route[1].from"),
    "a foreign sender for Viber": ({"viberMessage": {"sender": {"name": "Other"}}}, "viberMessage.sender.name"),
    "an avatar that is none": ({"viberMessage": {"sender": {"avatar": "x"}}}, "viberMessage.sender.avatar"),
    "a tag with a slash": ({"tags": ["a", "a/b"]}, "tags[1]"),
    "a variable's value": ({"variables": [{"id": 1, "type": "n", "value": 5}]}, "variables[0].value"),
    "a variable's id": ({"variables": [{"id": True, "type": "n", "value": "5"}]}, "variables[0].id"),
    "a variable that is no URL": (
        {"variables": [{"id": 1, "type": "n", "value": "x"}, {"id": 1, "type": "url", "value": "x"}]},
        "variables[1].value",
    ),
    "a button's link": ({"tgMessage": {"buttons": [{"text": "Go", "action": "x"}]}}, "tgMessage.buttons[0].action"),
}


@pytest.mark.parametrize(("fields", "inside"), INSIDES.values(), ids=INSIDES.keys())
def test_a_fault_inside_a_list_or_object_says_where(fields: dict[str, Any], inside: str) -> None:
    (fault,) = faults_of([PROMO | fields], senders=frozenset({"YourBrand"}))
    assert fault.message.endswith(f": look at {inside}")


IPV6 = "https://[2001:db8::1]/a.png"
AT_AN_ADDRESS = {
    "a picture": {"media": {"image": IPV6}},
    "a button": {"button": {"text": "Go", "url": IPV6}},
    "Telegram's picture": {"tgMessage": {"photoUrl": IPV6}},
    "Telegram's button": {"tgMessage": {"buttons": [{"text": "Go", "action": IPV6}]}},
    "Viber's picture": {"viberMessage": {"type": "picture", "media": IPV6}},
    "Viber's avatar": {"viberMessage": {"sender": {"avatar": IPV6}}},
}


@pytest.mark.parametrize("fields", AT_AN_ADDRESS.values(), ids=AT_AN_ADDRESS.keys())
def test_a_link_to_an_ipv6_address_is_refused_and_told_why(fields: dict[str, Any]) -> None:
    """No provider says that it fetches from one, and a phone without IPv6 cannot open it."""
    (fault,) = faults_of([but(PROMO, media=ABSENT) | fields])
    assert "not an IPv6 address in brackets" in fault.message


def test_a_missing_survey_text_is_told_how_long_it_may_be() -> None:
    (fault,) = faults_of([but(SURVEY, text=ABSENT)])
    assert fault.message == "text is required for messageType viber_survey: 1 to 85 characters"


# Part of a batch


def read_partly(body: object) -> Batch:
    return parse_batch(json.dumps(body).encode(), route="standard", now_ms=NOW_MS, limits=Limits(), is_partial=True)


def test_the_good_messages_of_a_batch_are_read_and_the_others_named() -> None:
    batch = read_partly([PLAIN, but(PLAIN, id="tx-2", toPhone="1", ttl=0), PROMO | {"x": 1}, 5, but(PLAIN, id=7)])
    assert batch.drafts == [draft_of(PLAIN), draft_of(PROMO)]
    assert list(batch.places) == [0, 2]
    assert batch.ignored == {2: ("x",)}
    assert {
        place: (one.tracking_id, [(fault.code.value, fault.index) for fault in one.faults])
        for place, one in batch.refused.items()
    } == {
        1: ("tx-2", [("INVALID_PHONE", 1), ("INVALID_TTL", 1)]),
        3: (None, [("INVALID_FIELD", 3)]),
        4: (None, [("INVALID_ID", 4)]),
    }


def test_a_rule_between_fields_takes_out_its_message_alone() -> None:
    batch = read_partly([but(PLAIN, text=""), PLAIN, but(SURVEY, surveyOptions=["Yes"])])
    assert (list(batch.places), sorted(batch.refused)) == ([1], [0, 2])


def test_a_batch_of_bad_messages_alone_has_no_drafts() -> None:
    batch = read_partly([5, 6])
    assert (batch.drafts, list(batch.places), sorted(batch.refused)) == ([], [], [0, 1])


def test_what_is_no_batch_is_refused_whole() -> None:
    with pytest.raises(InvalidRequest):
        read_partly([])


def test_what_only_the_store_knows_takes_out_its_message_too() -> None:
    batch = read_partly([PLAIN, 5, PROMO])
    fault = Fault(ErrorCode.UNKNOWN_VARIABLE, "x", "text", 2)
    remaining = batch.without([fault])
    assert (remaining.drafts, list(remaining.places)) == ([draft_of(PLAIN)], [0])
    assert remaining.refused[2] == Refused("tx-1", (fault,))


# Whatever comes, it is drafts or faults

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)
ODD = JSON_VALUES | st.dictionaries(
    st.sampled_from(
        [
            "image",
            "img",
            "fileUrl",
            "fileName",
            "text",
            "url",
            "buttonText",
            "duration",
            "Url",
            "chatId",
            "type",
            "media",
        ]
    ),
    JSON_VALUES,
)
NAMES = [*PROMO, "ttl", "scheduledSent", "sheduledSent", "recipient", "surveyOptions", "media", "messageData", "button"]
NAMES += ["fallback", "tgMessage", "viberMessage", "route", "maxCost", "tags"]
ODD_MESSAGES = st.builds(
    lambda base, odd: base | odd,
    st.sampled_from([PLAIN, PROMO, SURVEY, CALL]),
    st.dictionaries(st.sampled_from([*NAMES, "buttonText", "tll"]) | st.text(max_size=6), ODD, max_size=3),
)


@settings(deadline=None)
@given(st.lists(ODD_MESSAGES | JSON_VALUES, max_size=4) | JSON_VALUES)
def test_any_json_is_one_draft_a_message_or_faults_in_order(body: Any) -> None:
    try:
        batch = read(body)
    except InvalidRequest as refusal:
        indices = [fault.index for fault in refusal.faults if fault.index is not None]
        assert indices == sorted(indices)
        assert all(0 <= index < len(body) for index in indices)
    else:
        assert len(batch.drafts) == len(body)
        assert all(type(draft.ttl_s) is int and draft.phone.startswith("+") for draft in batch.drafts)
        assert set(batch.ignored) <= set(range(len(body)))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_faults(body: bytes) -> None:
    assert faults_of(body)[0].index in (None, 0)
