"""Who is asking: the three headers of the contract, and Basic in place of the key."""

import base64
import binascii
from typing import Annotated, NamedTuple

from fastapi import Depends, Request

from cascade.api.faults import ErrorCode, RequestError
from cascade.core.directory import Bot
from cascade.core.words import Channel


class Caller(NamedTuple):
    """`bots` are those whose tokens came along. `is_limited`: tokens came alone, and nothing but these bots is used."""

    account_id: int
    bots: tuple[Bot, ...]
    is_limited: bool


def unauthorized() -> RequestError:
    """One answer for every way to be wrong, so that nothing can be learnt from it."""
    return RequestError(
        401,
        ErrorCode.UNAUTHORIZED,
        "Unauthorized: send a valid X-Authorization-Key, X-Viber-Auth-Token or X-Tg-Bot-Key; all of one account",
    )


async def caller(request: Request) -> Caller:
    """The account that every credential sent belongs to; `RequestError` 401 when one is wrong or none came."""
    directory = request.app.state.parts.directory()
    headers = request.headers
    accounts: set[int | None] = set()
    sent = (headers.get("x-authorization-key"), _basic_key(headers.get("authorization")))
    keys = [key for key in sent if key is not None]
    accounts.update(directory.account_of_key(key) for key in keys)
    bots = []
    for header, channel in (("x-viber-auth-token", Channel.VIBER_BOT), ("x-tg-bot-key", Channel.TELEGRAM_BOT)):
        token = headers.get(header)
        if token is not None:
            bot = directory.bot_of_token(channel, token)
            accounts.add(bot.account_id if bot else None)
            if bot is not None:
                bots.append(bot)
    if len(accounts) != 1:
        raise unauthorized()
    (account_id,) = accounts
    if account_id is None:
        raise unauthorized()
    return Caller(account_id, tuple(bots), is_limited=not keys)


CurrentCaller = Annotated[Caller, Depends(caller)]


def _basic_key(authorization: str | None) -> str | None:
    """The key of `Basic @:<key>`; None when there is no Basic header; an empty key when it is malformed."""
    if authorization is None or not authorization.lower().startswith("basic "):
        return None
    try:
        user, _, key = base64.b64decode(authorization[6:].strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return key if user == "@" else ""
