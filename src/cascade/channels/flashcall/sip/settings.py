"""One SIP trunk as its operator describes it."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from cascade.core.errors import ConfigError
from cascade.core.flashcalls import is_caller
from cascade.core.secret import Secret

LONGEST_NO_RING_S: Final = 20.0
LONGEST_RING_S: Final = 5.0
"""With 32 s for a CANCEL that nobody answers, a call so long still ends before its lease."""

_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|\[?[0-9A-Fa-f:.]{2,45}\]?")


class Carrier(StrEnum):
    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


class Identity(StrEnum):
    """Where the caller's number stands. `FROM`: in From alone. `ASSERTED`: in P-Asserted-Identity, too (RFC 3325), with
    `Privacy: none`. `PREFERRED`: in P-Preferred-Identity, too."""

    FROM = "from"
    ASSERTED = "asserted"
    PREFERRED = "preferred"


class Codec(StrEnum):
    """What the offer names; nothing is ever heard or said."""

    PCMA = "pcma"
    PCMU = "pcmu"
    G729 = "g729"


@dataclass(frozen=True, slots=True)
class SipSettings:
    """Raises ConfigError when a value cannot work.

    `host`, `port`, `carrier` (udp, tcp or tls): where the trunk is. `domain`: what stands after the @ (None: the host).
    `username`, `password`: for a trunk that asks for them; without, it knows us by our address. `tls_verify` (on: the
    certificate and the host's name are checked) and `tls_ca_file` (PEM; None for the system's authorities).
    `local_host`, `local_port`: where we speak from; None and 0: as the system chooses. `public_host`: our address as
    the trunk sees it, where a NAT stands between.
    `callers`: the numbers that calls may come from, with their plus. `plus`: whether the trunk wants it. `identity`,
    `codec`: see their words. `early_media_is_ringing`: a 183 counts as ringing, for a trunk that never sends 180.
    `ring_s`: how long a phone rings. `no_ring_s`: how long until it rings at the latest. `trunk_s`: how soon the trunk
    says anything at all. `busy_retry_s`: when a busy phone is called once more; 0: never.
    `window`: how many calls at once.
    `connect_timeout_s`, `reconnect_min_s`, `reconnect_max_s`: of TCP and TLS.
    """

    host: str
    port: int = 5060
    carrier: Carrier = Carrier.UDP
    domain: str | None = None
    username: str = ""
    password: Secret = Secret("")  # noqa: RUF009 - it never changes
    tls_verify: bool = True
    tls_ca_file: str | None = None
    local_host: str | None = None
    local_port: int = 0
    public_host: str | None = None
    callers: tuple[str, ...] = field(default=(), repr=False)
    plus: bool = True
    identity: Identity = Identity.FROM
    codec: Codec = Codec.PCMA
    early_media_is_ringing: bool = False
    ring_s: float = 2.0
    no_ring_s: float = 12.0
    trunk_s: float = 6.0
    busy_retry_s: float = 20.0
    window: int = 10
    connect_timeout_s: float = 10.0
    reconnect_min_s: float = 1.0
    reconnect_max_s: float = 60.0

    def __post_init__(self) -> None:
        for name in ("host", "domain", "local_host", "public_host"):
            value = getattr(self, name)
            if value is not None and not _HOST.fullmatch(value):
                raise self._error(name, "it is no host name or address", "Write it without sip: and without a port")
        for name, text in (("username", self.username), ("password", self.password.reveal())):
            if not text.isprintable():
                raise self._error(name, "it holds a control character", "Copy it from the operator's letter")
        for number in self.callers:
            if not is_caller(number):
                raise self._error("callers", f"{number!r} is no phone", "Write numbers with their plus: +380441234567")
        if self.window < 1:
            raise self._error("window", "it is below 1", "Write how many calls at once the operator allows")
        for name, longest in (("ring_s", LONGEST_RING_S), ("no_ring_s", LONGEST_NO_RING_S)):
            if not 0 < getattr(self, name) <= longest:
                raise self._error(name, f"it is not above 0 and up to {longest:g}", "Write a number of seconds")
        if not 0 < self.trunk_s <= self.no_ring_s:
            raise self._error("trunk_s", "it is not above 0 and up to no_ring_s", "Write a number of seconds")

    @staticmethod
    def _error(setting: str, problem: str, fix: str) -> ConfigError:
        return ConfigError(f"sip.{setting}", problem, fix)
