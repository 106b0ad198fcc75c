"""Who is let in, and what they may use."""

import asyncio
import base64

import pytest

from cascade.core.words import Channel

from .doors import (
    AUTH,
    HOST,
    KEY,
    OTHER_KEY,
    OTHER_TELEGRAM,
    OTHER_VIBER,
    PHONE,
    SECOND_TELEGRAM,
    SEND,
    TELEGRAM,
    VIBER,
    Doors,
    message,
)


def basic(text: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


REFUSED = {
    "no header": {},
    "unknown key": {"X-Authorization-Key": "nobodys"},
    "empty key": {"X-Authorization-Key": ""},
    "empty key beside a good bot token": {"X-Authorization-Key": "", "X-Tg-Bot-Key": TELEGRAM},
    "a bot's token as the key": {"X-Authorization-Key": TELEGRAM},
    "key in another case": {"X-Authorization-Key": KEY.upper()},
    "key of one account, Telegram bot of another": AUTH | {"X-Tg-Bot-Key": OTHER_TELEGRAM},
    "key of one account, Viber bot of another": AUTH | {"X-Viber-Auth-Token": OTHER_VIBER},
    "good key, unknown bot": AUTH | {"X-Tg-Bot-Key": "999:nobodys"},
    "unknown key, good bot": {"X-Authorization-Key": "nobodys", "X-Tg-Bot-Key": TELEGRAM},
    "bots of two accounts": {"X-Tg-Bot-Key": TELEGRAM, "X-Viber-Auth-Token": OTHER_VIBER},
    "a Viber token in Telegram's header": {"X-Tg-Bot-Key": VIBER},
    "Basic with another user": basic(f"acme:{KEY}"),
    "Basic with an unknown key": basic("@:nobodys"),
    "Basic without a colon": basic(KEY),
    "Basic that is no base64": {"Authorization": "Basic @:???"},
    "Basic that is no text": {"Authorization": "Basic //79"},
    "Basic that is not ASCII": {"Authorization": "Basic éé"},
    "Basic with nothing in it": {"Authorization": "Basic "},
    "good key beside a wrong Basic": AUTH | basic("@:nobodys"),
    "keys of two accounts": AUTH | basic(f"@:{OTHER_KEY}"),
    "another scheme": {"Authorization": f"Bearer {KEY}"},
}
LET_IN = {
    "API key": AUTH,
    "header names in any case": {"x-AUTHORIZATION-key": KEY},
    "Basic @:key": basic(f"@:{KEY}"),
    "Basic in another case": {"Authorization": basic(f"@:{KEY}")["Authorization"].replace("Basic", "bASIC")},
    "Telegram bot alone": {"X-Tg-Bot-Key": TELEGRAM},
    "Viber bot alone": {"X-Viber-Auth-Token": VIBER},
    "both bots": {"X-Tg-Bot-Key": TELEGRAM, "X-Viber-Auth-Token": VIBER},
    "all three": AUTH | {"X-Tg-Bot-Key": TELEGRAM, "X-Viber-Auth-Token": VIBER},
}


async def test_refuses_whoever_is_not_of_one_account_and_tells_them_all_the_same(doors: Doors) -> None:
    answers = {case: await doors.call("POST", SEND, [message()], headers=headers) for case, headers in REFUSED.items()}
    assert {case: answer.status for case, answer in answers.items()} == dict.fromkeys(REFUSED, 401)
    assert len({answer.body for answer in answers.values()}) == 1
    (answer, *_) = answers.values()
    assert answer.error["code"] == "UNAUTHORIZED"
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="Cascade"'
    assert await doors.stored() == 0


async def test_lets_in_every_credential_of_one_account(doors: Doors) -> None:
    answers = {case: await doors.call("POST", SEND, [message()], headers=headers) for case, headers in LET_IN.items()}
    assert {case: answer.status for case, answer in answers.items()} == dict.fromkeys(LET_IN, 200)


@pytest.mark.parametrize("path", ["/bat/message/0198c5a2-7b1e-7c3d-9f2a-3c4d5e6f7a8b", "/bat/message/nonsense"])
async def test_reading_a_status_takes_a_credential_too(doors: Doors, path: str) -> None:
    assert (await doors.call("GET", path, headers={})).status == 401


@pytest.mark.parametrize("path", ["/api/tg_bot/" + TELEGRAM, "/api/viber_bot/" + VIBER])
async def test_telling_subscribers_takes_a_credential_too(doors: Doors, path: str) -> None:
    assert (await doors.call("POST", path, [], headers={})).status == 401


LIMITED = {
    "Telegram bot alone": ({"X-Tg-Bot-Key": TELEGRAM}, {"telegram_bot"}),
    "Viber bot alone": ({"X-Viber-Auth-Token": VIBER}, {"viber_bot"}),
    "both bots": ({"X-Tg-Bot-Key": TELEGRAM, "X-Viber-Auth-Token": VIBER}, {"telegram_bot", "viber_bot"}),
    "a bot beside the key": (AUTH | {"X-Tg-Bot-Key": TELEGRAM}, {"telegram_bot", "viber_bot", "sms"}),
    "Basic beside a bot": (basic(f"@:{KEY}") | {"X-Tg-Bot-Key": TELEGRAM}, {"telegram_bot", "viber_bot", "sms"}),
}


async def test_a_bot_token_alone_limits_the_cascade_to_that_bot(city: Doors) -> None:
    await city.people(PHONE, telegram_bot="blocked", viber_bot="blocked", sms="delivers")
    tried = {}
    for case, (headers, _) in LIMITED.items():
        status = await city.until(await city.send_one(headers=headers), "delivered", "undeliverable")
        tried[case] = {channel for channel, word in status["extendedStatuses"].items() if word != "skipped"}
    assert tried == {case: channels for case, (_, channels) in LIMITED.items()}


@pytest.mark.parametrize("token", [TELEGRAM, SECOND_TELEGRAM])
async def test_a_bot_named_beside_the_key_is_the_one_that_sends(city: Doors, token: str) -> None:
    await city.people(PHONE, telegram_bot="delivers")
    await city.until(await city.send_one(headers=AUTH | {"X-Tg-Bot-Key": token}), "delivered")
    assert city.sandbox is not None
    (received,) = city.sandbox.people.look(PHONE).inbox
    assert (received.channel, received.account) == (Channel.TELEGRAM_BOT, token.partition(":")[0])


async def test_without_a_bot_named_the_first_one_sends(city: Doors) -> None:
    await city.people(PHONE, telegram_bot="delivers")
    await city.until(await city.send_one(), "delivered")
    assert city.sandbox is not None
    assert [received.account for received in city.sandbox.people.look(PHONE).inbox] == [TELEGRAM.partition(":")[0]]


ONE_LINE_EACH = {  # header lines as they come over the wire, and whether they let in
    "a key with spaces and tabs around it": ((f"X-Authorization-Key: \t{KEY} \t",), True),
    "a bot's token with a space behind it": ((f"X-Tg-Bot-Key: {TELEGRAM} ",), True),
    "the same key twice": ((f"X-Authorization-Key: {KEY}", f"x-authorization-key: {KEY}"), True),
    "a good key, then a wrong one": ((f"X-Authorization-Key: {KEY}", "X-Authorization-Key: nobodys"), False),
    "a good bot, then a wrong one": ((f"X-Tg-Bot-Key: {TELEGRAM}", "X-Tg-Bot-Key: 999:nobodys"), False),
    "a good Basic, then a wrong one": (
        tuple(f"Authorization: {basic(f'@:{key}')['Authorization']}" for key in (KEY, "nobodys")),
        False,
    ),
}


async def test_every_line_of_a_header_counts_and_the_space_around_it_does_not(doors: Doors) -> None:
    for case, (lines, is_let_in) in ONE_LINE_EACH.items():
        reader, writer = await asyncio.open_connection(HOST, doors.port)
        asked = ("GET /v1/channels HTTP/1.1", f"Host: {HOST}", *lines, "Connection: close", "", "")
        writer.write("\r\n".join(asked).encode())
        status = (await reader.readline()).split()[1]
        writer.close()
        assert status == (b"200" if is_let_in else b"401"), case
