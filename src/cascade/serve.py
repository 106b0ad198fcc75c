"""The front hall: builds the parts from the settings, starts them, and stops them in order."""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from cryptography.fernet import Fernet

from cascade.api.app import create_app, entrance
from cascade.api.inside import send_for
from cascade.api.message_in import Limits
from cascade.api.parts import Parts
from cascade.api.rates import OwnRates, Rates, RedisRates, SharedRates
from cascade.api.send import KEY_KEPT_MS
from cascade.api.texts import LinkRules
from cascade.channels.base import Callback, ChecksDigits, Heard, Hears, Transport
from cascade.channels.fitting import Fitting, as_sms
from cascade.channels.http import HttpSettings, HttpTransport, SetsWebhook
from cascade.channels.registry import BOT_FITTINGS, BOTS, PROVIDERS
from cascade.console.app import create_console
from cascade.console.page import ROOT as CONSOLE
from cascade.console.parts import Answered, ConsoleParts, Times
from cascade.core.directory import Directory, PlannedStep, Rate, SharedLink
from cascade.core.errors import ConfigError, ProviderUnreachableError, StoreUnavailableError, StoreUnreachableError
from cascade.core.flashcalls import FlashcallRules
from cascade.core.prices import Price, Prices, micros_of
from cascade.core.replies import Keywords, ReplyHints
from cascade.core.secret import Secret
from cascade.core.targets import Targets
from cascade.core.words import Channel
from cascade.engine.clicks import ClickCounter
from cascade.engine.egress import Egress
from cascade.engine.egress_process import EgressProcess
from cascade.engine.janitor import Keep
from cascade.engine.notifier import Notifier, NotifierSettings
from cascade.engine.poller import Poller
from cascade.engine.supervision import supervise
from cascade.engine.worker import LinkSetup, Worker
from cascade.http_server import http_server, listen
from cascade.settings import BotApi, ProviderLink, Settings
from cascade.store import accounts, receipts, repeats, short_links, webhooks
from cascade.store.accounts import Seal
from cascade.store.batches import BatchNumbers

if TYPE_CHECKING:
    from cascade.store.redis_buckets import RedisBuckets
    from cascade.tracing import Tracer

log = structlog.get_logger()

UPKEEP_S = 1.0
PURGE_EVERY_MS = 60_000
DAY_MS = 86_400_000
LOST_KEPT_MS = 3 * DAY_MS
LARGEST_PURGE = 2_000
LARGEST_REQUEST_PURGE = 500
"""Fewer: each holds an answer, and one to 100 messages costs 85 us."""
WEBHOOK_RETRY_S = 10.0
STORE_RETRY_S = 1.0
START_S = 1.0
"""How long clients are kept waiting for a start; then they are told to come back."""
GC_THRESHOLD = 50_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def open_seal(settings: Settings) -> Seal:
    """The keys that seal secrets: from the settings, or from a file beside the store that the first start makes."""
    if settings.secrets.keys:
        return Seal([Secret(key.get_secret_value()) for key in settings.secrets.keys])
    path = settings.store.home / settings.secrets.key_file
    try:
        if not path.exists():
            _make_key_file(path)
        return Seal([Secret(line) for line in path.read_text(encoding="ascii").split()])
    except OSError as error:
        raise ConfigError(
            "secrets.key_file",
            f"cannot use {path}: {error.strerror}",
            "Name a file in a directory that can be written to",
        ) from error


