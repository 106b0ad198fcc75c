"""Every setting, its default and its check. From a TOML file and from the environment, which wins.

`CASCADE_STORE__URL=sqlite:////var/lib/cascade/cascade.db` is `[store] url = …`. `cascade.example.toml` shows all.
"""

import dataclasses
import difflib
import json
import os
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_origin, get_type_hints

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from cascade.channels.registry import PROVIDERS
from cascade.channels.smpp.settings import SmppSettings
from cascade.channels.telegram_bot import ASK_BUTTON, ASK_TEXT, THANKS_TEXT
from cascade.core.errors import ConfigError
from cascade.core.node import Role
from cascade.core.replies import START_WORDS, STOP_WORDS
from cascade.core.secret import Secret
from cascade.core.targets import Targets
from cascade.core.words import Channel
from cascade.store import engines
from cascade.store.database import Database

PREFIX = "CASCADE_"
BOT_TOKEN_VARIABLE = "CASCADE_BOT_TOKEN"  # noqa: S105 - a name
SANDBOX_KEY_VARIABLE = "CASCADE_SANDBOX_KEY"
COPY_TO_VARIABLE = "CASCADE_COPY_TO"
CONSOLE_PASSWORD_VARIABLE = "CASCADE_CONSOLE_PASSWORD"  # noqa: S105 - a name
GATEWAY_VARIABLES = ("CASCADE_URL", "CASCADE_KEY")
OTHER_VARIABLES = frozenset(
    {BOT_TOKEN_VARIABLE, SANDBOX_KEY_VARIABLE, COPY_TO_VARIABLE, CONSOLE_PASSWORD_VARIABLE, *GATEWAY_VARIABLES}
)
"""Variables of single commands: secrets that a command line would show to every process. No settings."""
SURVEY_CHANNELS = frozenset({Channel.VIBER_BOT, Channel.VIBER_BUSINESS, Channel.SMS})
Port = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Store(Section):
    """`url`: `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://user:password@host:port/database`.
    `connections`: how many one process opens to PostgreSQL at most, and one more that listens. `read_url`: a replica of
    that PostgreSQL, for lists and statistics. `citus`: it is the coordinator of a Citus cluster."""

    url: Annotated[str, Field(repr=False)] = "sqlite:///cascade.db"
    connections: Annotated[int, Field(ge=4, le=500)] = 16
    read_url: Annotated[Annotated[str, Field(pattern=r"^postgres(ql)?://")] | None, Field(repr=False)] = None
    citus: bool = False

    def database(self) -> Database:
        """The store, not yet open; `ConfigError` when the URL names none."""
        return engines.database(self.url, self.connections, self.read_url, citus=self.citus)

    @property
    def path(self) -> Path:
        """SQLite's file; `ConfigError` when the URL names none."""
        return engines.sqlite_path(self.url)

    @property
    def home(self) -> Path:
        """Where files that belong to the store lie: beside SQLite's, and in the working directory for PostgreSQL."""
        return Path() if engines.is_postgres(self.url) else self.path.parent

    @property
    def shown(self) -> str:
        """The store as a log may name it: without user and password."""
        return engines.shown(self.url)


class Http(Section):
    """`public_url`: where people and providers can reach us, for short links and callbacks; None: providers are not
    told, and links name host and port.
    `trusted_proxies`: addresses whose X-Forwarded-For is believed.
    `leave_s`: how long a stop goes on listening, not ready by `/health/ready`, until a balancer has noticed."""

    host: str = "127.0.0.1"
    port: Port = 8080
    public_url: Annotated[str, Field(pattern=r"^https?://[!-~]+$")] | None = None
    trusted_proxies: list[str] = []
    max_batch: Positive = 5_000
    max_body_bytes: Positive = 16 * 1024 * 1024
    leave_s: Annotated[float, Field(ge=0, le=15)] = 0.0

    @property
    def reached_at(self) -> str:
        """The base of the URLs that people get, without a slash at its end."""
        if self.public_url is not None:
            return self.public_url.rstrip("/")
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


class Secrets(Section):
    """`keys` seal bot tokens in the store: the first seals, all open. Empty: one is made in `key_file`."""

    keys: list[SecretStr] = []
    key_file: str = "cascade.key"


