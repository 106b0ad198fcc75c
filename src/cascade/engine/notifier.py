"""Tells clients of events by webhook: signed, at least once, in order for one message.

A slow or dead webhook costs no other one anything: each has its own bounded number of tries under way, and is
claimed for by itself. What this process adds while a webhook has room and nothing waits for it is never claimed: it is
stored as being under way, and begun when it is committed (`Courier`). Of a webhook that answers quickly more are taken
than may be unanswered at once; the others are held for a moment.
"""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import orjson
import structlog
import uuid_utils

from cascade.core.errors import ConfigError, StoreUnavailableError
from cascade.core.signature import sign
from cascade.engine import metrics
from cascade.engine.egress import Answer, Egress
from cascade.engine.egress_process import EgressProcess
from cascade.engine.supervision import wait
from cascade.store import accounts, deliveries, webhooks
from cascade.store.accounts import Seal
from cascade.store.database import Database, Transaction, WebhookKey
from cascade.store.deliveries import Claimed, State, Tried
from cascade.store.webhooks import Format, Webhook

log = structlog.get_logger()

POLL_S = 1.0
STORE_RETRY_S = 1.0
STALLED_CHECK_MS = 500
QUICK_MS = 1_000
"""A webhook whose last try succeeded within this time is taken so many for at once:"""
QUICK_SHARE = 4
"""times `concurrency`. A set of receipts brings more than may be unanswered, and what is left of it costs a claim."""
HELD_MS = 5_000
"""So long one of them is held at most: then it is given back, and whoever finds it due claims it."""
LEASE_MARGIN_MS = 15_000
"""Beyond the time-out of a try, so that its result is written before anyone else takes it up, even if it was held."""
RECORD_AT = 64
"""As soon as there are so many results, they are written down;"""
RECORD_EVERY_S = 0.01
"""so long the first of fewer waits for company while others are under way. Only the next event of its message waits for
that."""
MOST_SHOWN = 500
LATEST_MS = 1 << 62
LONGEST_RETRY_AFTER_S = 24 * 3600
FORGET_EVERY_MS = 3_600_000
FORGET_SET = 500
OPEN_SECRETS = 1_000
"""As many are kept readable in memory: to open one costs as much as to sign with it."""
GONE = 410
GONE_REASON = "it answered 410 Gone"
FAILING_REASON = "every try failed for too long"


@dataclass(frozen=True, slots=True)
class NotifierSettings:
    """`retry_delays_s`: after each failed try, how long until the next; after the last one it is given up.

    `concurrency`: tries under way at once, for each webhook. `disable_after_s`: how long a webhook may fail without one
    success. `keep_s`: how long events are kept, to be listed and delivered again.
    """

    retry_delays_s: tuple[int, ...]
    timeout_s: float
    concurrency: int
    disable_after_s: int
    keep_s: int


class _Result(NamedTuple):
    webhook: Webhook
    claimed: Sequence[Claimed]
    answer: Answer
    at_ms: int


class _Written(NamedTuple):
    """How many of the results were written, and of what was given back; what the tries came to, which webhooks that
    disabled and why, and which have something due since, and when."""

    results: int
    late: int
    states: Mapping[State, int]
    disabled: Mapping[WebhookKey, str]
    due: Mapping[WebhookKey, int]