def _make_key_file(path: Path) -> None:
    """A crash leaves it whole or not there at all; a file that another start made meanwhile stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}.") as file:  # mode 0600
        file.write(Fernet.generate_key())
        file.flush()
        os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(file.name, path)


def prices_of(settings: Settings) -> list[Price]:
    return [Price(entry.channel, micros_of(entry.price), entry.sender, entry.prefix) for entry in settings.prices]


def price_list(settings: Settings) -> Prices:
    return Prices(prices_of(settings), transliterates_sms=_transliterates_sms(settings))


def _fittings(settings: Settings) -> Mapping[Channel, Fitting]:
    """How each channel would show a content: of several links, as the first one does. An SMS is an SMS, with whomever
    it went, so its parts can be counted before there is a link."""
    fittings = dict(BOT_FITTINGS)
    for link in settings.provider_links.values():
        provider = PROVIDERS[link.kind]
        fittings.setdefault(provider.channel, provider.fitting(link.own))
    fittings.setdefault(Channel.SMS, as_sms)
    return fittings


def _callers(settings: Settings) -> Mapping[str, tuple[str, ...]]:
    """The numbers that each link may call from."""
    return {name: tuple(getattr(link.own, "callers", ())) for name, link in settings.provider_links.items()}


def _transliterates_sms(settings: Settings) -> bool:
    return any(getattr(link.own, "transliterate", False) for link in settings.provider_links.values())


def link_setup(name: str, link: ProviderLink, reached_at: str | None) -> LinkSetup:
    """The link as configured. `reached_at`: where providers can call us."""
    own = link.own
    if reached_at is not None and hasattr(own, "callback_url") and own.callback_url is None:
        own = replace(own, callback_url=f"{reached_at}/callbacks/{name}")
    http = HttpSettings(window=link.window, total_s=link.timeout_s)
    provider = PROVIDERS[link.kind]
    return LinkSetup(provider.transport(own, name, http), link.rate_per_s, fitting=provider.fitting(own))


def redis_buckets(url: str) -> "RedisBuckets":
    """Where nodes share the rates of requests."""
    try:
        from cascade.store.redis_buckets import RedisBuckets  # its library is an extra
    except ImportError as error:
        raise ConfigError(
            "limits.redis_url", f"it needs a library: {error}", "pip install 'cascade-gateway[redis]'"
        ) from error
    return RedisBuckets(url)


def _egress(targets: Targets, timeout_s: float) -> Egress | EgressProcess:
    """Webhooks leave by a process of their own where it has a core of its own."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    if sys.platform == "win32" or cores == 1:
        return Egress(targets, timeout_s)
    return EgressProcess(targets, timeout_s)


def bot_transport(settings: Settings, channel: Channel, link: str, token: Secret) -> HttpTransport:
    """The link of a bot."""
    api: BotApi = getattr(settings, channel.value)
    adapter = BOTS[channel](token=token, base_url=api.base_url, **api.own)
    return HttpTransport(adapter, link, HttpSettings(window=api.window, total_s=api.timeout_s))


