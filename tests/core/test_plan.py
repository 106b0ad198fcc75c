"""Which way a new message takes, what each step says, and what it costs."""

from typing import Any

import pytest

from cascade.core.content import Button, Content, Media, Said, Variant, encode_extras, for_step
from cascade.core.directory import PlannedStep
from cascade.core.draft import Draft, Fallback, WantedStep, Wishes
from cascade.core.message import NO_ADDRESSES, State
from cascade.core.plan import Plan, Planner
from cascade.core.prices import Price, Prices
from cascade.core.route import Step, decode, encode
from cascade.core.timeline import Mark
from cascade.core.words import Channel, MessageType, Reason

NOW_MS = 1_737_792_000_000
TELEGRAM, VIBER, BUSINESS, RCS, SMS = (
    Channel.TELEGRAM_BOT,
    Channel.VIBER_BOT,
    Channel.VIBER_BUSINESS,
    Channel.RCS,
    Channel.SMS,
)
ROUTES = {
    "standard": (
        PlannedStep(TELEGRAM, 30),
        PlannedStep(VIBER, 60, takes_surveys=True),
        PlannedStep(BUSINESS, 60, takes_surveys=True),
        PlannedStep(RCS, 60),
        PlannedStep(SMS, None, takes_surveys=True),
    ),
    "cheap": (PlannedStep(TELEGRAM, 30, takes_surveys=True), PlannedStep(SMS, None)),
}
LINKS = {TELEGRAM: ("telegram_bot.1",), VIBER: ("viber_bot.1",), SMS: ("sms.smpp",)}
UNPRICED = Prices()
PROMO, SURVEY, CALL = MessageType.PROMO, MessageType.VIBER_SURVEY, MessageType.FLASHCALL


def a_draft(type_: MessageType = PROMO, route: str = "standard", text: str = "Hello", **wishes: Any) -> Draft:
    asked = Wishes(**wishes) if wishes else None
    return Draft("order-1", "Shop", "+380501112233", type_, Content(text), 3_600, route, wishes=asked)


def planner(prices: Prices = UNPRICED) -> Planner:
    return Planner(ROUTES, LINKS, prices, NOW_MS)


def plan_of(draft: Draft, prices: Prices = UNPRICED) -> Plan:
    return planner(prices).plan(draft)


def channels(draft: Draft) -> list[Channel]:
    return [step.channel for step in plan_of(draft).route]


FALLBACK = Fallback(MessageType.TRANSACTION, "Your code is 1234")
ROUTES_TAKEN = {
    "a named route": (a_draft(), [TELEGRAM, VIBER, BUSINESS, RCS, SMS]),
    "another one": (a_draft(route="cheap"), [TELEGRAM, SMS]),
    "a survey takes the steps that have surveys": (a_draft(SURVEY), [VIBER, BUSINESS, SMS]),
    "and Telegram where the route says so": (a_draft(SURVEY, "cheap"), [TELEGRAM]),
    "or where the message does": (a_draft(SURVEY, steps=(WantedStep(TELEGRAM),)), [TELEGRAM]),
    "a flash call is a call and nothing else": (a_draft(CALL), [Channel.FLASHCALL]),
    "then its fallback by the route": (
        a_draft(CALL, fallback=FALLBACK),
        [Channel.FLASHCALL, TELEGRAM, VIBER, BUSINESS, RCS, SMS],
    ),
    "or by the message's own steps": (
        a_draft(CALL, fallback=FALLBACK, steps=(WantedStep(SMS),)),
        [Channel.FLASHCALL, SMS],
    ),
    "no steps without a fallback": (a_draft(CALL, steps=(WantedStep(SMS),)), [Channel.FLASHCALL]),
    "a channel may come twice": (
        a_draft(steps=(WantedStep(SMS), WantedStep(VIBER), WantedStep(SMS))),
        [SMS, VIBER, SMS],
    ),
}


