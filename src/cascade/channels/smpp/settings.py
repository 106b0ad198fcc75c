"""What an operator may set about one SMPP account."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from cascade.channels.smpp.pdu import Address
from cascade.core.errors import ConfigError
from cascade.core.gsm import BASIC
from cascade.core.words import Reason


class BindMode(StrEnum):
    TRANSCEIVER = "transceiver"  # one connection, both ways
    PAIR = "pair"  # a transmitter and a receiver, for an SMSC without transceivers


class LongMessages(StrEnum):
    """How a text of more than one part travels (channels.md, 5.3)."""

    UDH8 = "udh8"  # user data header with an 8-bit reference: understood nearly everywhere
    UDH16 = "udh16"
    SAR = "sar"  # optional parameters; the SMSC makes the header
    PAYLOAD = "payload"  # the whole text in message_payload; the SMSC cuts it


class Receipts(StrEnum):
    """Which parts of a message the SMSC reports on."""

    EVERY = "every"
    LAST = "last"
    NONE = "none"


class DefaultAlphabet(StrEnum):
    """What the SMSC means by data_coding 0."""

    GSM = "gsm"  # GSM 03.38, one septet an octet
    LATIN1 = "latin1"
    ASCII = "ascii"


class Validity(StrEnum):
    """How validity_period is written; some SMSCs misread the relative form."""

    RELATIVE = "relative"
    ABSOLUTE = "absolute"


class IdForm(StrEnum):
    """How the message id of submit_sm_resp and that of the receipt differ."""

    AS_IS = "as_is"
    RESP_HEX_DLR_DEC = "resp_hex_dlr_dec"
    RESP_DEC_DLR_HEX = "resp_dec_dlr_hex"


LONGEST_RESPONSE_S = 30
"""With what a text of many parts waits in our queue, the engine's lease must outlast it."""
_NAME_CHARACTERS = frozenset(char for char in BASIC if char.isascii() and char.isprintable())


