"""The sandbox put together: the providers' twins over HTTP, SMPP and SIP, and the people they reach."""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson
import structlog
from aiohttp import ClientSession, DummyCookieJar, web
from aiohttp.typedefs import Handler

from cascade.sandbox.asterisk import Asterisk
from cascade.sandbox.callbacks import RETRIES_S, Callbacks
from cascade.sandbox.directory import Directory
from cascade.sandbox.google_rbm import GoogleRbm
from cascade.sandbox.infobip import Infobip
from cascade.sandbox.people import People
from cascade.sandbox.phones import Phones
from cascade.sandbox.sinch import Sinch
from cascade.sandbox.sip_trunk import SipTrunk
from cascade.sandbox.smsbat import Smsbat
from cascade.sandbox.smsc import Smsc
from cascade.sandbox.telegram_bot import TelegramBot
from cascade.sandbox.twilio import Twilio
from cascade.sandbox.twin import TwinSettings
from cascade.sandbox.viber_bot import ViberBot
from cascade.sandbox.vonage import Vonage, VonageAccount

log = structlog.get_logger()

UPLOAD_LIMIT_BYTES = 50 * 1024 * 1024
SHUTDOWN_S = 1.0
OWN_PATHS = ("/people", "/counters")
"""What is no provider's: the tests' and the phones page's."""
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """Port 0 is any free one. Without `gateway_url` no gateway is told who has talked to the bots.

    `late_s` is how long a `late` phone's receipt takes; `retries_s` are the delays between the tries of a callback.
    `sip_accounts`: who may call, by user name; None: anyone. `ari_users`: who may use the Asterisk. `sinch_apps`:
    secrets in base64 by application key. `rbm_client_token` signs Google's events, and `rbm_service_account` is the
    JSON of a key that it takes; None: one that it makes and shows. `twilio_accounts` are auth tokens by account SID,
    `smsbat_keys` and `infobip_keys` API keys; `vonage` is the one account there. `answer_delay_s` is how long a
    provider takes to answer after it has done what was asked, so that receipts overtake its answers. With `keep_inbox`
    off nothing that reaches a phone is remembered: for benchmarks, where it would fill the memory.
    """

    host: str = "127.0.0.1"
    http_port: int = 8081
    smsc_port: int = 8082
    sip_port: int = 0
    sip_accounts: Mapping[str, str] | None = field(default=None, repr=False)
    sinch_apps: Mapping[str, str] = field(
        default_factory=lambda: {"your-sinch-key": "eW91ci1zaW5jaC1zZWNyZXQ="}, repr=False
    )
    ari_users: Mapping[str, str] = field(default_factory=lambda: {"cascade": "cascade"}, repr=False)
    telegram_tokens: tuple[str, ...] = field(default=("your-telegram-key",), repr=False)
    viber_tokens: tuple[str, ...] = field(default=("your-viber-token",), repr=False)
    rbm_client_token: str = field(default="your-rcs-token", repr=False)
    rbm_service_account: str | None = field(default=None, repr=False)
    twilio_accounts: Mapping[str, str] = field(default_factory=lambda: {f"AC{1:032}": "your-twilio-token"}, repr=False)
    smsbat_keys: tuple[str, ...] = field(default=("your-smsbat-key",), repr=False)
    infobip_keys: tuple[str, ...] = field(default=("your-infobip-key",), repr=False)
    vonage: VonageAccount = field(default_factory=VonageAccount)
    gateway_url: str | None = None
    gateway_key: str = field(default="", repr=False)
    late_s: float = 10.0
    retries_s: Sequence[float] = RETRIES_S
    answer_delay_s: float = 0.0
    keep_inbox: bool = True


