"""The same client for asyncio: every call of `CascadeMessenger`, to be awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar

import httpx

from . import calls
from .calls import Call
from .connection import TIMEOUT_S, connection, unreachable
from .errors import CascadeError
from .retries import Retries
from .words import FlashcallCheck, Listed, MessageType, Preview, Refused, Route, Sent, Status

T = TypeVar("T")


class AsyncCascadeMessenger:
    """A client of one gateway for one account. Safe to share between tasks; `close` it, or use it in an `async with`.

    `api_key` None: the environment's `CASCADE_KEY`; `base_url` None: `CASCADE_URL`, or this machine. `viber_token` and
    `telegram_key` choose the account's bots, or stand in for the key. Every call raises `CascadeError`; what may help
    is tried again first, and no message is ever sent twice by that (see `Retries`).
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        viber_token: str | None = None,
        telegram_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: Retries = Retries(),  # noqa: B008 - it never changes
    ) -> None:
        self._connection = connection(api_key, base_url, viber_token, telegram_key, timeout_s, retries)
        self._http = httpx.AsyncClient(timeout=self._connection.timeout)

    @property
    def base_url(self) -> str:
        return self._connection.url

    async def send_message(
        self,
        tracking_id: str,
        from_name: str,
        to_phone: str,
        message_type: MessageType,
        text: str | None = None,
        ttl: int | None = None,
        scheduled: datetime | str | None = None,
        *,
        via: Route = "standard",
        **more: object,
    ) -> Sent:
        """Send one message. `more`: every other field of the contract by its name, such as `tags=["spring"]`."""
        message = calls.message_of(tracking_id, from_name, to_phone, message_type, text, ttl, scheduled, more)
        return (await self.send_bulk([message], via=via))[0]

    async def send_telegram_viber(
        self,
        tracking_id: str,
        from_name: str,
        to_phone: str,
        message_type: MessageType,
        text: str | None = None,
        ttl: int | None = None,
        scheduled: datetime | str | None = None,
        **more: object,
    ) -> Sent:
        """Send one message by both bots first, with short windows."""
        message = calls.message_of(tracking_id, from_name, to_phone, message_type, text, ttl, scheduled, more)
        return (await self.send_bulk([message], via="tg-viber"))[0]

    async def send_bulk(
        self, messages: Iterable[Mapping[str, object]], *, via: Route = "standard", idempotency_key: str | None = None
    ) -> list[Sent]:
        """Send any number of messages in requests of up to 1,000; what became of each, in order.

        A request with one bad message is refused whole: the error's `index` is the bad one's place in `messages`, and
        its `sent` what the requests before had accepted.
        """
        sent: list[Sent] = []
        for call in calls.send(messages, via, idempotency_key=idempotency_key):
            try:
                accepted: list[Sent] = await self._do(call)
                sent += accepted
            except CascadeError as error:
                error.sent = sent
                raise
        return sent

    async def send_partial(
        self, messages: Iterable[Mapping[str, object]], *, via: Route = "standard", idempotency_key: str | None = None
    ) -> AsyncIterator[Sent | Refused]:
        """Send the good ones of any number of messages; what became of each, in order, as the requests are answered.

        Messages are read as they are sent, so their number costs no memory.
        """
        for call in calls.send(messages, via, is_partial=True, idempotency_key=idempotency_key):
            for one in await self._do(call):
                yield one

    async def preview(
        self, messages: Iterable[Mapping[str, object]], *, via: Route = "standard"
    ) -> AsyncIterator[Preview | Refused]:
        """What would become of each message: its steps, texts and cost. Nothing is stored or sent."""
        for call in calls.preview(messages, via):
            for one in await self._do(call):
                yield one

    async def status(self, message_id: str) -> Status:
        """One message in full, with its timeline."""
        return await self._do(calls.status(message_id))

    async def statuses(self, *, message_ids: Iterable[str] = (), tracking_ids: Iterable[str] = ()) -> dict[str, Listed]:
        """Any number of messages by our ids or by yours; those that are not known are not in it."""
        found: dict[str, Listed] = {}
        for call in calls.look_up(message_ids, "messageIds"):
            found |= {one["messageId"]: one for one in (await self._do(call))["messages"]}
        for call in calls.look_up(tracking_ids, "trackinIds"):
            found |= {one["trackinId"]: one for one in (await self._do(call))["messages"]}
        return found

    async def messages(self, **filters: object) -> AsyncIterator[Listed]:
        """Every message that fits, the newest first, asked for page by page.

        Filters: `since`, `until` (of acceptance), `status`, `channel`, `message_type`, `phone`, `tracking_id`, `tag`.
        """
        cursor: str | None = None
        while True:
            page, cursor = await self._do(calls.page(filters, cursor, calls.LONGEST_PAGE))
            for one in page:
                yield one
            if cursor is None:
                return

    async def cancel(self, message_id: str) -> Status:
        """Cancel what has not begun; `InvalidRequestError` with `NOT_CANCELLABLE` otherwise."""
        return await self._do(calls.change(message_id, "cancel"))

    async def hasten(self, message_id: str) -> Status:
        """Send a scheduled message now."""
        return await self._do(calls.change(message_id, "hasten"))

    async def reschedule(self, message_id: str, at: datetime | str) -> Status:
        return await self._do(calls.change(message_id, "reschedule", {"scheduledSent": at}))

    async def cancel_tag(self, tag: str) -> dict[str, int]:
        """Cancel all of a tag that has not begun: `cancelled` and `tooLate`."""
        return await self._do(calls.change_tag(tag, "cancel"))

    async def hasten_tag(self, tag: str) -> dict[str, int]:
        return await self._do(calls.change_tag(tag, "hasten"))

    async def reschedule_tag(self, tag: str, at: datetime | str) -> dict[str, int]:
        return await self._do(calls.change_tag(tag, "reschedule", {"scheduledSent": at}))

    async def check_flashcall(self, message_id: str, digits: str) -> FlashcallCheck:
        """Whether these digits, which a person typed, are the last ones of the number that called."""
        return await self._do(calls.check_flashcall(message_id, digits))

    async def statistics(self, *, interval: str = "day", by: Iterable[str] = (), **filters: object) -> dict[str, Any]:
        """Counts, delivered share and cost by `day` or `hour`; `by`: channel, status, type, tag. Filters as for
        `messages`."""
        return await self._do(calls.statistics(filters, interval, by))

    async def channels(self) -> list[dict[str, Any]]:
        """The account's links: up or down, in flight, what waits in their lanes."""
        return await self._do(calls.channels())

    async def put_variables(self, variables: Iterable[Mapping[str, object]]) -> int:
        """Store values for `%type=id%` in later texts; how many were stored."""
        return await self._do(calls.put_variables(variables))

    async def add_webhook(self, url: str, types: Iterable[str] | None = None) -> dict[str, Any]:
        """Be told of events at this URL. The `secret` in the answer is shown this once: `verify` needs it."""
        return await self._do(calls.add_webhook(url, types))

    async def webhooks(self) -> list[dict[str, Any]]:
        return await self._do(calls.webhooks())

    async def remove_webhook(self, webhook_id: str) -> None:
        await self._do(calls.remove_webhook(webhook_id))

    async def _do(self, call: Call[T]) -> T:
        tried = 0
        while True:
            tried += 1
            try:
                answer = await self._http.send(self._connection.request(self._http, call))
                return call.answer(answer.status_code, answer.headers, answer.content)
            except httpx.RequestError as error:
                failure: CascadeError = unreachable(error, self.base_url)
            except CascadeError as error:
                failure = error
            await asyncio.sleep(self._connection.pause_s(call, failure, tried))

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> AsyncCascadeMessenger:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