class Notifier:
    """`jitter` gives the factor by which a delay is stretched."""

    def __init__(
        self,
        database: Database,
        egress: Egress | EgressProcess,
        seal: Seal,
        settings: NotifierSettings,
        now_ms: Callable[[], int],
        jitter: Callable[[], float] = lambda: random.uniform(0.9, 1.1),  # noqa: S311 - spreads load, guards nothing
    ) -> None:
        self._database = database
        self._egress = egress
        self._open = lru_cache(maxsize=OPEN_SECRETS)(seal.open)
        self._settings = settings
        self._now_ms = now_ms
        self._jitter = jitter
        self._webhooks: dict[WebhookKey, Webhook] = {}
        self._due: dict[WebhookKey, int] = {}
        self._under_way: dict[WebhookKey, int] = {}
        self._unanswered: Counter[WebhookKey] = Counter()
        self._held: dict[WebhookKey, deque[tuple[int, Sequence[Claimed]]]] = {}
        self._quick: set[WebhookKey] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._results: list[_Result] = []
        self._late: list[Claimed] = []
        self._recording: asyncio.TimerHandle | None = None
        self._news = asyncio.Event()
        self._is_stopping = False
        self._is_over = False
        self._polled_at_ms = 0
        self._forgot_at_ms = 0

    def use(self, enabled: Iterable[Webhook]) -> None:
        """The webhooks there are now; what is due for new ones is found by the next poll."""
        self._webhooks = {webhook.key: webhook for webhook in enabled}
        self._quick &= self._webhooks.keys()
        self._unanswered = +self._unanswered  # without those that have nothing any more
        self._polled_at_ms = 0
        self._news.set()

    def wake(self, keys: Iterable[WebhookKey]) -> None:
        """Something is due for these webhooks."""
        now_ms = self._now_ms()
        for key in keys:
            self._due[key] = now_ms
        self._news.set()

    async def run(self) -> None:
        """Until `stop`. A store that is away is waited for."""
        while not self._is_stopping:
            self._news.clear()
            try:
                sleep_s = await self.work()
            except StoreUnavailableError as error:
                log.error("deliveries_delayed", error=str(error))
                self._polled_at_ms = 0
                sleep_s = STORE_RETRY_S
            if sleep_s > 0:
                await wait(self._news, sleep_s)

    async def work(self) -> float:
        """Record what ended, begin what is due; how long to sleep in seconds if nothing happens."""
        now_ms = self._now_ms()
        await self._forget(now_ms)
        if not 0 <= now_ms - self._polled_at_ms < POLL_S * 1000:  # or the clock was set back
            async with self._database.reading() as reader:
                found = await deliveries.due(reader)
            for key, due_at_ms in found.items():
                self._is_due(key, due_at_ms)
            self._polled_at_ms = now_ms
        for key in self._due.keys() - self._webhooks.keys():
            del self._due[key]
        if not (self._ready(now_ms) or self._results or self._late):
            waits_ms = [due_at_ms - now_ms for key, due_at_ms in self._due.items() if self._room(key) > 0]
            return min([POLL_S * 1000, *waits_ms]) / 1000
        units: list[tuple[Webhook, list[Claimed]]] = []
        taken: dict[WebhookKey, int] = {}
        try:
            async with self._database.transaction() as tx:
                written = await self._write(tx, now_ms)
                for key, due_at_ms in written.due.items():
                    self._is_due(key, due_at_ms)
                # Every node in the same order, so that none waits for another for ever.
                for webhook in self._ready(now_ms):
                    if webhook.key not in written.disabled:
                        taken[webhook.key] = room = self._room(webhook.key)
                        self._begin(webhook.key, room)
                        units += [(webhook, unit) for unit in await self._claim(tx, webhook, room, now_ms)]
        except BaseException:
            for key, number in taken.items():
                self._end(key, number)
            raise
        self._let_go(written)
        for webhook, _ in units:
            taken[webhook.key] -= 1
        for key, number in taken.items():
            self._end(key, number)
        self._hold([(webhook.key, unit) for webhook, unit in units])
        return 0.0

    def reserve(self, webhook: WebhookKey, number: int) -> int:
        """While something else is due, half of the room is kept for it, or it would never have its turn. A batch is for
        a claim to make."""
        known = self._webhooks.get(webhook)
        if known is None or known.batch_max > 1 or self._is_stopping:
            return 0
        room = self._room(webhook)
        if self._due.get(webhook, LATEST_MS) <= self._now_ms():
            room -= self._limit(webhook) // 2
        number = max(min(number, room), 0)
        self._begin(webhook, number)
        return number

    def lease_ends_at_ms(self) -> int:
        return self._now_ms() + round(self._settings.timeout_s * 1000) + LEASE_MARGIN_MS

    def release(self, webhook: WebhookKey, number: int) -> None:
        self._end(webhook, number)

    def take(self, claimed: Sequence[Claimed]) -> None:
        asyncio.get_running_loop().call_soon(self._take, claimed)  # whoever committed goes first

    def _take(self, claimed: Sequence[Claimed]) -> None:
        self._hold([((one.account_id, one.webhook_id), [one]) for one in claimed])

    def _hold(self, units: Iterable[tuple[WebhookKey, Sequence[Claimed]]]) -> None:
        """Begin what is counted as under way already, as soon as it may be."""
        begin_by_ms = self._now_ms() + HELD_MS
        keys = set()
        for key, unit in units:
            keys.add(key)
            self._held.setdefault(key, deque()).append((begin_by_ms, unit))
        for key in keys:
            self._begin_held(key)

    def _begin_held(self, key: WebhookKey) -> None:
        """As many as may be unanswered. What cannot be sent, or comes too late, is given back."""
        if self._is_over:
            return
        held = self._held.get(key)
        now_ms = self._now_ms()
        while held and self._unanswered[key] < self._settings.concurrency:
            begin_by_ms, unit = held.popleft()
            webhook = self._webhooks.get(key)
            if webhook is None or begin_by_ms < now_ms:
                self._end(key, 1)
                self._late += unit
                self._news.set()
            else:
                self._deliver(webhook, unit)
        if not held:
            self._held.pop(key, None)

    async def settled(self) -> None:
        """Return when nothing is under way; what came of it is written by the next `work`."""
        await self._idle.wait()

    async def stop(self, grace_s: float) -> None:
        """Take nothing more, wait for the answers to what was taken, write down what came. A try cut off is repeated
        later."""
        self._is_stopping = True
        self._news.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self.settled(), grace_s)
        self._is_over = True
        for held in self._held.values():
            self._late += [one for _, unit in held for one in unit]
        self._held.clear()
        if self._recording is not None:
            self._recording.cancel()
        try:
            await self._record(self._now_ms())
        except StoreUnavailableError as error:
            log.error("deliveries_unwritten", error=str(error))

    def _ready(self, now_ms: int) -> list[Webhook]:
        """Those with something due and room for it. As they are now: `use` may take one away while we wait for the
        store, and so may `stop` all of them."""
        if self._is_stopping:
            return []
        return [
            self._webhooks[key]
            for key, due_at_ms in sorted(self._due.items())
            if due_at_ms <= now_ms and key in self._webhooks and self._room(key) > 0
        ]

    def _room(self, key: WebhookKey) -> int:
        return self._limit(key) - self._under_way.get(key, 0)

    def _limit(self, key: WebhookKey) -> int:
        return self._settings.concurrency * (QUICK_SHARE if key in self._quick else 1)

    def _begin(self, key: WebhookKey, number: int) -> None:
        if number:
            self._under_way[key] = self._under_way.get(key, 0) + number
            self._idle.clear()

    def _end(self, key: WebhookKey, number: int) -> None:
        left = self._under_way.get(key, 0) - number
        if left > 0:
            self._under_way[key] = left
        else:
            self._under_way.pop(key, None)
            if not self._under_way:
                self._idle.set()

    def _is_due(self, key: WebhookKey, due_at_ms: int) -> None:
        """Something is due for this webhook at that time, or earlier than was known."""
        self._due[key] = min(self._due.get(key, due_at_ms), due_at_ms)

    async def _claim(self, tx: Transaction, webhook: Webhook, room: int, now_ms: int) -> list[list[Claimed]]:
        """What each next request to this webhook shall carry."""
        key = webhook.key
        del self._due[key]  # before we wait for the store: what wakes us meanwhile stands
        lease_ends_at_ms = self.lease_ends_at_ms()
        units: list[list[Claimed]] = []
        if webhook.batch_max == 1:
            claimed = await deliveries.claim(tx, key, room, now_ms, lease_ends_at_ms)
            units = [[one] for one in claimed]
        else:
            while len(units) < room:
                batch_id = f"msg_{uuid_utils.uuid7().hex}"
                batch = await deliveries.claim_batch(tx, key, webhook.batch_max, batch_id, now_ms, lease_ends_at_ms)
                if not batch:
                    break
                units.append(batch)
        if len(units) == room:
            self._is_due(key, now_ms)
            return units
        due_at_ms = await deliveries.next_due_at_ms(tx, key)
        if due_at_ms is not None:  # what is due and was not claimed stands behind an earlier event of its message
            self._is_due(key, due_at_ms if due_at_ms > now_ms else now_ms + STALLED_CHECK_MS)
        return units

    def _deliver(self, webhook: Webhook, unit: Sequence[Claimed]) -> None:
        at_ms = self._now_ms()
        self._unanswered[webhook.key] += 1
        try:
            secrets = webhook.valid_secrets(self._open, at_ms)
        except ConfigError as error:
            log.error("webhook_unsigned", webhook_id=webhook.id, error=str(error))
            self._answered(
                webhook, unit, at_ms, Answer(None, "The secret cannot be opened; the operator has to put back its key")
            )
            return
        body = _body(webhook, unit)
        id_ = unit[0].batch_id or unit[0].event_id
        headers = {
            "webhook-id": id_,
            "webhook-timestamp": str(at_ms // 1000),
            "webhook-signature": sign(secrets, id_, at_ms // 1000, body),
        }
        self._egress.send(webhook.url, headers, body, partial(self._answered, webhook, unit, at_ms))

    def _answered(self, webhook: Webhook, unit: Sequence[Claimed], at_ms: int, answer: Answer) -> None:
        if self._is_over:
            return
        key = webhook.key
        self._end(key, 1)
        self._unanswered[key] -= 1
        if _is_success(answer) and answer.duration_ms <= QUICK_MS and webhook.batch_max == 1:
            self._quick.add(key)
        else:
            self._quick.discard(key)
        if key in self._held:
            asyncio.get_running_loop().call_soon(self._begin_held, key)
        self._results.append(_Result(webhook, unit, answer, at_ms))
        if not self._under_way or len(self._results) >= RECORD_AT:
            self._news.set()
        elif self._recording is None:
            self._recording = asyncio.get_running_loop().call_later(RECORD_EVERY_S, self._record_now)

    def _record_now(self) -> None:
        self._recording = None
        self._news.set()

    async def _record(self, now_ms: int) -> None:
        """Write down what ended, and begin nothing."""
        if self._results or self._late:
            async with self._database.transaction() as tx:
                written = await self._write(tx, now_ms)
            self._let_go(written)

    async def _write(self, tx: Transaction, now_ms: int) -> _Written:
        """Write down how tries ended, and give back what was not tried."""
        results, late = self._results[:], self._late[:]
        tried = [one for result in results for one in self._tried(result, now_ms)]
        due = await deliveries.record(tx, tried) if tried else {}
        for one in tried:
            if one.state is State.PENDING:
                key = one.claimed.account_id, one.claimed.webhook_id
                due[key] = min(due.get(key, one.due_at_ms), one.due_at_ms)
        if late:
            await deliveries.give_back(tx, late, now_ms)
            due.update(((one.account_id, one.webhook_id), now_ms) for one in late)
        disabled: dict[WebhookKey, str] = {}
        working: set[WebhookKey] = set()
        for result in sorted(results, key=_webhook_key):
            key = result.webhook.key
            if _is_success(result.answer):
                if key in working:
                    continue
                working.add(key)
            else:
                working.discard(key)
            reason = await self._learn(tx, result, now_ms)
            if reason is not None:
                disabled[key] = reason
        return _Written(len(results), len(late), Counter(one.state for one in tried), disabled, due)

    def _let_go(self, written: _Written) -> None:
        """It is committed: let go of it."""
        del self._results[: written.results]
        del self._late[: written.late]
        for state, number in written.states.items():
            metrics.DELIVERIES.labels(state.value).inc(number)
        for (account_id, webhook_id), reason in written.disabled.items():
            log.warning("webhook_disabled", account_id=account_id, webhook_id=webhook_id, reason=reason)
            self._webhooks.pop((account_id, webhook_id), None)

    async def _learn(self, tx: Transaction, result: _Result, now_ms: int) -> str | None:
        """What a try says of its webhook; why it is disabled, if now it is."""
        account_id, webhook_id = result.webhook.key
        if _is_success(result.answer):
            await webhooks.worked(tx, account_id, webhook_id)
            return None
        await webhooks.failed(tx, account_id, webhook_id, result.at_ms)
        if result.answer.status == GONE:
            is_disabled = await webhooks.disable(tx, account_id, webhook_id, GONE_REASON, now_ms)
            return GONE_REASON if is_disabled else None
        before_ms = now_ms - self._settings.disable_after_s * 1000
        is_disabled = await webhooks.disable(
            tx, account_id, webhook_id, FAILING_REASON, now_ms, failing_before_ms=before_ms
        )
        return FAILING_REASON if is_disabled else None

    def _tried(self, result: _Result, now_ms: int) -> list[Tried]:
        webhook, claimed, answer, at_ms = result
        delays_s = webhook.retry_delays_s if webhook.retry_delays_s is not None else self._settings.retry_delays_s
        tries = claimed[0].tries
        due_at_ms = now_ms
        if _is_success(answer):
            state = State.DELIVERED
        elif answer.status == GONE or tries > len(delays_s):
            state = State.FAILED
        else:
            state = State.PENDING
            asked_s = min(answer.retry_after_s or 0, LONGEST_RETRY_AFTER_S)
            due_at_ms += max(round(delays_s[tries - 1] * 1000 * self._jitter()), asked_s * 1000)
        answered = None if answer.status is None else _shown(answer.body)
        return [
            Tried(one, state, due_at_ms, at_ms, answer.duration_ms, answer.status, answered, answer.error)
            for one in claimed
        ]

    async def _forget(self, now_ms: int) -> None:
        if now_ms - self._forgot_at_ms < FORGET_EVERY_MS:
            return
        self._forgot_at_ms = now_ms
        async with self._database.reading() as reader:
            account_ids = await accounts.ids(reader)
        before_ms = now_ms - self._settings.keep_s * 1000
        for account_id in account_ids:
            forgotten = FORGET_SET
            while forgotten == FORGET_SET:
                async with self._database.transaction() as tx:
                    forgotten = await deliveries.forget(tx, account_id, before_ms, FORGET_SET)


def _webhook_key(result: _Result) -> WebhookKey:
    return result.webhook.key


def _is_success(answer: Answer) -> bool:
    return answer.status is not None and 200 <= answer.status < 300


def _body(webhook: Webhook, unit: Sequence[Claimed]) -> bytes:
    """The same bytes for the same events in every try."""
    if webhook.batch_max == 1:
        body = unit[0].body
        return body if webhook.format is Format.STANDARD else orjson.dumps(_flat(orjson.loads(body)))
    events = []
    for one in unit:
        event = orjson.loads(one.body)
        events.append({"id": one.event_id, **(event if webhook.format is Format.STANDARD else _flat(event))})
    return orjson.dumps({"type": "batch", "timestamp": events[-1]["timestamp"], "data": events})


def _flat(event: dict[str, Any]) -> dict[str, Any]:
    data = event["data"]
    return {
        "messageId": data["messageId"],
        "deliverystatus": data["deliverystatus"],
        "timestamp": event["timestamp"],
        "cost": data["cost"],
    }


def _shown(body: bytes) -> str:
    """How an answer begins, without what no store or page could show."""
    text = body.decode("utf-8", "replace")[:MOST_SHOWN]
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign == "\n" else " " for sign in text)
