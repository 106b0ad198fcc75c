"""An Asterisk of the sandbox: its REST interface, and its events over a websocket.

What a phone's behaviour on channel `flashcall` is here:
- `delivers`: it rings until the channel is hung up; `reads`: it rings, and the person pushes the call away (cause 21);
- `absent`: no such number (cause 1); `blocked`: refused before it rings (21); `rejects`: a bad request (400);
- `silent`: the channel is there, and nothing rings; `late`: the same, and it rings after `late_s`;
- `repeats`: every event comes twice;
- `throttled`: congestion at the first try (cause 42); `down`: an error of Asterisk's own at every try (500);
- `answer_lost`: the phone rings, but the connection ends before the answer to the request.

Source: Asterisk's ARI documentation, channels, events and their models.
"""

import asyncio
import hmac
import math
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from cascade.sandbox.people import Behaviour, Counters, People, iso_now, missed_call, normal_phone

CHANNEL = "flashcall"
JSON_HEADERS = {"Content-Type": "application/json"}
DECLINES_S = 0.3
LONGEST_TIMEOUT_S = 3600
THROUGH = re.compile(r"PJSIP/([^@/]+)@")
CAUSES: Mapping[Behaviour, tuple[int, str]] = {
    Behaviour.ABSENT: (1, "Unallocated (unassigned) number"),
    Behaviour.BLOCKED: (21, "Call Rejected"),
    Behaviour.THROTTLED: (42, "Switching equipment congestion"),
}
NORMAL = (16, "Normal Clearing")
NO_ANSWER = (19, "User alerting, no answer")


@dataclass(slots=True, eq=False)
class Channel:
    id: str
    app: str
    phone: str
    caller: str
    copies: int
    state: str = "Down"
    timers: list[asyncio.TimerHandle] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": f"PJSIP/trunk-{self.id[-8:]}",
            "state": self.state,
            "caller": {"name": "", "number": self.caller},
            "connected": {"name": "", "number": self.phone},
            "accountcode": "",
            "dialplan": {"context": "default", "exten": "s", "priority": 1, "app_name": "AppDial2", "app_data": ""},
            "creationtime": iso_now(),
            "language": "en",
        }