@dataclass(frozen=True, slots=True)
class SmppSettings:
    """One account at one SMSC. Raises ConfigError when a value cannot work.

    Connection:
    `host`, `port`, `system_id`, `password`, `system_type`, `address_range`: as the operator gave them; a password may
    be longer than the standard's 8 octets. `bind`: one transceiver or a transmitter and receiver pair.
    `tls` with `tls_verify` (on: the certificate and the host's name are checked) and `tls_ca_file` (PEM; None for the
    system's authorities).
    `connect_timeout_s`: TCP and TLS together. `response_timeout_s`: a submit unanswered for so long is lost;
    at most 30.
    `enquire_link_s`: silence before we ask whether the peer lives. `enquire_timeout_s`: silence after it that ends the
    connection. `reconnect_min_s`, `reconnect_max_s`: the pause before a new bind doubles between the two.
    `throttle_min_s`, `throttle_max_s`: the same for the pause after the SMSC asks us to slow down.
    `window`: how many submits may be unanswered. `rate_per_s`: how many messages a second we send at most; None: as
    many as are answered.

    Messages:
    `senders` maps a client's sender to the registered one; any other goes out as `default_sender`, or where that is
    None under its own name if it can be one. `service_type`, and the (TON, NPI) pairs, by kind of address.
    `long_messages`, `receipts`, `default_alphabet`, `validity`, `id_form`: see their words. `max_parts`: a longer text
    is refused. `transliterate`: typographic quotes and dashes become plain ones, so that they do not make the text
    UCS-2.

    Receipts:
    `accepted_is_delivered`: ACCEPTD is final and means delivered. `unknown_is_failed`: UNKNOWN is final; else we wait.
    `statuses` adds to or overrides what a command_status means, above all of the vendor's own 0x400 to 0x4FF.
    """

    host: str = "127.0.0.1"
    port: int = 2775
    system_id: str = ""
    password: str = field(default="", repr=False)
    system_type: str = ""
    address_range: str = ""
    bind: BindMode = BindMode.TRANSCEIVER
    tls: bool = False
    tls_verify: bool = True
    tls_ca_file: str | None = None
    connect_timeout_s: float = 10.0
    response_timeout_s: float = 15.0
    enquire_link_s: float = 30.0
    enquire_timeout_s: float = 10.0
    reconnect_min_s: float = 1.0
    reconnect_max_s: float = 60.0
    throttle_min_s: float = 1.0
    throttle_max_s: float = 30.0
    window: int = 10
    rate_per_s: float | None = None
    senders: Mapping[str, str] = field(default_factory=dict)
    default_sender: str | None = None
    service_type: str = ""
    name_ton_npi: tuple[int, int] = (5, 0)
    short_code_ton_npi: tuple[int, int] = (3, 0)
    phone_ton_npi: tuple[int, int] = (1, 1)
    destination_ton_npi: tuple[int, int] = (1, 1)
    long_messages: LongMessages = LongMessages.UDH8
    receipts: Receipts = Receipts.EVERY
    default_alphabet: DefaultAlphabet = DefaultAlphabet.GSM
    validity: Validity = Validity.RELATIVE
    id_form: IdForm = IdForm.AS_IS
    max_parts: int = 255
    transliterate: bool = False
    accepted_is_delivered: bool = False
    unknown_is_failed: bool = True
    statuses: Mapping[int, Reason] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, longest in (("system_id", 15), ("system_type", 12), ("address_range", 40), ("service_type", 5)):
            _require_field(name, getattr(self, name), longest)
        _require_field("password", self.password, 255)
        if self.window < 1:
            raise ConfigError("smpp.window", "it is below 1", "Write how many unanswered submits the operator allows")
        if not 1 <= self.max_parts <= 255:
            raise ConfigError("smpp.max_parts", "it is not from 1 to 255", "Write how many parts the operator takes")
        if self.response_timeout_s > LONGEST_RESPONSE_S:
            raise ConfigError(
                "smpp.response_timeout_s", f"it is above {LONGEST_RESPONSE_S}", "Write how soon the operator answers"
            )
        for name in ("response_timeout_s", "enquire_link_s", "enquire_timeout_s", "reconnect_min_s", "throttle_min_s"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"smpp.{name}", "it is not above 0", "Write a number of seconds")
        registered = dict(self.senders)
        if self.default_sender is not None:
            registered["default_sender"] = self.default_sender
        for name, sender in registered.items():
            if self.address_of(sender) is None:
                raise ConfigError(
                    "smpp.senders",
                    f"{name!r} leads to {sender!r}, which no SMSC takes as a sender",
                    "Write 1 to 11 Latin letters and digits, a short code, or a phone with its plus",
                )

    def sender(self, name: str) -> Address | None:
        """Who a client's sender is on this account; None when it can be nobody."""
        return self.address_of(self.senders.get(name) or self.default_sender or name)

    def address_of(self, sender: str) -> Address | None:
        """A sender with its type of number: phone (up to 15 digits), short code (3 to 8) or name (1 to 11 characters
        of the GSM basic alphabet, one a letter; only those in ASCII, since they look alike to every SMSC)."""
        digits = sender.removeprefix("+")
        if digits.isascii() and digits.isdigit():
            if sender == digits and 3 <= len(digits) <= 8:
                return Address(*self.short_code_ton_npi, digits)
            return Address(*self.phone_ton_npi, digits) if 7 <= len(digits) <= 15 else None
        if len(sender) <= 11 and _NAME_CHARACTERS.issuperset(sender) and any(char.isalpha() for char in sender):
            return Address(*self.name_ton_npi, sender)
        return None


def _require_field(name: str, value: str, longest: int) -> None:
    if len(value) > longest or not value.isascii() or "\0" in value:
        raise ConfigError(
            f"smpp.{name}", f"it is not ASCII of at most {longest} characters", "Copy it from the operator's letter"
        )
