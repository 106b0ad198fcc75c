"""The people interface: how phones behave, what reached them, and what they answer."""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Protocol

import orjson
from aiohttp import web

from cascade.sandbox.directory import Directory, DirectoryRefusedError
from cascade.sandbox.page import CONTENT_SECURITY_POLICY, FILES, asset, render
from cascade.sandbox.people import CHANNELS, Behaviour, People, Person, Received, normal_phone

MOST_WRITTEN = 1_000
JSON_HEADERS = {"Content-Type": "application/json"}


class BotTwin(Protocol):
    """A channel where a person must talk to a bot before it can write to them."""

    @property
    def channel(self) -> str: ...

    def join(self, phone: str) -> Person: ...

    def directory_entries(self, person: Person) -> list[tuple[str, dict[str, Any]]]: ...

    def turn(self, person: Person, before: Behaviour) -> None: ...

    def answer(self, person: Person, received: Received, option: str) -> None: ...

    def say(self, person: Person, text: str) -> None: ...

    def share_contact(self, person: Person, owner: Person) -> None: ...


class Writes(Protocol):
    """A channel where a person can write what they like."""

    def say(self, person: Person, text: str) -> None: ...


class ProblemError(Exception):
    """A request that cannot be done; `error` is what the caller is told."""

    def __init__(self, status: int, field: str, message: str, allowed: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.error: dict[str, Any] = {"field": field, "message": message}
        if words := list(allowed):
            self.error["allowed"] = words


class Phones:
    """`/people…` and the page at `/`. `directory` is None when no gateway is to be told of subscribers."""

    def __init__(
        self, people: People, bots: Iterable[BotTwin], directory: Directory | None, sms: Writes | None = None
    ) -> None:
        self._people = people
        self._bots = {bot.channel: bot for bot in bots}
        self._writes: dict[str, Writes] = {**self._bots, **({} if sms is None else {"sms": sms})}
        self._directory = directory

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self._page),
            *(web.get(f"/{name}", partial(self._asset, name)) for name in FILES),
            web.get("/people", said(self._list)),
            web.get("/people/{phone}", said(self._get)),
            web.put("/people/{phone}", said(self._put)),
            web.get("/people/{phone}/inbox", said(self._inbox)),
            web.delete("/people/{phone}/inbox", said(self._empty)),
            web.post("/people/{phone}/answer", said(self._answer)),
            web.post("/people/{phone}/write", said(self._write)),
            web.post("/people/{phone}/share-contact", said(self._share_contact)),
        ]

    async def _page(self, request: web.Request) -> web.Response:
        phone = normal_phone(request.query.get("phone", "").strip())
        html = render(self._people, self._people.look(phone) if phone else None)
        headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Cache-Control": "no-store"}
        return web.Response(text=html, content_type="text/html", headers=headers)

    async def _asset(self, name: str, request: web.Request) -> web.Response:
        return web.Response(text=asset(name), content_type=FILES[name], headers={"Cache-Control": "no-cache"})

    async def _list(self, request: web.Request) -> Any:
        return [person.as_json() for person in self._people]

    async def _get(self, request: web.Request) -> Any:
        return self._people.look(phone_in_path(request)).as_json()

    async def _put(self, request: web.Request) -> Any:
        """Let a phone behave so. On a bot's channel, anything but `absent` means that they have talked to the bot."""
        phone = phone_in_path(request)
        behaviours = behaviours_in(await body_of(request))
        person = self._people.look(phone)
        joined = [bot for channel, bot in self._bots.items() if is_there(behaviours.get(channel))]
        for bot in joined:
            await self._introduce(bot, person)
        before = {channel: person.on(channel) for channel in self._bots}
        for bot in joined:
            bot.join(phone)
        person = self._people.get(phone)
        person.behave(behaviours)
        for channel, bot in self._bots.items():
            bot.turn(person, before[channel])
        return person.as_json()

    async def _inbox(self, request: web.Request) -> Any:
        return [received.as_json() for received in self._people.look(phone_in_path(request)).inbox]

    async def _empty(self, request: web.Request) -> Any:
        self._people.look(phone_in_path(request)).inbox.clear()
        return []

    async def _answer(self, request: web.Request) -> Any:
        """Tap an option of the newest message on a channel that has any and was not revoked."""
        person = self._people.look(phone_in_path(request))
        body = await body_of(request)
        channel = str(body.get("channel"))
        if channel not in CHANNELS:
            raise ProblemError(400, "channel", "not a channel where a person can answer", CHANNELS)
        asked = (
            received
            for received in reversed(person.inbox)
            if received.channel == channel and received.replies and not received.revoked
        )
        received = next(asked, None)
        if received is None:
            raise ProblemError(409, "option", f"nothing to answer reached this phone on {channel}")
        option = body.get("option")
        if not isinstance(option, str) or option not in received.replies:
            raise ProblemError(400, "option", "not an option of the newest message", received.options)
        answered = received.by or self._bots[channel]
        answered.answer(person, received, option)
        return {"channel": channel, "option": option, "provider_id": received.provider_id}

    async def _write(self, request: web.Request) -> Any:
        """Write to a bot, or by SMS to whoever wrote last. Whoever was absent from the bot talks to it by this."""
        phone = phone_in_path(request)
        body = await body_of(request)
        channel, text = str(body.get("channel")), body.get("text")
        if channel not in self._writes:
            raise ProblemError(400, "channel", "not a channel where a person can write", self._writes)
        if not isinstance(text, str) or not 1 <= len(text) <= MOST_WRITTEN:
            raise ProblemError(400, "text", f"write 1 to {MOST_WRITTEN} characters")
        person = self._people.get(phone) if channel not in self._bots else self._bots[channel].join(phone)
        if channel in self._bots and not is_there(person.on(channel)):
            person.behaviours[channel] = Behaviour.DELIVERS
        self._writes[channel].say(person, text)
        return {"channel": channel, "text": text}

    async def _share_contact(self, request: web.Request) -> Any:
        """Share the phone with the bots, or with `phone` in the body somebody else's, as a forger would.

        Whoever was absent talks to the bots by this; it is the bots, not this twin, that tell the gateway.
        """
        phone = phone_in_path(request)
        body = await body_of(request)
        bot = self._bot(body)
        owner_phone = normal_phone(str(body.get("phone", phone)))
        if owner_phone is None:
            raise ProblemError(400, "phone", "not an international phone number")
        person = bot.join(phone)
        if not is_there(person.on(bot.channel)):
            person.behaviours[bot.channel] = Behaviour.DELIVERS
        bot.share_contact(person, self._people.look(owner_phone))
        return {"channel": bot.channel, "phone": owner_phone}

    def _bot(self, body: dict[str, Any]) -> BotTwin:
        bot = self._bots.get(str(body.get("channel")))
        if bot is None:
            raise ProblemError(400, "channel", "not a channel where a person can answer", self._bots)
        return bot

    async def _introduce(self, bot: BotTwin, person: Person) -> None:
        if self._directory is None:
            return
        try:
            for token, entry in bot.directory_entries(person):
                await self._directory.add(bot.channel, token, entry)
        except DirectoryRefusedError as error:
            raise ProblemError(502, bot.channel, str(error)) from error