@pytest.mark.parametrize(("draft", "expected"), ROUTES_TAKEN.values(), ids=ROUTES_TAKEN.keys())
def test_the_route_follows_the_type_and_the_wishes(draft: Draft, expected: list[Channel]) -> None:
    assert channels(draft) == expected


def test_the_steps_of_the_message_carry_its_windows_links_and_addresses() -> None:
    draft = a_draft(
        steps=(WantedStep(VIBER, 90, is_until_read=True), WantedStep(RCS), WantedStep(TELEGRAM)),
        addresses=((TELEGRAM, "777"),),
    )
    route = plan_of(draft).route
    assert route == (
        Step(VIBER, "viber_bot.1", 90, is_until_read=True),
        Step(RCS, None, 60),
        Step(TELEGRAM, "telegram_bot.1", None, address="777"),
    )
    assert decode(encode(route)) == route


PHOTO = Media(image="https://s.ua/a.png")
TG = Variant(text="Hi, Telegram", media=PHOTO, buttons=(Button("Go", "https://s.ua"),))
SAID = {  # draft, what each step says where it says something else
    "nothing of their own": (a_draft(), {}),
    "Telegram alone": (a_draft(variants=((TELEGRAM, TG),)), {0: TG}),
    "the channels after Viber": (
        a_draft(text_after_viber="by other means"),
        {place: Variant(text="by other means") for place in (2, 3, 4)},
    ),
    "a step's own text before the channel's": (
        a_draft(steps=(WantedStep(TELEGRAM, text="mine"), WantedStep(SMS, sender="Info")), variants=((TELEGRAM, TG),)),
        {0: Variant(text="mine", media=PHOTO, buttons=TG.buttons), 1: Variant(sender="Info")},
    ),
    "the fallback's text and type, but not to the call": (
        a_draft(CALL, "cheap", "", fallback=FALLBACK),
        {place: Variant(text=FALLBACK.text, type=FALLBACK.type) for place in (1, 2)},
    ),
}


@pytest.mark.parametrize(("draft", "said"), SAID.values(), ids=SAID.keys())
def test_a_step_says_what_is_written_for_it(draft: Draft, said: dict[int, Variant]) -> None:
    plan = plan_of(draft)
    assert {place: variant for place, variant in enumerate(plan.variants) if variant is not None} == said


def test_what_a_step_says_survives_the_store() -> None:
    content = Content("Hello", media=Media(video="https://s.ua/a.mp4"), buttons=(Button("A", "https://s.ua"),))
    native = Variant(sender="Info", type=PROMO, media=Media(), native={"minApiVersion": 7})
    extras = encode_extras(content, (TG, None, native))
    assert for_step("Hello", extras, 0) == Said(Content("Hi, Telegram", media=PHOTO, buttons=TG.buttons or ()))
    assert for_step("Hello", extras, 1) == Said(content)
    assert for_step("Hello", extras, 2) == Said(
        Content("Hello", buttons=content.buttons, native={"minApiVersion": 7}), "Info", PROMO
    )
    assert for_step("Hello", None, 0) == Said(Content("Hello"))
    assert encode_extras(Content("Hello")) is None


PRICES = Prices([Price(SMS, 50_000), Price(SMS, 20_000, sender="Info"), Price(VIBER, 7_000)])
COSTS = {  # draft, micros by step
    "each channel has its price": (a_draft(), [0, 7_000, 0, 0, 50_000]),
    "an SMS of two parts costs twice": (a_draft(text="x" * 161), [0, 7_000, 0, 0, 100_000]),
    "a step's own sender has its own price": (
        a_draft(steps=(WantedStep(SMS, sender="Info"), WantedStep(SMS))),
        [20_000, 50_000],
    ),
    "a step's own text has its own parts": (
        a_draft(text="x" * 161, steps=(WantedStep(SMS, text="short"), WantedStep(SMS))),
        [50_000, 100_000],
    ),
    "a fallback costs its own text": (a_draft(CALL, "cheap", "", fallback=Fallback(PROMO, "x" * 161)), [0, 0, 100_000]),
}


