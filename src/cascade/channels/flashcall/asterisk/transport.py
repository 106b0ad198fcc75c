"""The `Transport` of channel flashcall by an Asterisk: requests over HTTP, events over one websocket.

Unlike other providers over HTTP it needs aiohttp itself: for the websocket, and for requests that are no attempt.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import aiohttp
import orjson
import structlog

from cascade.channels.base import Capabilities, Health, Settle, TakeHeard
from cascade.channels.flashcall.asterisk.call import RESERVE_S, Call, Do, told
from cascade.channels.flashcall.asterisk.settings import AsteriskSettings, filled
from cascade.channels.flashcall.calls import Calls, Live, now_s, unfit
from cascade.channels.http import HEADERS, basic
from cascade.core.attempt import Attempt, NotSent, Outcome
from cascade.core.words import Channel, Reason

log = structlog.get_logger()

HEARTBEAT_S = 20.0
MOST_ANSWER_BYTES = 64 * 1024
NEVER_LEFT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""Refused, no such host, TLS not agreed, or too slow at any of it: no octet of the request was sent."""
OURS = "cascade-"
"""How the name of each of our channels begins."""
STRAYS = frozenset({"ChannelStateChange", "StasisStart"})
"""Events that show a call alive."""


class AsteriskTransport:
    """One Asterisk. Without its events there is no room: a call of which nothing is heard could ring for ever."""

    def __init__(self, settings: AsteriskSettings, link: str = "flashcall.asterisk") -> None:
        self.capabilities = Capabilities(Channel.FLASHCALL, has_receipts=False)
        self._settings = settings
        self._log = log.bind(link=link)
        self._calls: Calls[Call, Do] = Calls(settings.window, self._do, self._settled, self._log)
        self._ari = f"{settings.base_url.rstrip('/')}/ari"
        self._session: aiohttp.ClientSession | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._hears = False
        self._trouble: tuple[Reason, str | None] | None = None
        self._is_stopping = False
        self._on_room: Callable[[], None] = lambda: None

    def start(self, on_room: Callable[[], None], take: TakeHeard) -> None:
        """How a call ends is all there is to say of it, so nothing is heard later."""
        self._on_room = on_room
        self._is_stopping = False
        self._session = self._new_session()
        self._keeper = asyncio.create_task(self._keep_listening())

    def room(self) -> int:
        return self._calls.room if self._hears and not self._is_stopping else 0

    def trouble(self) -> tuple[Reason, str | None] | None:
        """See `Explains`."""
        return self._trouble

    def send(self, attempts: Sequence[Attempt], settle: Settle) -> None:
        room = self.room()
        has_refused = False
        for attempt in attempts[:room]:
            refusal = unfit(attempt)
            if refusal is not None:
                settle(attempt, refusal)
                has_refused = True
            else:
                name = f"{OURS}{attempt.message_id.hex()}-{attempt.number}"
                call = Call(name, self._settings, is_first=attempt.number == 1)
                self._calls.begin(name, call, attempt, settle)
        for attempt in attempts[room:]:
            settle(attempt, NotSent())
        if has_refused:
            asyncio.get_running_loop().call_soon(self._on_room)

    async def check(self) -> Health:
        """See `Checks`."""
        try:
            async with (
                self._new_session() as session,
                session.get(f"{self._ari}/asterisk/info?only=system", allow_redirects=False) as answer,
            ):
                said = await answer.json() if answer.status == 200 else {}
            if answer.status in (401, 403):
                return Health(False, f"it does not take our credentials: HTTP {answer.status}")
            if answer.status != 200:
                return Health(False, f"HTTP {answer.status}: is this an Asterisk with ARI?")
            return Health(True, f"Asterisk {said['system']['version']} as {self._settings.username}")
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is one
            return Health(False, f"it cannot be reached: {type(error).__name__}")
        except (ValueError, LookupError, TypeError) as error:
            return Health(False, f"its answer is not understood: {type(error).__name__}")

    async def stop(self, grace_s: float) -> None:
        self._is_stopping = True
        await self._calls.stop(grace_s)
        left = [*self._tasks, *([] if self._keeper is None else [self._keeper])]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def _new_session(self) -> aiohttp.ClientSession:
        settings = self._settings
        return aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=settings.timeout_s, connect=settings.timeout_s / 2),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={**HEADERS, "Authorization": basic(settings.username, settings.password)},
        )

    def _settled(self, outcome: Outcome) -> None:
        self._on_room()

    # -- requests -----------------------------------------------------------------------------------------------------

    def _do(self, live: Live[Call], what: Do) -> None:
        match what:
            case Do.ORIGINATE:
                self._spawn(self._originate(live))
            case Do.HANG_UP:
                self._spawn(self._hang_up(live.name))
            case Do.LOOK:
                self._spawn(self._look(live))

    async def _originate(self, live: Live[Call]) -> None:
        settings, attempt = self._settings, live.attempt
        phone, caller = (
            number if settings.plus else number.removeprefix("+") for number in (attempt.address, attempt.sender)
        )
        body = {
            "endpoint": filled(settings.endpoint, phone, caller),
            "app": settings.app,
            "appArgs": "flashcall",
            "callerId": caller,
            "timeout": round(settings.no_ring_s + settings.ring_s) + RESERVE_S,
            "variables": {name: filled(value, phone, caller) for name, value in settings.variables.items()},
        }
        try:
            status, answer = await self._ask("POST", live.name, body)
        except NEVER_LEFT:
            self._calls.proceed(live, live.call.unanswered(now_s(), has_left=False))
        except (aiohttp.ClientError, TimeoutError):
            self._calls.proceed(live, live.call.unanswered(now_s(), has_left=True))
        else:
            self._calls.proceed(live, live.call.originated(status, _words(answer), now_s()))

    async def _hang_up(self, name: str) -> None:
        """Its end is an event; where there is no such channel, that is its end."""
        try:
            status, _ = await self._ask("DELETE", f"{name}?reason=normal")
        except (aiohttp.ClientError, TimeoutError):
            return  # the timer of the call ends it for us, and Asterisk's own the call
        live = self._calls.get(name)
        if status == 404 and live is not None:
            live.call.gone()
            self._calls.proceed(live, [])

    async def _look(self, live: Live[Call]) -> None:
        try:
            status, answer = await self._ask("GET", live.name)
        except (aiohttp.ClientError, TimeoutError):
            return
        if status == 404:
            live.call.gone()
            self._calls.proceed(live, [])
        elif status == 200 and isinstance(answer, dict):
            self._calls.proceed(live, live.call.state(str(answer.get("state")), now_s()))

    async def _ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and body; None where that is no JSON."""
        assert self._session is not None  # noqa: S101 - started
        async with self._session.request(
            method,
            f"{self._ari}/channels/{path}",
            data=None if body is None else orjson.dumps(body),
            headers=None if body is None else {"Content-Type": "application/json"},
            allow_redirects=False,
        ) as answer:
            raw = b""
            async for piece in answer.content.iter_any():
                raw += piece
                if len(raw) > MOST_ANSWER_BYTES:
                    break
            try:
                return answer.status, orjson.loads(raw) if raw else None
            except ValueError:
                return answer.status, None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- events -------------------------------------------------------------------------------------------------------

    async def _keep_listening(self) -> None:
        """Listen, and when that ends listen again; then look at each call, for its events may have been missed."""
        assert self._session is not None  # noqa: S101
        pause_s = self._settings.reconnect_min_s
        while True:
            try:
                async with self._session.ws_connect(
                    f"{self._ari}/events?app={self._settings.app}",
                    heartbeat=HEARTBEAT_S,
                    timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                ) as events:
                    self._log.info("events_opened")
                    self._hears = True
                    self._trouble = None
                    pause_s = self._settings.reconnect_min_s
                    for live in self._calls:
                        self._do(live, Do.LOOK)
                    self._on_room()
                    async for message in events:
                        if message.type is aiohttp.WSMsgType.TEXT:
                            self._hear(message.data)
                self._log.warning("connection_lost")
            except aiohttp.WSServerHandshakeError as error:
                is_ours = error.status in (401, 403)
                self._trouble = Reason.MISCONFIGURED if is_ours else Reason.PROVIDER_DOWN, f"HTTP {error.status}"
                self._log.error("connect_refused", status=error.status)
            except (aiohttp.ClientError, OSError) as error:  # TimeoutError is one
                self._trouble = Reason.PROVIDER_DOWN, type(error).__name__
                self._log.warning("connect_failed", error=type(error).__name__)
            except Exception as error:  # such as a host that can be none: only its type, its text may hold what was set
                self._trouble = Reason.PROVIDER_DOWN, type(error).__name__
                self._log.error("connect_failed", error=type(error).__name__)
            finally:
                self._hears = False
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, self._settings.reconnect_max_s)

    def _hear(self, data: str) -> None:
        try:
            event = orjson.loads(data)
            channel = event.get("channel") or event.get("peer") or {}
            name = str(channel.get("id"))
            live = self._calls.get(name)
            if live is not None:
                self._calls.proceed(live, told(live.call, event, now_s()))
            elif name.startswith(OURS) and event.get("type") in STRAYS:
                self._log.warning("stray_call_ended")  # given up, or a dead predecessor's: nobody else would end it
                self._spawn(self._hang_up(name))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._log.warning("event_malformed", error=type(error).__name__)


def _words(answer: Any) -> str:
    return str(answer.get("message", "")) if isinstance(answer, dict) else ""