def said(handler: Callable[[web.Request], Awaitable[Any]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Say what a handler returns as JSON, and a problem as `{"error": {"field", "message", "allowed"}}`."""

    async def answer(request: web.Request) -> web.Response:
        try:
            value, status = await handler(request), 200
        except ProblemError as problem:
            value, status = {"error": problem.error}, problem.status
        return web.Response(status=status, body=orjson.dumps(value), headers=JSON_HEADERS)

    return answer


def phone_in_path(request: web.Request) -> str:
    phone = normal_phone(request.match_info["phone"])
    if phone is None:
        raise ProblemError(400, "phone", "not an international phone number: + and 7 to 15 digits, the first not 0")
    return phone


async def body_of(request: web.Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise ProblemError(400, "body", "not JSON") from error
    if not isinstance(body, dict):
        raise ProblemError(400, "body", "not a JSON object")
    return body


def behaviours_in(body: dict[str, Any]) -> dict[str, Behaviour]:
    behaviours = {}
    for channel, word in body.items():
        if channel not in CHANNELS:
            raise ProblemError(400, channel, "unknown channel", CHANNELS)
        try:
            behaviours[channel] = Behaviour(word)
        except ValueError as error:
            raise ProblemError(400, channel, f"unknown behaviour {word!r}", Behaviour) from error
    return behaviours


def is_there(behaviour: Behaviour | None) -> bool:
    """Whether somebody who behaves so has ever talked to the bot; None is the default, which is absent."""
    return behaviour not in (None, Behaviour.ABSENT)
