"""What a provider says of itself to be judged."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cascade.channels.base import Callback, Transport
from cascade.core.content import Content
from cascade.core.secret import Secret
from cascade.core.words import MessageType, Reason

if TYPE_CHECKING:
    from .stage import Stage

LINK = "judged"
NO_RECEIPTS = dict.fromkeys(("delivered", "read", "repeated", "early", "late", "out of order"), "it sends no receipts")
NO_CALLBACKS = dict.fromkeys(("forged", "replayed", "malformed", "mangled"), "it does not call us by HTTP")


@dataclass(frozen=True, slots=True)
class Twins:
    """Where the sandbox's twins are, and where the provider can call us."""

    url: str
    smsc_port: int
    sip_port: int
    callback_url: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """How the provider refuses a person. `by_receipt`: it accepts first, and says so later."""

    reason: Reason
    by_receipt: bool = False


async def _nothing(stage: "Stage") -> None:
    """Nothing needs to be done before the first message."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """`sandbox` are settings of the sandbox that the account needs. `address` turns a phone into what the channel
    addresses. `prepare` is done before the first message. `shown` is what the phone must show; None: the content's
    text. `names_recipient`: its receipts say whose they are. `unfit` is a message that cannot go by this channel.
    `stranger` builds the link with credentials that the twin does not know, where `credential` cannot."""

    kind: str
    transport: Callable[[Twins], Transport]
    refusals: Mapping[str, Refusal]
    secrets: Sequence[str]
    credential: Mapping[str, Secret]
    has_no: Mapping[str, str]
    sandbox: Mapping[str, Any] = field(default_factory=dict)
    address: Callable[[str], str] = lambda phone: phone
    prepare: Callable[["Stage"], Awaitable[None]] = _nothing
    names_recipient: bool = True
    sender: str = "Shop"
    shown: str | None = None
    stranger: Callable[[Twins], Transport] | None = None
    type: MessageType = MessageType.TRANSACTION
    content: Content = field(default_factory=lambda: Content("Your code is 918273"))
    unfit: tuple[MessageType, Content] = field(default_factory=lambda: (MessageType.FLASHCALL, Content("")))
    survey: MessageType = MessageType.VIBER_SURVEY
    signed: Callable[[Callback, bytes], Callback] | None = None
    forged: Callable[[Callback], Mapping[str, Callback]] | None = None

    @property
    def channel(self) -> str:
        return self.kind.partition(".")[0]


def without(callback: Callback, header: str) -> Callback:
    return replace(callback, headers={name: value for name, value in callback.headers.items() if name != header})


def with_header(callback: Callback, header: str, value: str) -> Callback:
    return replace(callback, headers={**callback.headers, header: value})
