"""One flash call from its INVITE to its end: what to send next, given what was heard and what time it is.

It has no socket and no clock of its own. Source: RFC 3261: 17.1 (transactions and their timers), 9.1 (CANCEL),
13.2.2.4 (a 200 is acknowledged end to end, each time it comes), 12.2.1.1 (what a dialog's requests carry).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from cascade.channels.flashcall.sip import digest, statuses
from cascade.channels.flashcall.sip.digest import Credentials
from cascade.channels.flashcall.sip.message import (
    MAGIC,
    Headers,
    Request,
    Response,
    SipError,
    cseq_of,
    encode,
    tag_of,
    uri_of,
    via_of,
)
from cascade.channels.flashcall.sip.settings import Codec, Identity, SipSettings
from cascade.core.attempt import AnswerLost, Delivered, Outcome, Rejected, Retry
from cascade.core.words import Reason

T1_S: Final = 0.5
T2_S: Final = 4.0
PATIENCE_S: Final = 64 * T1_S
"""How long a transaction may take, and how long one that ended may still be spoken to."""
MOST_CHALLENGES: Final = 2
"""One, and one more when our nonce was stale."""
ALLOW: Final = "INVITE, ACK, CANCEL, BYE, OPTIONS"
USER_AGENT: Final = "cascade"
_CODECS: Mapping[Codec, tuple[int, str]] = MappingProxyType(
    {Codec.PCMU: (0, "PCMU/8000"), Codec.PCMA: (8, "PCMA/8000"), Codec.G729: (18, "G729/8000")}
)
_MEDIA_PORT: Final = 40_000
"""Nothing listens there: a call that is answered is ended at once."""


class Place(NamedTuple):
    """Where we speak from: UDP, TCP or TLS, and our address as the trunk shall see it."""

    protocol: str
    host: str
    port: int

    @property
    def is_reliable(self) -> bool:
        return self.protocol != "UDP"

    @property
    def sent_by(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Order(NamedTuple):
    """`is_first`: this message's first call, so a busy phone is worth another."""

    call_id: str
    caller: str
    phone: str
    is_first: bool


@dataclass(slots=True)
class _Repeated:
    """A request without an answer, and when it is said again (never over TCP)."""

    data: bytes
    pause_s: float
    longest_s: float


@dataclass(slots=True)
class _Dialog:
    """A 200, acknowledged as often as it comes, and the BYE that follows it."""

    remote: str
    target: str
    route: list[str]
    ack: bytes
    cseq: int
    bye_branch: str = ""
    challenges: int = 0