class Limits(Section):
    """Of an account that has none of its own. Rates: requests a second and the burst above it; 0: no limit.
    `repeat_s`: for how long a repeat of the same id and content is answered with the first message; 0: never.
    `redis_url`: where several nodes share the rates, with the extra `redis` installed; None: through the store."""

    send_rate: Annotated[int, Field(ge=0)] = 100
    send_burst: Positive = 150
    read_rate: Annotated[int, Field(ge=0)] = 50
    read_burst: Positive = 75
    repeat_s: Annotated[int, Field(ge=0)] = 86_400
    redis_url: Annotated[Annotated[str, Field(pattern=r"^(rediss?|unix)://[!-~]+$")] | None, Field(repr=False)] = None


class Log(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"


class Engine(Section):
    """`role`: the HTTP doors, the engine, or both; for SQLite both. `drain_s`: how long a stop waits for answers under
    way."""

    role: Role = Role.ALL
    drain_s: Annotated[float, Field(ge=0, le=60)] = 5.0


class Retention(Section):
    """How many days finished messages are kept, from their acceptance; provider ids, by which late receipts find their
    messages; what people told us; and the audit log. 0: for ever."""

    messages_days: Annotated[int, Field(ge=0, le=36_500)] = 365
    receipts_days: Annotated[int, Field(ge=0, le=36_500)] = 30
    inbound_days: Annotated[int, Field(ge=0, le=36_500)] = 90
    audit_days: Annotated[int, Field(ge=0, le=36_500)] = 730


class Webhooks(Section):
    """What clients are told of events. `allow`: networks, addresses and hosts inside the operator's own network that
    may be called; any other address must be a public one. `ports` empty: any. `retry_delays_s`: after each failed try,
    how long until the next, unless the webhook has its own. `concurrency`: requests unanswered at once, for each
    webhook. `disable_after_s`: how long one may fail without a success. `keep_days`: how long events can be listed and
    delivered again."""

    allow: list[str] = []
    allow_http: bool = False
    ports: list[Port] = [443]
    timeout_s: Annotated[float, Field(ge=1, le=30)] = 15.0
    concurrency: Positive = 128
    retry_delays_s: Annotated[list[Annotated[int, Field(ge=1, le=604_800)]], Field(max_length=30)] = [
        5,
        300,
        1_800,
        7_200,
        18_000,
        36_000,
        50_400,
        72_000,
        86_400,
    ]
    disable_after_s: Positive = 259_200
    keep_days: Annotated[int, Field(ge=7)] = 30

    @property
    def targets(self) -> Targets:
        return Targets.of(self.allow, is_http_allowed=self.allow_http, ports=self.ports)

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.targets  # noqa: B018 - raises when `allow` cannot be read
        return self


class Links(Section):
    """Short links. `ttl_days`: how long one works, from its message's hour. `preview_s`: a click so soon after a
    sending is counted as a preview's."""

    ttl_days: Annotated[int, Field(ge=1, le=3_650)] = 365
    preview_s: Annotated[float, Field(ge=0, le=60)] = 2.0


class Flashcalls(Section):
    """`digits`: how many of the caller's last ones make the code. `checks`: how often one may be typed wrong.
    `reveal_caller`: the answer to a send and the status say who calls, for clients that compare the digits."""

    digits: Annotated[int, Field(ge=3, le=10)] = 6
    checks: Annotated[int, Field(ge=1, le=20)] = 3
    reveal_caller: bool = True


class Tracing(Section):
    """OpenTelemetry, with the extra `tracing` installed. `endpoint` None: no traces. `share`: of messages that are
    traced."""

    endpoint: Annotated[str, Field(pattern=r"^https?://[!-~]+$")] | None = None
    share: Annotated[float, Field(gt=0, le=1)] = 1.0


class Console(Section):
    """The pages for operators at /console. `idle_minutes`: after how long untouched a session ends; `session_hours`:
    after how long in any case."""

    enabled: bool = True
    idle_minutes: Positive = 480
    session_hours: Positive = 168


NewsBy = Literal["webhook", "polling", "off"]


class BotApi(Section):
    """A bot provider. `window`: requests unanswered at once, for each bot. `rate_per_s`: sends a second, each bot;
    `chat_rate_per_s`: to one person, after five at once. `ask_phone`: who is asked to share their phone, when the bot
    does not know it: never, start (whoever comes) or always (whoever writes), with `ask_text`, `ask_button` and
    `thanks_text`."""

    base_url: str
    window: Positive = 50
    rate_per_s: Annotated[float, Field(gt=0)] | None = None
    chat_rate_per_s: Annotated[float, Field(gt=0)] | None = None
    timeout_s: Annotated[float, Field(gt=0, le=30)] = 15.0
    ask_phone: Literal["never", "start", "always"] = "never"
    ask_text: Annotated[str, Field(min_length=1, max_length=1_000)] = ASK_TEXT
    ask_button: Annotated[str, Field(min_length=1, max_length=60)] = ASK_BUTTON
    thanks_text: Annotated[str, Field(min_length=1, max_length=1_000)] = THANKS_TEXT

    @property
    def own(self) -> dict[str, Any]:
        """What the adapter is told beside token and address."""
        return {
            "asks_phone": self.ask_phone,
            "ask_text": self.ask_text,
            "ask_button": self.ask_button,
            "thanks_text": self.thanks_text,
        }

    def way_of_news(self, public_url: str | None) -> NewsBy:
        """How we hear of what people tell the bots. `public_url`: where we can be called."""
        return "off" if public_url is None else "webhook"


class TelegramApi(BotApi):
    """`updates`: webhook, polling or off; auto is a webhook where `http.public_url` is https, else polling."""

    base_url: str = "https://api.telegram.org"
    rate_per_s: Annotated[float, Field(gt=0)] | None = 30.0
    chat_rate_per_s: Annotated[float, Field(gt=0)] | None = 1.0
    ask_phone: Literal["never", "start", "always"] = "start"
    updates: Literal["auto", "webhook", "polling", "off"] = "auto"

    def way_of_news(self, public_url: str | None) -> NewsBy:
        if self.updates != "auto":
            return self.updates
        return "webhook" if public_url is not None and public_url.startswith("https://") else "polling"


class ViberApi(BotApi):
    """`welcome`: what greets a person who opens the bot; absent: nothing. `name`: who says it."""

    base_url: str = "https://chatapi.viber.com"
    welcome: Annotated[str, Field(min_length=1, max_length=1_000)] | None = None
    name: Annotated[str, Field(min_length=1, max_length=28)] = "Bot"

    @property
    def own(self) -> dict[str, Any]:
        return {**super().own, "welcome": self.welcome, "name": self.name}


class Inbound(Section):
    """What people write. `stop_words`: who says one gets no more `promo` and `viber_survey` from the account;
    `start_words` undo it. Capitals and signs around them do not matter."""

    stop_words: list[Annotated[str, Field(min_length=1, max_length=60)]] = list(STOP_WORDS)
    start_words: list[Annotated[str, Field(min_length=1, max_length=60)]] = list(START_WORDS)


class Surveys(Section):
    """The line that tells how to answer by SMS, under the numbered options; empty: none. `{last}` is the number of the
    last one. `reply_hint_cyrillic` is for texts in Cyrillic letters."""

    reply_hint: Annotated[str, Field(max_length=60)] = "Reply 1-{last}"
    reply_hint_cyrillic: Annotated[str, Field(max_length=60)] = "Надішліть 1-{last}"


class ProviderLink(Section):
    """One account at one provider, shared by the gateway's accounts. `kind`: `<channel>.<provider>`, one of
    `channels.registry.PROVIDERS`. `weight`: its share beside other links of its channel. `accounts`: the names of those
    who may use it; absent: all. `rate_per_s`: sends a second; absent: as fast as it answers. `window`, `timeout_s`: of
    providers that speak HTTP. `own`: what only this kind has, as its dataclass."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    kind: str
    weight: Annotated[int, Field(ge=1, le=100)] = 1
    accounts: Annotated[list[str], Field(min_length=1)] | None = None
    rate_per_s: Annotated[float, Field(gt=0)] | None = None
    window: Positive = 50
    timeout_s: Annotated[float, Field(gt=0, le=30)] = 15.0
    own: Any

    @model_validator(mode="before")
    @classmethod
    def _split(cls, given: Any) -> Any:
        """What the kind declares is its own; the rest must be ours."""
        if not isinstance(given, dict):
            return given
        kind = str(given.get("kind"))
        if kind not in PROVIDERS:
            raise ValueError(f"`kind` must be one of {', '.join(sorted(PROVIDERS))}")
        settings = PROVIDERS[kind].settings
        names = {field.name for field in dataclasses.fields(settings) if field.init}
        common = {name: value for name, value in given.items() if name in cls.model_fields and name != "own"}
        for name in given:
            if name not in names and name not in common:
                raise ValueError(f"no such setting `{name}`. {_did_you_mean(name, names | set(cls.model_fields))}")
        return common | {"own": _own_settings(settings, {name: given[name] for name in given if name in names})}


def _own_settings(settings: type[Any], given: dict[str, Any]) -> Any:
    """The dataclass, checked by its types; a text for a `Secret` becomes one. Raises `ValueError` that names the
    setting."""
    hints = get_type_hints(settings)
    typed: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        if not field.init:
            continue
        type_ = {Secret: SecretStr, Secret | None: SecretStr | None}.get(hints[field.name], hints[field.name])
        if field.default is not dataclasses.MISSING:
            typed[field.name] = (type_, field.default)
        elif field.default_factory is not dataclasses.MISSING:
            typed[field.name] = (type_, Field(default_factory=field.default_factory))
        elif type_ is SecretStr:  # an empty one would let anybody be believed
            typed[field.name] = (Annotated[SecretStr, Field(min_length=1)], ...)
        else:
            typed[field.name] = (type_, ...)
    model = create_model(settings.__name__, __config__=ConfigDict(arbitrary_types_allowed=True), **typed)
    try:
        checked = model(**given)
        values = {name: getattr(checked, name) for name in typed}
        return settings(
            **{
                name: Secret(value.get_secret_value()) if isinstance(value, SecretStr) else value
                for name, value in values.items()
            }
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"`{'.'.join(map(str, first['loc']))}`: {first['msg']}") from None
    except ConfigError as error:
        raise ValueError(f"`{error.setting.rpartition('.')[2]}`: {error.problem}. {error.fix}") from None


class RouteStep(Section):
    """`window_s`: how long to wait for a receipt; absent: for the rest of the message's time to live. `surveys`:
    whether a survey goes this way too; absent: on the channels that have surveys of their own, and by SMS."""

    channel: Channel
    window_s: Positive | None = None
    surveys: bool | None = None

    @property
    def takes_surveys(self) -> bool:
        return self.channel in SURVEY_CHANNELS if self.surveys is None else self.surveys


class PriceEntry(Section):
    """What one part costs: an SMS may have several, anything else is one. The entry with the longest `prefix` of the
    phone counts, and of two such the one of the message's own `sender`. A channel without an entry is free."""

    channel: Channel
    price: Annotated[Decimal, Field(ge=0, lt=1_000_000, decimal_places=6)]
    sender: str | None = None
    prefix: Annotated[str, Field(pattern=r"^(\+[0-9]{1,14})?$")] = ""


def _route(*windows_s: int) -> list[RouteStep]:
    """Every channel of the contract in its order; the last one keeps the rest of the time to live."""
    bots_first = (Channel.TELEGRAM_BOT, Channel.VIBER_BOT, Channel.VIBER_BUSINESS, Channel.RCS)
    steps = [
        RouteStep(channel=channel, window_s=window_s) for channel, window_s in zip(bots_first, windows_s, strict=True)
    ]
    return [*steps, RouteStep(channel=Channel.SMS)]


def _with_tables(given: Any) -> Any:
    """Tables and lists under [smpp] that the environment gives as JSON: of a dataclass the library reads none."""
    if not isinstance(given, dict):
        return given
    hints = get_type_hints(SmppSettings)
    read = dict(given)
    for name, value in given.items():
        if isinstance(value, str) and get_origin(hints.get(name)) in (tuple, Mapping):
            with suppress(ValueError):  # what is no JSON is refused with the setting's name
                read[name] = json.loads(value)
    return read


class Settings(BaseSettings):
    """`routes` must hold `standard` and `tg-viber`. `smpp` is the short form of a provider of that name and of kind
    `sms.smpp`. `currency`: that of all prices, ISO 4217."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True)

    store: Store = Store()
    http: Http = Http()
    secrets: Secrets = Secrets()
    log: Log = Log()
    limits: Limits = Limits()
    engine: Engine = Engine()
    retention: Retention = Retention()
    webhooks: Webhooks = Webhooks()
    links: Links = Links()
    flashcalls: Flashcalls = Flashcalls()
    console: Console = Console()
    tracing: Tracing = Tracing()
    inbound: Inbound = Inbound()
    surveys: Surveys = Surveys()
    telegram_bot: TelegramApi = TelegramApi()
    viber_bot: ViberApi = ViberApi()
    smpp: Annotated[SmppSettings | None, BeforeValidator(_with_tables)] = None
    providers: dict[Annotated[str, Field(pattern="^[a-z0-9_-]{1,40}$")], ProviderLink] = {}
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "USD"
    prices: list[PriceEntry] = []
    routes: dict[str, Annotated[list[RouteStep], Field(min_length=1)]] = {
        "standard": _route(30, 60, 60, 60),
        "tg-viber": _route(15, 20, 30, 30),
    }

    @property
    def provider_links(self) -> dict[str, ProviderLink]:
        """Every configured link by its name, in the order in which one takes over from another."""
        links = {}
        if self.smpp is not None:
            links["sms.smpp"] = ProviderLink.model_construct(
                **{name: field.default for name, field in ProviderLink.model_fields.items()}
                | {"kind": "sms.smpp", "rate_per_s": self.smpp.rate_per_s, "own": self.smpp}
            )
        for name, link in self.providers.items():
            links[f"{PROVIDERS[link.kind].channel.value}.{name}"] = link
        return links

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over what `load` read from the file."""
        return env_settings, init_settings


def load(path: Path | None, role: Role | None = None) -> Settings:
    """The settings of a TOML file and the environment, and the role that the command line names. Raises `ConfigError`
    with the setting's name and the fix."""
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError("--config", f"cannot read {path}: {error.strerror}", "Name a file that exists") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError("--config", f"{path} is not TOML: {error}", "Mend that line") from error
    _check_environment()
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise _config_error(error) from None
    except SettingsError as error:
        raise _unreadable_variable(error) from None
    if role is not None:
        settings = settings.model_copy(update={"engine": settings.engine.model_copy(update={"role": role})})
    if settings.engine.role is not Role.ALL and not engines.is_postgres(settings.store.url):
        raise ConfigError(
            "engine.role", "a SQLite file has one process, which does all", "Write all, or use PostgreSQL"
        )
    for name in ("standard", "tg-viber"):
        if name not in settings.routes:
            raise ConfigError("routes", f"there is no route {name!r}", "Both send endpoints need theirs: add it")
    return settings


def _check_environment() -> None:
    """A mistyped variable would be ignored in silence."""
    known = {PREFIX + section.upper() for section in Settings.model_fields}
    for name in os.environ:
        section = name.split("__")[0].upper()
        if section.startswith(PREFIX) and section not in known | OTHER_VARIABLES:
            raise ConfigError(name, "no such setting", _did_you_mean(section, known))


def _config_error(error: ValidationError) -> ConfigError:
    first = error.errors(include_url=False)[0]
    setting = ".".join(str(part) for part in first["loc"])
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        known = _names(first["loc"][:-1])
        return ConfigError(setting, "no such setting", _did_you_mean(str(first["loc"][-1]), known))
    return ConfigError(
        setting, first["msg"].removeprefix("Value error, "), "See cascade.example.toml for what it takes"
    )


def _unreadable_variable(error: SettingsError) -> ConfigError:
    """A section, list or table in the environment is JSON. The library names the section in its text alone."""
    section = str(error).split('"')[1]
    written = f"{PREFIX}{section.upper()}"
    return ConfigError(
        written, "the environment gives it, or a list or table in it, as something else than JSON", "Write JSON"
    )


def _names(place: tuple[int | str, ...]) -> set[str]:
    """The settings that exist at a place in the tree, as far as they have fixed names."""
    fields: dict[str, Any] = dict(Settings.model_fields)
    for part in place:
        field = fields.get(str(part))
        annotation = getattr(field, "annotation", None)
        if annotation == SmppSettings | None:
            return set(SmppSettings.__dataclass_fields__)
        fields = dict(getattr(annotation, "model_fields", {}))
    return set(fields)


def _did_you_mean(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"Did you mean {close[0]!r}?" if close else f"Known here: {', '.join(sorted(known)) or 'nothing'}"