class Asterisk:
    """`users` maps names to passwords, as in ari.conf."""

    def __init__(
        self, people: People, users: Mapping[str, str], *, late_s: float = 10.0, keep_inbox: bool = True
    ) -> None:
        self.counters = Counters()
        self.originated: list[dict[str, Any]] = []
        self.hung_up: list[str] = []
        self._people = people
        self._users = dict(users)
        self._late_s = late_s
        self._keep_inbox = keep_inbox
        self._channels: dict[str, Channel] = {}
        self._listeners: dict[str, web.WebSocketResponse] = {}  # by app, of which the latest connection alone listens
        self._posts: set[asyncio.Task[None]] = set()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/ari/events", self._events),
            web.get("/ari/asterisk/info", self._info),
            web.post("/ari/channels/{id}", self._originate),
            web.get("/ari/channels/{id}", self._get),
            web.delete("/ari/channels/{id}", self._delete),
        ]

    async def stop(self) -> None:
        for channel in self._channels.values():
            for timer in channel.timers:
                timer.cancel()
        self._channels.clear()
        await self.drop()

    async def drop(self) -> None:
        """End every connection for events."""
        for listener in list(self._listeners.values()):
            await listener.close()

    # -- doors --------------------------------------------------------------------------------------------------------

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if not self._is_known(request):
            return said(401, "Authentication required")
        app = request.query.get("app", "")
        if not app:
            return said(400, "HTTP request is missing param: [app]")
        listener = web.WebSocketResponse()
        await listener.prepare(request)
        replaced = self._listeners.get(app)
        self._listeners[app] = listener
        if replaced is not None:
            await replaced.close()
        async for message in listener:
            if message.type is WSMsgType.ERROR:
                break
        if self._listeners.get(app) is listener:
            del self._listeners[app]
        return listener

    async def _info(self, request: web.Request) -> web.Response:
        if not self._is_known(request):
            return said(401, "Authentication required")
        return web.Response(body=orjson.dumps({"system": {"version": "20.9.3"}}), headers=JSON_HEADERS)

    async def _originate(self, request: web.Request) -> web.Response:
        self.counters.requests += 1
        if not self._is_known(request):
            return said(401, "Authentication required")
        given = dict(request.query)
        raw = await request.read()
        try:
            given |= orjson.loads(raw) if raw else {}
        except (ValueError, TypeError):
            return said(400, "Invalid JSON")
        name, app = request.match_info["id"], str(given.get("app", ""))
        dialed = THROUGH.match(str(given.get("endpoint", "")))
        phone = normal_phone(dialed[1]) if dialed else None
        if phone is None:
            return said(400, "Endpoint not specified")
        if name in self._channels:
            return said(409, "Channel with given unique ID already exists")
        try:
            timeout_s = float(given.get("timeout", 30))
        except (TypeError, ValueError):
            timeout_s = math.nan
        if not timeout_s <= LONGEST_TIMEOUT_S:
            return said(400, "Invalid timeout")
        person = self._people.get(phone)
        behaviour = person.on(CHANNEL)
        if behaviour is Behaviour.REJECTS:
            return said(400, "Invalid parameters for originating a channel")
        if behaviour is Behaviour.DOWN:
            return said(500, "Allocation failed")
        caller = str(given.get("callerId", ""))
        copies = 2 if behaviour is Behaviour.REPEATED else 1
        channel = self._channels[name] = Channel(name, app, phone, normal_phone(caller) or caller, copies)
        self.counters.accepted += 1
        if self._keep_inbox:
            self.originated.append(given)
        self._act(channel, behaviour, is_first=person.is_first_try(CHANNEL))
        self._after(channel, timeout_s, partial(self._end, channel, NO_ANSWER))
        if behaviour is Behaviour.ANSWER_LOST and request.transport is not None:
            request.transport.abort()
        return web.Response(body=orjson.dumps(channel.as_json()), headers=JSON_HEADERS)

    async def _get(self, request: web.Request) -> web.Response:
        channel = self._channels.get(request.match_info["id"])
        if not self._is_known(request):
            return said(401, "Authentication required")
        if channel is None:
            return said(404, "Channel not found")
        return web.Response(body=orjson.dumps(channel.as_json()), headers=JSON_HEADERS)

    async def _delete(self, request: web.Request) -> web.Response:
        channel = self._channels.get(request.match_info["id"])
        if not self._is_known(request):
            return said(401, "Authentication required")
        if channel is None:
            return said(404, "Channel not found")
        if self._keep_inbox:
            self.hung_up.append(channel.id)
        self._end(channel, NORMAL)
        return web.Response(status=204)

    def _is_known(self, request: web.Request) -> bool:
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        try:
            given = b64decode(encoded).decode() if scheme == "Basic" else request.query.get("api_key", "")
        except ValueError:
            return False
        name, _, password = given.partition(":")
        return name in self._users and hmac.compare_digest(self._users[name].encode(), password.encode())

    # -- calls --------------------------------------------------------------------------------------------------------

    def _act(self, channel: Channel, behaviour: Behaviour, *, is_first: bool) -> None:
        ends_at_once = behaviour in CAUSES and (behaviour is not Behaviour.THROTTLED or is_first)
        if ends_at_once:
            self._after(channel, 0, partial(self._end, channel, CAUSES[behaviour]))
        elif behaviour is Behaviour.LATE:
            self._after(channel, self._late_s, partial(self._ring, channel))
        elif behaviour is not Behaviour.SILENT:
            self._after(channel, 0, partial(self._ring, channel))
            if behaviour is Behaviour.READS:
                self._after(channel, DECLINES_S, partial(self._end, channel, CAUSES[Behaviour.BLOCKED]))

    def _ring(self, channel: Channel) -> None:
        if self._keep_inbox:
            self._people.get(channel.phone).inbox.append(missed_call(channel.caller, channel.id))
        channel.state = "Ringing"
        self._tell(channel, {"type": "Dial", "dialstatus": "RINGING", "peer": channel.as_json()})
        self._tell(channel, {"type": "ChannelStateChange", "channel": channel.as_json()})

    def answer(self, phone: str) -> None:
        """A voicemail takes the call that rings on this phone."""
        for channel in self._channels.values():
            if channel.phone == phone:
                channel.state = "Up"
                self._tell(channel, {"type": "ChannelStateChange", "channel": channel.as_json()})
                self._tell(channel, {"type": "StasisStart", "args": ["flashcall"], "channel": channel.as_json()})

    def _end(self, channel: Channel, cause: tuple[int, str]) -> None:
        if self._channels.pop(channel.id, None) is None:
            return
        for timer in channel.timers:
            timer.cancel()
        number, words = cause
        event = {"type": "ChannelDestroyed", "cause": number, "cause_txt": words, "channel": channel.as_json()}
        self._tell(channel, event)

    def _after(self, channel: Channel, delay_s: float, do: partial[None]) -> None:
        channel.timers.append(asyncio.get_running_loop().call_later(delay_s, do))

    def _tell(self, channel: Channel, event: dict[str, Any]) -> None:
        listener = self._listeners.get(channel.app)
        if listener is None or listener.closed:
            return
        text = orjson.dumps({"application": channel.app, "timestamp": iso_now(), **event}).decode()
        task = asyncio.ensure_future(self._send(listener, text, channel.copies))
        self._posts.add(task)
        task.add_done_callback(self._posts.discard)

    async def _send(self, listener: web.WebSocketResponse, text: str, copies: int) -> None:
        try:
            for _ in range(copies):
                await listener.send_str(text)
        except ConnectionError:
            return  # whoever listened has gone: Asterisk keeps no event


def said(status: int, words: str) -> web.Response:
    return web.Response(status=status, body=orjson.dumps({"message": words}), headers=JSON_HEADERS)