@pytest.mark.parametrize(("draft", "micros"), COSTS.values(), ids=COSTS.keys())
def test_a_step_knows_its_cost(draft: Draft, micros: list[int]) -> None:
    assert [step.cost_micros for step in plan_of(draft, PRICES).route] == micros


def test_messages_of_one_request_keep_their_own_prices() -> None:
    """What is remembered for one message must not be taken for another."""
    own = planner(PRICES)
    drafts = [a_draft(), a_draft(text="x" * 161), a_draft(route="cheap"), a_draft(), a_draft(text="x" * 161)]
    assert [own.plan(draft).route[-1].cost_micros for draft in drafts] == [50_000, 100_000, 50_000, 50_000, 100_000]


def test_a_step_over_the_limit_is_skipped() -> None:
    draft = a_draft(route="cheap", max_cost_micros=49_999)
    own = planner(PRICES)
    message, entries = own.start(draft, own.plan(draft), NO_ADDRESSES)
    assert message.max_cost_micros == 49_999
    assert message.state is State.FINAL
    assert [(entry.mark, entry.reason) for entry in entries] == [
        (Mark.SKIPPED, Reason.NOT_SUBSCRIBED),
        (Mark.SKIPPED, Reason.OVER_MAX_COST),
    ]


def test_an_address_of_the_message_needs_no_directory() -> None:
    draft = a_draft(addresses=((VIBER, "01234=="),))
    message, _ = planner().start(draft, plan_of(draft), NO_ADDRESSES)
    assert (message.link, message.address) == ("viber_bot.1", "01234==")


def test_a_directory_counts_where_the_message_has_no_address() -> None:
    draft = a_draft(addresses=((VIBER, "01234=="),))
    message, _ = planner().start(draft, plan_of(draft), {"telegram_bot.1": "555"})
    assert (message.link, message.address) == ("telegram_bot.1", "555")


def test_messages_that_begin_alike_share_their_start_and_others_do_not() -> None:
    own = planner()
    plain = a_draft()
    plan = own.plan(plain)
    first, second = (own.start(plain, own.plan(plain), NO_ADDRESSES) for _ in range(2))
    assert first is second
    others = [a_draft(MessageType.TRANSACTION), a_draft(max_cost_micros=1), a_draft(route="cheap")]
    others += [Draft("1", "Shop", "+380501112233", PROMO, Content("x"), ttl_s, "standard") for ttl_s in (60, 61)]
    starts = [own.start(other, own.plan(other), NO_ADDRESSES)[0] for other in others]
    subscribed, _ = own.start(plain, plan, {"viber_bot.1": "5"})
    assert len({repr(message) for message in (first[0], subscribed, *starts)}) == 7


def test_what_is_scheduled_waits_for_its_hour_and_lives_from_then_on() -> None:
    at_ms = NOW_MS + 60_000
    draft = Draft("1", "Shop", "+380501112233", PROMO, Content("x"), 3_600, "standard", at_ms)
    message, entries = planner().start(draft, plan_of(draft), NO_ADDRESSES)
    assert (message.state, message.due_at_ms, message.deadline_at_ms) == (State.SCHEDULED, at_ms, at_ms)
    assert message.expires_at_ms == at_ms + 3_600_000
    assert entries == []


def test_an_own_step_without_a_window_has_the_usual_one_and_the_last_the_rest() -> None:
    usual = {step.channel: step.window_s for step in ROUTES["standard"]}
    draft = a_draft(steps=(WantedStep(VIBER), WantedStep(Channel.SMS), WantedStep(VIBER)))
    assert [step.window_s for step in plan_of(draft).route] == [usual[VIBER], usual[Channel.SMS], None]
