"""One Asterisk as its operator describes it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cascade.channels.flashcall.sip.settings import LONGEST_NO_RING_S, LONGEST_RING_S
from cascade.core.errors import ConfigError
from cascade.core.flashcalls import is_caller
from cascade.core.secret import Secret

_PLACEHOLDER = re.compile(r"\{(\w*)\}")
PLACEHOLDERS = frozenset({"phone", "caller"})


@dataclass(frozen=True, slots=True)
class AsteriskSettings:
    """Raises ConfigError when a value cannot work.

    `base_url`: of its HTTP server, without /ari. `username`, `password`: of a user in ari.conf. `app`: the name under
    which we listen to our calls; no dialplan needs it.
    `endpoint`: whom to dial; `{phone}` is the number. `variables`: channel variables of each call, in which `{phone}`
    and `{caller}` stand for the numbers. `plus`: whether both numbers have one.
    `callers`: the numbers that calls may come from, with their plus. `early_media_is_ringing`: progress counts as
    ringing, for a trunk that never rings. `ring_s`: how long a phone rings. `no_ring_s`: how long until it rings at the
    latest. `busy_retry_s`: when a busy phone is called once more; 0: never.
    `window`: how many calls at once. `timeout_s`: how soon Asterisk answers a request. `reconnect_min_s`,
    `reconnect_max_s`: the pause before a new connection for events doubles between the two.
    """

    username: str
    password: Secret
    base_url: str = "http://127.0.0.1:8088"
    app: str = "cascade"
    endpoint: str = "PJSIP/{phone}@trunk"
    variables: Mapping[str, str] = field(default_factory=dict)
    callers: tuple[str, ...] = field(default=(), repr=False)
    plus: bool = True
    early_media_is_ringing: bool = False
    ring_s: float = 2.0
    no_ring_s: float = 12.0
    busy_retry_s: float = 20.0
    window: int = 10
    timeout_s: float = 10.0
    reconnect_min_s: float = 1.0
    reconnect_max_s: float = 60.0

    def __post_init__(self) -> None:
        if not _is_base_url(self.base_url):
            raise _error("base_url", "it is no http(s) URL", "Write http://asterisk:8088, without a user name")
        if not re.fullmatch(r"[\w.-]{1,64}", self.app, re.ASCII):
            raise _error("app", "it is no name", "Write letters, digits, and . _ -")
        if not is_filled(self.endpoint, {"phone"}):
            raise _error("endpoint", "it has no {phone}, or something else in braces", 'Write "PJSIP/{phone}@trunk"')
        for name, value in self.variables.items():
            if not is_filled(value, PLACEHOLDERS, needs=frozenset()):
                raise _error("variables", f"{name!r} has something else in braces", "Write {phone} or {caller}")
        for number in self.callers:
            if not is_caller(number):
                raise _error("callers", f"{number!r} is no phone", "Write numbers with their plus: +380441234567")
        if self.window < 1:
            raise _error("window", "it is below 1", "Write how many calls at once the operator allows")
        for name, longest in (("ring_s", LONGEST_RING_S), ("no_ring_s", LONGEST_NO_RING_S), ("timeout_s", 15.0)):
            if not 0 < getattr(self, name) <= longest:
                raise _error(name, f"it is not above 0 and up to {longest:g}", "Write a number of seconds")


def _is_base_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and not url.username and url.port != 0
    except ValueError:  # half an IPv6 address, or a port that is none
        return False


def is_filled(template: str, allowed: "set[str] | frozenset[str]", needs: "frozenset[str] | None" = None) -> bool:
    """Whether nothing but `allowed` stands in braces, and all of `needs` does (None: of `allowed`)."""
    named = set(_PLACEHOLDER.findall(template))
    return named <= set(allowed) and named >= set(allowed if needs is None else needs)


def filled(template: str, phone: str, caller: str) -> str:
    return template.replace("{phone}", phone).replace("{caller}", caller)


def _error(setting: str, problem: str, fix: str) -> ConfigError:
    return ConfigError(f"asterisk.{setting}", problem, fix)