class Call:
    """`begin`, then `heard` and `passed` as things come; each returns what is to be written, in order.

    `outcome` is set once. After it the call still has to answer what is repeated: it may be forgotten when
    `next_at_s` is None. `token` makes random words.
    """

    def __init__(self, order: Order, settings: SipSettings, place: Place, token: Callable[[], str]) -> None:
        self.order = order
        self.outcome: Outcome | None = None
        self.rang = False
        self._settings = settings
        self._place = place
        self._token = token
        self._tag = token()
        self._host = settings.domain or (f"[{settings.host}]" if ":" in settings.host else settings.host)
        self._cseq = 0
        self._branch = ""
        self._challenges = 0
        self._was_heard = False  # a provisional answer: only then may we cancel
        self._is_cancelled = False
        self._wants_end = False
        self._is_final = False
        self._acks: dict[str, bytes] = {}  # by branch
        self._dialogs: dict[str, _Dialog] = {}  # by the other side's tag: a call that forks may be answered twice
        self._repeated: dict[str, _Repeated] = {}
        self._timers: dict[str, float] = {}
        self._out: list[bytes] = []

    @property
    def next_at_s(self) -> float | None:
        """When `passed` is to be called; None: it is over."""
        return min(self._timers.values(), default=None)

    def begin(self, now_s: float) -> list[bytes]:
        self._timers["no_ring"] = now_s + self._settings.no_ring_s
        self._invite(now_s)
        return self._written()

    def heard(self, response: Response, now_s: float) -> list[bytes]:
        """What does not belong to it, or cannot be read, changes nothing."""
        try:
            branch = via_of(response).params.get("branch", "")
            _, method = cseq_of(response)
        except SipError:
            return []
        if method == "INVITE":
            self._invite_answered(response, branch, now_s)
        elif method == "CANCEL" and branch == self._branch and response.status >= 200:
            self._repeated.pop("cancel", None)
            self._timers.pop("repeat cancel", None)
        elif method == "BYE" and response.status >= 200:
            self._bye_answered(response, branch, now_s)
        return self._written()

    def passed(self, now_s: float) -> list[bytes]:
        """Do what is due."""
        while (at_s := self.next_at_s) is not None and at_s <= now_s:
            name = min(self._timers, key=self._timers.__getitem__)
            del self._timers[name]
            self._due(name, now_s)
        return self._written()

    def hang_up(self, now_s: float) -> list[bytes]:
        """End it as soon as the protocol lets us."""
        self._give_up(now_s)
        return self._written()

    def again(self) -> list[bytes]:
        """What the other side may have missed: a connection ended with it."""
        return [repeated.data for repeated in self._repeated.values()]

    def refused(self) -> None:
        """Nobody listens at the trunk (8.1.3.1: as good as a 503). It is settled; its timers end the rest."""
        if not (self._was_heard or self._acks or self._is_final):
            self._wants_end = True
            self._unrepeat("invite")
            self._conclude(Retry(Reason.PROVIDER_DOWN, detail="nobody listens there"))

    def abandon(self) -> Outcome:
        """How it ends when there is no more time to wait."""
        return self._conclude(Delivered(self.order.call_id) if self.rang else AnswerLost("stopped during the call"))

    # -- what is heard ------------------------------------------------------------------------------------------------

    def _invite_answered(self, response: Response, branch: str, now_s: float) -> None:
        if 200 <= response.status < 300:
            self._answered(response, now_s)
        elif branch in self._acks:
            if response.status >= 300:
                self._out.append(self._acks[branch])  # ours was lost, so it says it again
        elif branch != self._branch or self._is_final:
            return
        elif response.status < 200:
            self._progressed(response.status, now_s)
        else:
            self._failed(response, now_s)

    def _progressed(self, status: int, now_s: float) -> None:
        self._was_heard = True
        self._unrepeat("invite")
        self._timers.pop("unanswered", None)
        if status == 180 or (status == 183 and self._settings.early_media_is_ringing):
            if not self.rang and not self._wants_end:
                self._timers.pop("no_ring", None)
                self._timers["ring"] = now_s + self._settings.ring_s
            self.rang = True
        if self._wants_end:
            self._cancel(now_s)

    def _failed(self, response: Response, now_s: float) -> None:
        acknowledged = self._transaction_request("ACK", self._branch, _header_of(response, "to"))
        self._acks[self._branch] = encode(acknowledged)
        self._out.append(self._acks[self._branch])
        self._unrepeat("invite")
        if response.status in statuses.CREDENTIALS and not self._wants_end:
            authorization = self._authorization(response)
            if authorization is not None:
                self._invite(now_s, authorization)
                return
        self._end_setup()
        self._linger(now_s, is_needed=not self._place.is_reliable)
        self._conclude(self._verdict(response))

    def _verdict(self, response: Response) -> Outcome:
        if self._wants_end and not self.rang and response.status == 487:
            return Rejected(Reason.UNDELIVERABLE, f"no ringing within {self._settings.no_ring_s:g} s")
        return statuses.verdict(
            response.status,
            response.reason,
            self.order.call_id,
            rang=self.rang,
            busy_retry_s=self._settings.busy_retry_s if self.order.is_first else 0,
            after_s=_retry_after_s(response),
        )

    def _answered(self, response: Response, now_s: float) -> None:
        """Somebody or a voicemail took the call: end it at once, before it costs more."""
        remote = _header_of(response, "to")
        tag = tag_of(remote) or ""
        dialog = self._dialogs.get(tag)
        if dialog is not None:
            self._out.append(dialog.ack)
            return
        self._unrepeat("invite")
        self._end_setup()
        target = uri_of(response.headers.first("contact") or "") or self._uri(self.order.phone)
        route = list(reversed(response.headers.all("record-route")))
        acknowledged = self._dialog_request("ACK", remote, target, route, self._cseq, MAGIC + self._token())
        dialog = self._dialogs[tag] = _Dialog(remote, target, route, encode(acknowledged), self._cseq)
        self._out.append(dialog.ack)
        self._bye(tag, dialog, now_s)
        self._linger(now_s, is_needed=True)
        detail = "answered while it rang" if self.rang else "answered, by a voicemail perhaps"
        self._conclude(Rejected(Reason.ANSWERED, detail))

    def _bye_answered(self, response: Response, branch: str, now_s: float) -> None:
        for tag, dialog in self._dialogs.items():
            if dialog.bye_branch == branch:
                self._unrepeat(f"bye {tag}")
                self._timers.pop(f"unanswered bye {tag}", None)
                if response.status in statuses.CREDENTIALS and dialog.challenges < MOST_CHALLENGES:
                    dialog.challenges += 1
                    authorization = self._answer_to(response, "BYE", dialog.target)
                    if authorization is not None:
                        self._bye(tag, dialog, now_s, authorization)

    # -- what is due --------------------------------------------------------------------------------------------------

    def _due(self, name: str, now_s: float) -> None:
        kind, _, key = name.partition(" ")
        match kind:
            case "repeat":
                repeated = self._repeated[key]
                self._out.append(repeated.data)
                repeated.pause_s = min(repeated.pause_s * 2, repeated.longest_s)
                self._timers[name] = now_s + repeated.pause_s
            case "ring" | "no_ring":
                self._give_up(now_s)
            case "unanswered" if not key:
                self._unrepeat("invite")
                self._wants_end = True  # whatever is heard yet is told to end
                self._timers.pop("no_ring", None)
                self._linger(now_s, is_needed=True)
                self._conclude(AnswerLost("the trunk said nothing"))
            case "unanswered":
                self._unrepeat(key)
            case "cancelled":  # 9.1: without a final answer for so long it counts as cancelled
                self._is_final = True
                self._unrepeat("cancel")
                self._conclude(
                    Delivered(self.order.call_id)
                    if self.rang
                    else Rejected(Reason.UNDELIVERABLE, f"no ringing within {self._settings.no_ring_s:g} s")
                )

    def _give_up(self, now_s: float) -> None:
        self._wants_end = True
        self._timers.pop("ring", None)
        self._timers.pop("no_ring", None)
        if self._was_heard and not self._is_final:
            self._cancel(now_s)

    def _cancel(self, now_s: float) -> None:
        if self._is_cancelled:
            return
        self._is_cancelled = True
        self._say("cancel", self._transaction_request("CANCEL", self._branch, self._to()), now_s, T2_S)
        self._timers.pop("over", None)
        self._timers["cancelled"] = now_s + PATIENCE_S

    def _end_setup(self) -> None:
        self._is_final = True
        self._unrepeat("cancel")
        for name in ("ring", "no_ring", "unanswered", "cancelled"):
            self._timers.pop(name, None)

    def _linger(self, now_s: float, *, is_needed: bool) -> None:
        if is_needed:
            self._timers["over"] = now_s + PATIENCE_S

    def _conclude(self, outcome: Outcome) -> Outcome:
        if self.outcome is None:
            self.outcome = outcome
        return self.outcome

    # -- what is said -------------------------------------------------------------------------------------------------

    def _invite(self, now_s: float, authorization: tuple[str, str] | None = None) -> None:
        self._cseq += 1
        self._branch = MAGIC + self._token()
        self._was_heard = False
        caller = self._uri(self.order.caller)
        identity: list[tuple[str, str]] = []
        match self._settings.identity:
            case Identity.ASSERTED:
                identity = [("P-Asserted-Identity", f"<{caller}>"), ("Privacy", "none")]
            case Identity.PREFERRED:
                identity = [("P-Preferred-Identity", f"<{caller}>"), ("Privacy", "none")]
        headers = [
            ("Via", self._via(self._branch)),
            ("Max-Forwards", "70"),
            ("From", self._from()),
            ("To", self._to()),
            ("Call-ID", self.order.call_id),
            ("CSeq", f"{self._cseq} INVITE"),
            ("Contact", f"<{self._contact()}>"),
            *identity,
            *([authorization] if authorization is not None else []),
            ("Allow", ALLOW),
            ("User-Agent", USER_AGENT),
            ("Content-Type", "application/sdp"),
        ]
        invite = Request("INVITE", self._uri(self.order.phone), Headers(headers), self._offer())
        self._say("invite", invite, now_s, math.inf)
        self._timers["unanswered"] = now_s + self._settings.trunk_s

    def _bye(self, tag: str, dialog: _Dialog, now_s: float, authorization: tuple[str, str] | None = None) -> None:
        dialog.cseq += 1
        dialog.bye_branch = MAGIC + self._token()
        bye = self._dialog_request(
            "BYE", dialog.remote, dialog.target, dialog.route, dialog.cseq, dialog.bye_branch, authorization
        )
        self._say(f"bye {tag}", bye, now_s, T2_S)
        self._timers[f"unanswered bye {tag}"] = now_s + PATIENCE_S

    def _transaction_request(self, method: str, branch: str, remote: str) -> Request:
        """ACK of a failure, and CANCEL: they go with their INVITE, with its branch and number (9.1, 17.1.1.3)."""
        headers = [
            ("Via", self._via(branch)),
            ("Max-Forwards", "70"),
            ("From", self._from()),
            ("To", remote),
            ("Call-ID", self.order.call_id),
            ("CSeq", f"{self._cseq} {method}"),
            ("User-Agent", USER_AGENT),
        ]
        return Request(method, self._uri(self.order.phone), Headers(headers))

    def _dialog_request(
        self,
        method: str,
        remote: str,
        target: str,
        route: list[str],
        cseq: int,
        branch: str,
        authorization: tuple[str, str] | None = None,
    ) -> Request:
        headers = [
            ("Via", self._via(branch)),
            ("Max-Forwards", "70"),
            *(("Route", hop) for hop in route),
            ("From", self._from()),
            ("To", remote),
            ("Call-ID", self.order.call_id),
            ("CSeq", f"{cseq} {method}"),
            *([authorization] if authorization is not None else []),
            ("User-Agent", USER_AGENT),
        ]
        return Request(method, target, Headers(headers))

    def _authorization(self, response: Response) -> tuple[str, str] | None:
        challenge = digest.challenge_of(response)
        is_worth_it = self._challenges == 0 or (challenge is not None and challenge.is_stale)
        if self._challenges >= MOST_CHALLENGES or not is_worth_it:
            return None
        self._challenges += 1
        return self._answer_to(response, "INVITE", self._uri(self.order.phone))

    def _answer_to(self, response: Response, method: str, uri: str) -> tuple[str, str] | None:
        challenge = digest.challenge_of(response)
        if challenge is None or not self._settings.username:
            return None
        credentials = Credentials(self._settings.username, self._settings.password)
        return digest.answer(response.status, challenge, credentials, method, uri, digest.new_cnonce())

    def _offer(self) -> bytes:
        """One audio codec (RFC 4566): many trunks refuse a call without an offer."""
        number, name = _CODECS[self._settings.codec]
        family = "IP6" if ":" in self._place.host else "IP4"
        lines = (
            "v=0",
            f"o=- 1 1 IN {family} {self._place.host}",
            "s=-",
            f"c=IN {family} {self._place.host}",
            "t=0 0",
            f"m=audio {_MEDIA_PORT} RTP/AVP {number}",
            f"a=rtpmap:{number} {name}",
            "a=sendrecv",
        )
        return ("\r\n".join(lines) + "\r\n").encode()

    def _say(self, key: str, request: Request, now_s: float, longest_s: float) -> None:
        data = encode(request)
        self._out.append(data)
        self._repeated[key] = _Repeated(data, T1_S, longest_s)
        if not self._place.is_reliable:
            self._timers[f"repeat {key}"] = now_s + T1_S

    def _unrepeat(self, key: str) -> None:
        self._repeated.pop(key, None)
        self._timers.pop(f"repeat {key}", None)

    def _written(self) -> list[bytes]:
        written, self._out = self._out, []
        return written

    def _via(self, branch: str) -> str:
        return f"SIP/2.0/{self._place.protocol} {self._place.sent_by};rport;branch={branch}"

    def _from(self) -> str:
        return f"<{self._uri(self.order.caller)}>;tag={self._tag}"

    def _to(self) -> str:
        return f"<{self._uri(self.order.phone)}>"

    def _uri(self, phone: str) -> str:
        number = phone if self._settings.plus else phone.removeprefix("+")
        return f"sip:{number}@{self._host}"

    def _contact(self) -> str:
        carrier = "" if self._place.protocol == "UDP" else f";transport={self._place.protocol.lower()}"
        number = self.order.caller if self._settings.plus else self.order.caller.removeprefix("+")
        return f"sip:{number}@{self._place.sent_by}{carrier}"


def _header_of(response: Response, name: str) -> str:
    return response.headers.first(name) or ""


def _retry_after_s(response: Response) -> float | None:
    """The seconds of a `Retry-After: 18000;duration=3600 (comment)`."""
    digits = (response.headers.first("retry-after") or "").partition(";")[0].partition("(")[0].strip()
    return float(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 6 else None
