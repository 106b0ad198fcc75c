"""What the twins of providers that are addressed by phone have in common: how a person behaves, what reaches the phone,
and when the sender is told.

A new twin is a subclass in its own file and a line in `app.py`. It takes paths that begin with its provider's name,
since all share one port; its base URL is `http://…/<name>`. It checks a request as its provider does, asks `behaviour`,
says `reach` when the message is on the phone, and `report` with what the provider would call back.
"""

import functools
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.http import HttpProcessingError

from cascade.sandbox.callbacks import Callback, Callbacks
from cascade.sandbox.people import AnswerLostError, Behaviour, Counters, People, Person, Received

NUMBERED = re.compile(r"^([1-9])\. (.+)$", re.MULTILINE)


class ThrottledError(Exception):
    """The provider asks the sender to slow down."""


class ProviderDownError(Exception):
    """The provider itself has failed."""


class MalformedError(Exception):
    """A field is of another type than the provider's documentation says."""


@dataclass(frozen=True, slots=True)
class TwinSettings:
    """`late_s` is how long a `late` person's receipt takes. With `keep_inbox` off no message is remembered: for
    benchmarks."""

    late_s: float = 10.0
    keep_inbox: bool = True


class PhoneTwin:
    """Raises `ThrottledError` and `ProviderDownError` for the subclass to say in its provider's words."""

    def __init__(self, people: People, callbacks: Callbacks, settings: TwinSettings) -> None:
        self.counters = Counters()
        self.people = people
        self.callbacks = callbacks
        self.settings = settings

    def routes(self) -> list[web.RouteDef]:
        raise NotImplementedError

    def answer(self, person: Person, received: Received, option: str) -> None:
        """The person taps or writes `option`, one of `received.replies`: tell the sender."""
        raise NotImplementedError

    def behaviour(self, person: Person, channel: str) -> Behaviour:
        """How the person answers on this channel, now that somebody sends there."""
        behaviour = person.on(channel)
        if behaviour is Behaviour.THROTTLED and person.is_first_try(channel):
            raise ThrottledError
        if behaviour is Behaviour.DOWN:
            raise ProviderDownError
        return behaviour

    def reach(self, person: Person, received: Received) -> None:
        """The message is on the phone."""
        self.counters.accepted += 1
        received.by = self
        if self.settings.keep_inbox:
            person.inbox.append(received)

    def report(self, behaviour: Behaviour, delivered: Callback, read: Callback | None = None) -> None:
        """Call the sender back as the person behaves. `read` None: this channel has no such report.

        Must be called after `reach`, and for a message that did.
        """
        if behaviour is Behaviour.SILENT:
            return
        reports = [delivered]
        if behaviour is Behaviour.READS and read is not None:
            reports.append(read)
        if behaviour is Behaviour.REPEATED:
            reports.append(delivered)
        self.callbacks.post(*reports, after_s=self.settings.late_s if behaviour is Behaviour.LATE else 0.0)


def counted(
    handler: Callable[[web.Request], Awaitable[web.Response]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A twin's method as a handler: counts the request, and cuts the connection on `AnswerLostError`."""
    twin: PhoneTwin = handler.__self__  # type: ignore[attr-defined]

    @functools.wraps(handler)
    async def handle(request: web.Request) -> web.Response:
        twin.counters.requests += 1
        try:
            return await handler(request)
        except AnswerLostError:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()

    return handle


@contextmanager
def reading() -> Iterator[None]:
    """Read a request in here, and nothing else: what has not the documented types is a `MalformedError`."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise MalformedError from error


async def form_of(request: web.Request) -> Mapping[str, str | web.FileField]:
    """What a form holds. Raises `MalformedError` when it cannot be read."""
    try:
        return {
            name: value for name, value in (await request.post()).items() if not isinstance(value, bytes | bytearray)
        }
    except (HttpProcessingError, LookupError, ValueError) as error:
        raise MalformedError from error


def plain(received: Received) -> Received:
    """The same, when all that it shows is text. Raises TypeError."""
    buttons = [value for button in received.buttons for value in button.values()]
    shown = [received.sender, received.text, *received.media.values(), *received.options, *buttons]
    if not all(isinstance(value, str) for value in (*shown, *received.replies.values())):
        raise TypeError("what a phone shows is text")
    return received


def is_web_url(url: Any) -> bool:
    """Whether it is a URL of http or https with a host."""
    try:
        parts = urlsplit(url)
    except (AttributeError, TypeError, ValueError):
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def options_in(text: str) -> dict[str, str]:
    """The options of a question that came as text, each with the number by which a person answers."""
    return {option: number for number, option in NUMBERED.findall(text)}
