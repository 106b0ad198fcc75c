"""Who is asking, and may they: the three headers of the contract, Basic in place of the key, scopes and rates."""

import base64
from collections.abc import Awaitable, Callable
from typing import Annotated, NamedTuple

from fastapi import Depends, Request

from cascade.api.faults import ErrorCode, RequestError
from cascade.api.parts import Parts
from cascade.api.rates import HEADERS
from cascade.core.directory import Account, ApiKey, Bot, Directory, Scope, digest
from cascade.core.words import Channel

BOT_HEADERS = (("x-viber-auth-token", Channel.VIBER_BOT), ("x-tg-bot-key", Channel.TELEGRAM_BOT))
BOT_SCOPES = frozenset({Scope.SEND, Scope.READ})
"""What a bot's token alone may do."""


class Caller(NamedTuple):
    """`bots` are those whose tokens came along. `is_limited`: tokens came alone, and nothing but these bots is used."""

    account: Account
    bots: tuple[Bot, ...]
    is_limited: bool

    @property
    def account_id(self) -> int:
        return self.account.id


def unauthorized() -> RequestError:
    """One answer for every way to be wrong, so that nothing can be learnt from it."""
    return RequestError(
        401,
        ErrorCode.UNAUTHORIZED,
        "Unauthorized: send a valid X-Authorization-Key, X-Viber-Auth-Token or X-Tg-Bot-Key; all of one account",
    )


def _needs(scope: Scope) -> Callable[[Request], Awaitable[Caller]]:
    """A dependency: the account that every credential sent belongs to.

    Raises `RequestError`: 401 when a credential is wrong or none came, 403 when they are right but may not do this or
    not from there, 429 when the account asks too often.
    """

    async def caller(request: Request) -> Caller:
        parts: Parts = request.app.state.parts
        now_ms = parts.now_ms()
        directory = parts.directory()
        keys = _keys(request, directory, now_ms)
        bots = _bots(request, directory)
        owners = {key.account_id for key in keys} | {bot.account_id for bot in bots}
        if len(owners) != 1:
            raise unauthorized()
        host = request.client.host if request.client else ""
        if not all(key.may(scope, host) for key in keys) or not (keys or scope in BOT_SCOPES):
            raise RequestError(
                403,
                ErrorCode.FORBIDDEN,
                f"This credential may not do this: it takes the scope {scope.value!r}, and"
                " an address that the key allows",
            )
        account = directory.accounts[owners.pop()]
        await _check_rate(request, parts, account, scope, now_ms)
        return Caller(account, bots, is_limited=not keys)

    return caller


send_caller = _needs(Scope.SEND)
SendCaller = Annotated[Caller, Depends(send_caller)]
ReadCaller = Annotated[Caller, Depends(_needs(Scope.READ))]
AdminCaller = Annotated[Caller, Depends(_needs(Scope.ADMIN))]


def _keys(request: Request, directory: Directory, now_ms: int) -> list[ApiKey]:
    """Every API key sent, each valid; 401 when one is not."""
    sent = (*_lines(request, "x-authorization-key"), *map(_basic_key, _lines(request, "authorization")))
    keys = []
    for text in sent:
        if text is not None:
            key = directory.api_key(text)
            if key is None or not key.is_valid(now_ms):
                raise unauthorized()
            request.app.state.parts.keys_used[digest(text)] = now_ms
            keys.append(key)
    return keys


def _bots(request: Request, directory: Directory) -> tuple[Bot, ...]:
    """Every bot whose token was sent; 401 when one is unknown."""
    bots = []
    for header, channel in BOT_HEADERS:
        for token in _lines(request, header):
            bot = directory.bot_of_token(channel, token)
            if bot is None:
                raise unauthorized()
            bots.append(bot)
    return tuple(bots)


def _lines(request: Request, header: str) -> list[str]:
    """What each line of this header says, without the space around it (RFC 9110, 5.5); the server leaves some."""
    return [line.strip(" \t") for line in request.headers.getlist(header)]


async def _check_rate(request: Request, parts: Parts, account: Account, scope: Scope, now_ms: int) -> None:
    is_send = scope is Scope.SEND
    rate = (account.send_rate or parts.send_rate) if is_send else (account.read_rate or parts.read_rate)
    verdict = await parts.rates.check(account.id, "send" if is_send else "read", rate, now_ms)
    headers = dict(verdict.headers)
    if verdict.retry_after_s is not None:
        headers["Retry-After"] = str(verdict.retry_after_s)
    setattr(request.state, HEADERS, headers)
    if verdict.retry_after_s is not None:
        raise RequestError(
            429, ErrorCode.RATE_LIMITED, f"More than {rate.per_s} requests a second: wait {verdict.retry_after_s} s"
        )


def _basic_key(authorization: str) -> str | None:
    """The key of `Basic @:<key>`; None when it is no Basic; an empty key when it is malformed."""
    if not authorization.lower().startswith("basic "):
        return None
    try:
        user, _, key = base64.b64decode(authorization[6:].strip(), validate=True).decode().partition(":")
    except ValueError:  # no base64, not even ASCII, or no text
        return ""
    return key if user == "@" else ""