class Sandbox:
    """All twins and their people. `http_port`, `smsc_port` and `sip_port` are what it listens on, once started.

    After `stop` it can be started again, on the same ports: the people stay, the bots must set their webhooks anew.
    """

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self.http_port = settings.http_port
        self.smsc_port = settings.smsc_port
        self.people = People()
        self.sip_port = settings.sip_port
        self.smsc = Smsc(
            self.people,
            settings.host,
            settings.smsc_port,
            late_s=settings.late_s,
            answer_delay_s=settings.answer_delay_s,
            keep_inbox=settings.keep_inbox,
        )
        self.sip_trunk = SipTrunk(
            self.people,
            settings.host,
            settings.sip_port,
            accounts=settings.sip_accounts,
            late_s=settings.late_s,
            keep_inbox=settings.keep_inbox,
        )
        self.asterisk = Asterisk(
            self.people, settings.ari_users, late_s=settings.late_s, keep_inbox=settings.keep_inbox
        )

    async def start(self) -> None:
        """Listen on every port. Raises OSError when one is taken."""
        settings = self.settings
        self._session = ClientSession(cookie_jar=DummyCookieJar())
        self._callbacks = Callbacks(self._session, retries_s=settings.retries_s)
        self._callbacks.start()
        self.telegram_bot = TelegramBot(
            self.people,
            settings.telegram_tokens,
            self._session,
            retry_s=settings.retries_s[0] if settings.retries_s else 1.0,
            keep_inbox=settings.keep_inbox,
        )
        self.viber_bot = ViberBot(
            self.people, settings.viber_tokens, self._callbacks, late_s=settings.late_s, keep_inbox=settings.keep_inbox
        )
        shared = (self.people, self._callbacks, TwinSettings(settings.late_s, settings.keep_inbox))
        self.google_rbm = GoogleRbm(*shared, settings.rbm_client_token, settings.rbm_service_account)
        self.twilio = Twilio(*shared, settings.twilio_accounts)
        self.smsbat = Smsbat(*shared, settings.smsbat_keys)
        self.infobip = Infobip(*shared, settings.infobip_keys)
        self.vonage = Vonage(*shared, settings.vonage)
        self.sinch = Sinch(*shared, self._session, settings.sinch_apps)
        directory = None
        if settings.gateway_url is not None:
            directory = Directory(self._session, settings.gateway_url, settings.gateway_key)
        phones = Phones(self.people, (self.telegram_bot, self.viber_bot), directory, self.smsc)

        app = web.Application(client_max_size=UPLOAD_LIMIT_BYTES, middlewares=[self._delayed])
        app.add_routes(self.viber_bot.routes())
        app.add_routes(self.asterisk.routes())
        app.add_routes(phones.routes())
        app.add_routes([web.get("/counters", self._counters)])
        for twin in (self.google_rbm, self.twilio, self.smsbat, self.infobip, self.vonage, self.sinch):
            app.add_routes(twin.routes())
        app.add_routes(self.telegram_bot.routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
        try:
            await self._runner.setup()
            await web.TCPSite(self._runner, settings.host, self.http_port).start()
            await self.smsc.start()
            await self.sip_trunk.start()
        except OSError:
            await self.stop()
            raise
        self.http_port = self._runner.addresses[0][1]
        self.smsc_port = self.smsc.port
        self.sip_port = self.sip_trunk.port
        log.info("sandbox_started", url=self.url, smsc_port=self.smsc_port, sip_port=self.sip_port)

    async def stop(self) -> None:
        """Close every port. Callbacks not yet acknowledged are dropped."""
        await self.sip_trunk.stop()
        await self.asterisk.stop()
        await self.smsc.stop()
        await self.telegram_bot.stop()
        await self._runner.cleanup()
        await self._callbacks.stop()
        await self._session.close()

    @property
    def url(self) -> str:
        """Where the providers, the people interface and the phones page are."""
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        return f"http://{host}:{self.http_port}"

    @web.middleware
    async def _delayed(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if self.settings.answer_delay_s and not request.path.startswith(OWN_PATHS):
            await asyncio.sleep(self.settings.answer_delay_s)
        return response

    async def _counters(self, request: web.Request) -> web.Response:
        counters = {
            "telegram_bot": self.telegram_bot.counters,
            "google_rbm": self.google_rbm.counters,
            "twilio": self.twilio.counters,
            "smsbat": self.smsbat.counters,
            "infobip": self.infobip.counters,
            "vonage": self.vonage.counters,
            "viber_bot": self.viber_bot.counters,
            "sms": {"requests": self.smsc.submits, "accepted": self.smsc.accepted},
            "flashcall": self.sip_trunk.counters,
            "flashcall_asterisk": self.asterisk.counters,
            "flashcall_sinch": self.sinch.counters,
        }
        return web.Response(body=orjson.dumps(counters), headers={"Content-Type": "application/json"})


async def run(settings: SandboxSettings) -> None:
    """Run the sandbox until SIGINT or SIGTERM. Raises OSError when a port is taken."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in STOP_SIGNALS:
        loop.add_signal_handler(sign, stopping.set)
    sandbox = Sandbox(settings)
    try:
        await sandbox.start()
        await stopping.wait()
        await sandbox.stop()
    finally:
        for sign in STOP_SIGNALS:
            loop.remove_signal_handler(sign)
