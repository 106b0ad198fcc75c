"""Who is who, what a key may do, and which link serves an account's channel."""

from ipaddress import ip_network

import pytest

from cascade.core.directory import Account, ApiKey, Bot, Directory, PlannedStep, Scope, SharedLink, digest, resolve
from cascade.core.route import Step
from cascade.core.words import Channel

T0 = 1_000_000_000_000
FIRST = Bot(1, 7, Channel.VIBER_BOT, digest("viber-1"))
SECOND = Bot(2, 7, Channel.VIBER_BOT, digest("viber-2"))
TELEGRAM = Bot(3, 7, Channel.TELEGRAM_BOT, digest("telegram"))
OTHERS = Bot(4, 8, Channel.TELEGRAM_BOT, digest("other"))
KEY = ApiKey(7, "main")
DIRECTORY = Directory(
    routes={"standard": (PlannedStep(Channel.VIBER_BOT, 60), PlannedStep(Channel.SMS, None))},
    shared=(SharedLink("sms.smpp", Channel.SMS), SharedLink("rcs.vip", Channel.RCS, accounts=frozenset({"vip"}))),
    accounts={10: Account(10, "vip")},
    keys={digest("key"): KEY},
    bots=(FIRST, SECOND, TELEGRAM, OTHERS),
)
SMS = {Channel.SMS: ("sms.smpp",)}

LINKS = {  # account, bots named, whether they are all the request came with: link by channel
    "the account's first bot of each channel, and what all share": (
        7, [], False, {Channel.VIBER_BOT: ("viber_bot.1",), Channel.TELEGRAM_BOT: ("telegram_bot.3",), **SMS},
    ),
    "the bot that was named beside the key": (
        7, [SECOND], False, {Channel.VIBER_BOT: ("viber_bot.2",), Channel.TELEGRAM_BOT: ("telegram_bot.3",), **SMS},
    ),
    "only the bot that was named, when no key came": (7, [SECOND], True, {Channel.VIBER_BOT: ("viber_bot.2",)}),
    "only the bots that were named": (
        7, [TELEGRAM, FIRST], True, {Channel.VIBER_BOT: ("viber_bot.1",), Channel.TELEGRAM_BOT: ("telegram_bot.3",)},
    ),
    "an account without bots has what all share": (9, [], False, SMS),
    "a shared link that not everybody may use": (10, [], False, SMS | {Channel.RCS: ("rcs.vip",)}),
    "another account's bot is nobody's": (7, [OTHERS], True, {}),
}  # fmt: skip


@pytest.mark.parametrize(("account_id", "named", "is_limited", "links"), LINKS.values(), ids=LINKS.keys())
def test_links(account_id: int, named: list[Bot], is_limited: bool, links: dict[Channel, tuple[str, ...]]) -> None:
    for _ in range(2):  # the second answer is a remembered one
        assert DIRECTORY.links(account_id, named, is_limited=is_limited) == links


def test_a_step_whose_channel_has_no_link_stays_without_one() -> None:
    planned = (PlannedStep(Channel.RCS, 30), PlannedStep(Channel.SMS, None, is_until_read=True))
    assert resolve(planned, SMS) == (Step(Channel.RCS, None, 30), Step(Channel.SMS, "sms.smpp", None, True))


def test_links_of_one_channel_take_turns_by_their_weights_and_stand_in_for_each_other() -> None:
    shared = [
        SharedLink("sms.a", Channel.SMS, 4),
        SharedLink("sms.b", Channel.SMS, 2),
        SharedLink("sms.c", Channel.SMS, 2),
    ]
    directory = Directory(routes={}, shared=tuple(shared))
    links = directory.links(1, (), is_limited=False)
    steps = [resolve((PlannedStep(Channel.SMS, None),), links, turn)[0] for turn in range(8)]
    assert [step.link for step in steps] == ["sms.a", "sms.b", "sms.c", "sms.a"] * 2
    assert {step.link: step.others for step in steps} == {
        "sms.a": ("sms.b", "sms.c"),
        "sms.b": ("sms.a", "sms.c"),
        "sms.c": ("sms.a", "sms.b"),
    }


def test_a_key_is_found_by_itself_and_never_kept() -> None:
    assert DIRECTORY.api_key("key") == KEY
    assert DIRECTORY.api_key("Key") is None
    assert "'key'" not in repr(DIRECTORY)


BOTS = {
    "its own channel": (Channel.VIBER_BOT, "viber-1", FIRST),
    "another channel": (Channel.TELEGRAM_BOT, "viber-1", None),
    "an unknown token": (Channel.VIBER_BOT, "viber-3", None),
}


@pytest.mark.parametrize(("channel", "token", "bot"), BOTS.values(), ids=BOTS.keys())
def test_a_bot_is_found_by_its_token_on(channel: Channel, token: str, bot: Bot | None) -> None:
    assert DIRECTORY.bot_of_token(channel, token) == bot


OFFICE = (ip_network("10.1.0.0/16"), ip_network("2001:db8::/32"))
MAY = {  # key, wanted, from where: whether it may
    "everything from anywhere, by default": (ApiKey(7, "k"), Scope.ADMIN, "203.0.113.9", True),
    "what its scopes say": (ApiKey(7, "k", frozenset({Scope.READ})), Scope.READ, "203.0.113.9", True),
    "nothing beyond its scopes": (ApiKey(7, "k", frozenset({Scope.READ})), Scope.SEND, "203.0.113.9", False),
    "from its network": (ApiKey(7, "k", networks=OFFICE), Scope.SEND, "10.1.2.3", True),
    "from its network, written as IPv6": (ApiKey(7, "k", networks=OFFICE), Scope.SEND, "::ffff:10.1.2.3", True),
    "from its IPv6 network": (ApiKey(7, "k", networks=OFFICE), Scope.SEND, "2001:db8::1", True),
    "from no other network": (ApiKey(7, "k", networks=OFFICE), Scope.SEND, "10.2.0.1", False),
    "from nowhere, when it has no network": (ApiKey(7, "k", networks=()), Scope.SEND, "10.1.2.3", False),
    "from no host that is no address": (ApiKey(7, "k", networks=OFFICE), Scope.SEND, "testclient", False),
}


@pytest.mark.parametrize(("key", "scope", "host", "may"), MAY.values(), ids=MAY.keys())
def test_a_key_may_do(key: ApiKey, scope: Scope, host: str, may: bool) -> None:
    assert key.may(scope, host) is may


VALID = {"never expires": (None, True), "not yet": (T0 + 1, True), "now": (T0, False), "long ago": (T0 - 1, False)}


@pytest.mark.parametrize(("expires_at_ms", "is_valid"), VALID.values(), ids=VALID.keys())
def test_a_key_expires(expires_at_ms: int | None, is_valid: bool) -> None:
    assert ApiKey(7, "k", expires_at_ms=expires_at_ms).is_valid(T0) is is_valid