class Gateway:
    """One process of Cascade, under that name among other nodes. `start`, then serve HTTP with `app`, then `stop`."""

    def __init__(self, settings: Settings, name: str = "") -> None:
        self.settings = settings
        self.database = settings.store.database()
        self._role = settings.engine.role
        self._worker = Worker(self.database, now_ms, name, self._role)
        self._clicks = ClickCounter(self.database, round(settings.links.preview_s * 1000))
        self._egress = _egress(settings.webhooks.targets, settings.webhooks.timeout_s)
        self._notifier: Notifier
        self._transports: dict[str, Transport] = {}
        self._bots: set[str] = set()
        self._directory: Directory | None = None
        self._version = -1
        self._purged_at_ms = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._webhooks: list[asyncio.Event] = []
        self._parts = Parts(
            database=self.database,
            directory=self._newest_directory,
            now_ms=now_ms,
            limits=Limits(max_batch=settings.http.max_batch, max_body_bytes=settings.http.max_body_bytes),
            is_ready=lambda: self._directory is not None and self._worker.is_running,
            hear=self._hear,
            take_heard=self._worker.take_heard,
            check_target=self._egress.check,
            seal=lambda: self._seal,
            refresh=self.refresh,
            send_rate=Rate(settings.limits.send_rate, settings.limits.send_burst),
            read_rate=Rate(settings.limits.read_rate, settings.limits.read_burst),
            repeat_ms=settings.limits.repeat_s * 1000,
            batches=BatchNumbers(self.database),
            link_states=self._worker.link_states,
            rates=self._rates(),
            currency=settings.currency,
            link_rules=LinkRules(settings.http.reached_at, settings.links.ttl_days * DAY_MS),
            count_click=self._clicks.add,
            prices=price_list(settings),
            check_digits=self._check_digits,
            callers=_callers(settings),
            flashcalls=FlashcallRules(
                settings.flashcalls.digits, settings.flashcalls.checks, settings.flashcalls.reveal_caller
            ),
            fittings=_fittings(settings),
            reply_hints=ReplyHints(settings.surveys.reply_hint, settings.surveys.reply_hint_cyrillic),
        )
        self.app = create_app(self._parts, has_doors=self._role.has_doors)
        self.entrance = entrance(self.app, has_doors=self._role.has_doors)
        self._tracer = None if settings.tracing.endpoint is None else self._traced(settings.tracing.endpoint)
        if settings.console.enabled and self._role.has_doors:
            self.app.mount(CONSOLE, create_console(self._console_parts()))

    def _rates(self) -> Rates:
        url = self.settings.limits.redis_url
        if not self.database.is_shared:
            if url is not None:
                raise ConfigError(
                    "limits.redis_url", "SQLite has no other nodes", "Leave it out, or set store.url to a PostgreSQL"
                )
            return OwnRates()
        shared = SharedRates(self.database, lambda: self._worker.doors)
        return shared if url is None else RedisRates(redis_buckets(url), shared, lambda: self._worker.doors <= 1)

    def _traced(self, endpoint: str) -> "Tracer":
        try:
            from cascade import tracing  # its libraries are an extra, and take a while to load
        except ImportError as error:
            raise ConfigError(
                "tracing.endpoint", f"traces need a library: {error}", "pip install 'cascade-gateway[tracing]'"
            ) from error
        tracer = tracing.tracer(endpoint, self.settings.tracing.share)
        self.entrance = tracing.Requests(self.entrance, tracer)
        self.database.observers.append(tracer)
        return tracer

    def _console_parts(self) -> ConsoleParts:
        settings, parts = self.settings, self._parts
        return ConsoleParts(
            database=self.database,
            directory=parts.directory,
            now_ms=now_ms,
            currency=settings.currency,
            seal=parts.seal,
            refresh=self.refresh,
            link_health=self._worker.link_health,
            link_states=self._worker.link_states,
            backlogs=lambda: self._worker.statistician.backlogs,
            send=self._send_for,
            fittings=parts.fittings,
            prices=prices_of(settings),
            send_rate=parts.send_rate,
            read_rate=parts.read_rate,
            times=Times(settings.console.idle_minutes * 60_000, settings.console.session_hours * 3_600_000),
        )

    async def _send_for(self, account_id: int, body: bytes, is_preview: bool) -> Answered:
        account = self._newest_directory().accounts[account_id]
        answer = await send_for(self.app, account, body, is_preview=is_preview)
        return Answered(answer.status_code, orjson.loads(bytes(answer.body)))

    async def start(self) -> None:
        """Open the store, take over what a dead predecessor left, connect the links. A store that others share is
        waited for."""
        await self._open_store()
        self._seal = open_seal(self.settings)
        public_url = self.settings.http.public_url
        reached_at = None if public_url is None else public_url.rstrip("/")
        links = {name: link_setup(name, link, reached_at) for name, link in self.settings.provider_links.items()}
        self._transports |= {name: setup.transport for name, setup in links.items()}
        await self._egress.open()
        self._notifier = Notifier(self.database, self._egress, self._seal, self._notifier_settings(), now_ms)
        await self._refresh_first()  # who is told of events has to be known before the first one comes about
        await self._worker.start(links)
        if self._role.has_engine:
            self._worker.add_notifier(self._notifier)
            self._worker.add_janitor(self._keep())
        self._worker.add_clicks(self._clicks)
        if self._role.has_engine:
            given = self.settings.inbound
            self._worker.add_correspondent(self._newest_directory, Keywords(given.stop_words, given.start_words))
        self._keep_doing("directory", self.refresh)
        self._keep_doing("keys_used", self._write_keys_used)
        if self._role.has_engine:
            self._keep_doing("purge", self._purge)

    async def _open_store(self) -> None:
        while True:
            try:
                return await self.database.open(owner=True)
            except StoreUnreachableError as error:
                log.error("store_awaited", error=str(error))
            await asyncio.sleep(STORE_RETRY_S)

    async def _refresh_first(self) -> None:
        while True:
            try:
                return await self.refresh()
            except StoreUnavailableError as error:
                if not self.database.is_shared:
                    raise
                log.error("store_awaited", error=str(error))
            await asyncio.sleep(STORE_RETRY_S)

    def _newest_directory(self) -> Directory:
        if self._directory is None:
            raise StoreUnavailableError("the gateway is starting")
        return self._directory

    async def stop(self) -> None:
        """Drain: claim nothing more, let what is on the wire end, write down how it ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._worker.stop(self.settings.engine.drain_s)
        await self._egress.close()
        await self._parts.rates.close()
        await self.database.close()
        if self._tracer is not None:
            await asyncio.to_thread(self._tracer.stop)
        log.info("gateway_stopped")

    async def refresh(self) -> None:
        """Take in accounts, keys, bots and webhooks that changed; a new bot gets its link at once."""
        async with self.database.reading() as reader:
            if await accounts.version(reader) == self._version:
                return
            loaded = await accounts.load(reader, self._seal)
            enabled = await webhooks.enabled(reader)
        self.database.listeners = webhooks.listeners(enabled)
        self._notifier.use(enabled)
        # First what guards the doors: a bot that cannot be added must not keep a revoked key alive.
        self._directory = Directory(
            routes={
                name: tuple(PlannedStep(step.channel, step.window_s, step.takes_surveys) for step in steps)
                for name, steps in self.settings.routes.items()
            },
            shared=tuple(
                SharedLink(
                    name,
                    PROVIDERS[link.kind].channel,
                    link.weight,
                    None if link.accounts is None else frozenset(link.accounts),
                )
                for name, link in self.settings.provider_links.items()
            ),
            accounts=loaded.accounts,
            keys=loaded.keys,
            bots=loaded.bots,
        )
        for bot in loaded.bots:
            if bot.link not in self._worker.links:
                self._add_bot(bot.channel, bot.link, loaded.tokens[bot.link])
        removed = self._bots - {bot.link for bot in loaded.bots}
        self._bots -= removed
        for link in removed:
            await self._worker.retire_link(link)
        self._version = loaded.version

    async def _write_keys_used(self) -> None:
        if self._parts.keys_used:
            used_at_ms = dict(self._parts.keys_used)
            self._parts.keys_used.clear()
            async with self.database.transaction() as tx:
                await accounts.keys_used(tx, used_at_ms)

    async def _purge(self) -> None:
        oldest_ms = now_ms() - max(self._parts.repeat_ms, KEY_KEPT_MS)
        if self._worker.share.is_first and now_ms() - self._purged_at_ms >= PURGE_EVERY_MS:
            async with self.database.transaction() as tx:
                may_be_more = (
                    await repeats.purge(tx, LARGEST_PURGE, oldest_ms) >= LARGEST_PURGE,
                    await repeats.purge_requests(tx, LARGEST_REQUEST_PURGE, oldest_ms) == LARGEST_REQUEST_PURGE,
                    await receipts.forget_lost(tx, LARGEST_PURGE, now_ms() - LOST_KEPT_MS) == LARGEST_PURGE,
                    await short_links.purge(tx, LARGEST_PURGE, now_ms()) == LARGEST_PURGE,
                )
            if not any(may_be_more):
                self._purged_at_ms = now_ms()

    def _keep(self) -> Keep:
        given = self.settings.retention
        ages = (given.messages_days, given.receipts_days, given.inbound_days, given.audit_days)
        return Keep(*(days * DAY_MS or None for days in ages))

    def _notifier_settings(self) -> NotifierSettings:
        given = self.settings.webhooks
        return NotifierSettings(
            retry_delays_s=tuple(given.retry_delays_s),
            timeout_s=given.timeout_s,
            concurrency=given.concurrency,
            disable_after_s=given.disable_after_s,
            keep_s=given.keep_days * 86_400,
        )

    def _add_bot(self, channel: Channel, link: str, token: Secret) -> None:
        api: BotApi = getattr(self.settings, channel.value)
        transport = bot_transport(self.settings, channel, link, token)
        adapter: SetsWebhook = transport.adapter  # type: ignore[assignment] # both bots' are
        self._transports[link] = transport
        self._bots.add(link)
        beside: Callable[[], Coroutine[Any, Any, None]] | None = None
        way = api.way_of_news(self.settings.http.public_url)
        if way == "webhook" and self.settings.http.public_url is not None:
            url = f"{self.settings.http.public_url.rstrip('/')}/callbacks/{link}"
            is_set = asyncio.Event()
            self._webhooks.append(is_set)
            beside = partial(self._set_webhook, transport, adapter, link, url, is_set)
        elif way == "polling":
            beside = Poller(transport, link, self._worker.take_heard).run
        setup = LinkSetup(transport, api.rate_per_s, beside, BOT_FITTINGS[channel], api.chat_rate_per_s)
        self._worker.add_link(link, setup)

    async def _set_webhook(
        self, transport: HttpTransport, adapter: SetsWebhook, link: str, url: str, is_set: asyncio.Event
    ) -> None:
        """Tell a bot's provider where to call us, until it listens: without Viber's receipts every message would fall
        through."""
        while True:
            try:
                answer = await transport.fetch(adapter.set_webhook(url))
                refusal = adapter.webhook_refusal(answer)
                if refusal is None:
                    log.info("webhook_set", link=link)
                    is_set.set()
                    return
                log.error("webhook_refused", link=link, detail=refusal)
            except (ProviderUnreachableError, ValueError) as error:
                log.warning("webhook_delayed", link=link, error=str(error))
            await asyncio.sleep(WEBHOOK_RETRY_S)

    def _hear(self, link: str, callback: Callback) -> Heard:
        self._newest_directory()  # before it is there, we do not know whose link it is
        transport = self._transports.get(link)
        if not isinstance(transport, Hears):
            raise LookupError(link)
        return transport.hear(callback)

    async def _check_digits(self, link: str, provider_id: str, typed: str) -> bool | None:
        transport = self._transports.get(link)
        return await transport.check_digits(provider_id, typed) if isinstance(transport, ChecksDigits) else None

    def _keep_doing(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        self._spawn(supervise(name, partial(self._repeat, name, work)))

    async def _repeat(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(UPKEEP_S)
            try:
                await work()
            except (StoreUnavailableError, ConfigError) as error:
                log.error("upkeep_delayed", work=name, error=str(error))

    async def webhooks_settled(self) -> None:
        """Return when every provider that calls us back has been told where, by this node."""
        await asyncio.gather(*(is_set.wait() for is_set in self._webhooks))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def node_name(port: int) -> str:
    """What no other living process can be called: of one start of one machine and one of its networks, who listens on
    the port. So a node that is started again need not wait until its predecessor's lease is over."""
    host = socket.gethostname()
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        network = Path("/proc/self/ns/net").stat().st_ino
    except OSError:  # no Linux: then nobody can have it at any time
        return f"{host}:{port} {uuid.uuid4()}"
    return f"{host}:{port} {boot}/{network}"


def freeze_memory() -> None:
    """What is loaded by now stays: keep the collector away from it, and let it look less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 100)


async def serve(settings: Settings) -> None:
    """Until SIGTERM or SIGINT, then drain. While the store is awaited, every request is answered 503."""
    listening = listen(settings.http.host, settings.http.port, "http.port")
    try:
        gateway = Gateway(settings, node_name(listening.getsockname()[1]))
        server = http_server(gateway.entrance, settings.http.trusted_proxies, settings.http.leave_s)
        starting = asyncio.create_task(_start(gateway, listening))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.leave, listening)
        await asyncio.wait({starting}, timeout=START_S)
        if starting.done():
            starting.result()
    except BaseException:
        listening.close()
        raise
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await asyncio.wait({starting, serving}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            await serving
    finally:
        server.should_exit = True
        await serving
        if starting.done() and starting.exception() is None:
            await gateway.stop()
        else:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await gateway.database.close()


async def _start(gateway: Gateway, listening: socket.socket) -> None:
    await gateway.start()
    freeze_memory()
    host, port = listening.getsockname()[:2]
    log.info("gateway_ready", url=f"http://{host}:{port}", store=gateway.settings.store.shown)
