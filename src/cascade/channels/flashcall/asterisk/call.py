"""One flash call by Asterisk: what to ask of it next, given what it said and what time it is.

Source: Asterisk's ARI documentation, channels and events. It has no socket and no clock of its own.
"""

from enum import Enum
from typing import Any, Final

from cascade.channels.flashcall.asterisk import causes
from cascade.channels.flashcall.asterisk.settings import AsteriskSettings
from cascade.core.attempt import AnswerLost, Delivered, Outcome, Rejected, Retry
from cascade.core.words import Reason

HANG_UP_S: Final = 10.0
"""How long the end of a call that was told to end is waited for, and how long one of which nothing is known."""
RESERVE_S: Final = 5
"""Asterisk itself gives up so long after we should have: for the case that we died."""


class Do(Enum):
    """What to ask of Asterisk for this call's channel."""

    ORIGINATE = "originate"
    HANG_UP = "hang up"
    LOOK = "look"  # how the channel stands, since events may have been missed


class Call:
    """A `calls.Call`. `name` is that of the channel, ours."""

    def __init__(self, name: str, settings: AsteriskSettings, *, is_first: bool) -> None:
        self.name = name
        self.outcome: Outcome | None = None
        self.rang = False
        self._settings = settings
        self._is_first = is_first
        self._is_hung_up = False
        self._has_answered = False
        self._is_known = False  # Asterisk said something of it, so it exists or did
        self._timers: dict[str, float] = {}

    @property
    def next_at_s(self) -> float | None:
        return None if self.outcome is not None else min(self._timers.values(), default=None)

    def begin(self, now_s: float) -> list[Do]:
        self._timers["no_ring"] = now_s + self._settings.no_ring_s
        return [Do.ORIGINATE]

    def passed(self, now_s: float) -> list[Do]:
        wanted: list[Do] = []
        while (at_s := self.next_at_s) is not None and at_s <= now_s:
            name = min(self._timers, key=self._timers.__getitem__)
            del self._timers[name]
            if name == "end":
                self._end_untold()
            else:
                wanted += self.hang_up(now_s)
        return wanted

    def hang_up(self, now_s: float) -> list[Do]:
        self._timers = {"end": now_s + HANG_UP_S}
        if self._is_hung_up:
            return []
        self._is_hung_up = True
        return [Do.HANG_UP]

    def abandon(self) -> Outcome:
        return self._conclude(Delivered(self.name) if self.rang else AnswerLost("stopped during the call"))

    # -- what Asterisk says -------------------------------------------------------------------------------------------

    def originated(self, status: int, words: str, now_s: float) -> list[Do]:
        """The answer to the wish for a call. 409: it was made before, and its answer was lost."""
        if 200 <= status < 300 or status == 409:
            self._is_known = True
        elif self.outcome is None:
            self._conclude(causes.refusal(status, words))
        return []

    def unanswered(self, now_s: float, *, has_left: bool) -> list[Do]:
        """No answer came to it; `has_left`: Asterisk may have got it all the same. The channel's name is ours, so it
        can be asked for."""
        if has_left:
            return [] if self._is_known else [Do.LOOK]
        self._conclude(Retry(Reason.PROVIDER_DOWN, detail="no connection"))
        return []

    def state(self, state: str, now_s: float) -> list[Do]:
        """Of the channel: Down, Ring, Ringing, Up …"""
        self._is_known = True
        if state == "Ringing":
            return self._ringing(now_s)
        if state == "Up":
            return self.answered(now_s)
        return []

    def dialed(self, status: str, now_s: float) -> list[Do]:
        """RINGING, PROGRESS, ANSWER …"""
        self._is_known = True
        if status == "RINGING" or (status == "PROGRESS" and self._settings.early_media_is_ringing):
            return self._ringing(now_s)
        return self.answered(now_s) if status == "ANSWER" else []

    def answered(self, now_s: float) -> list[Do]:
        """Somebody or a voicemail took it."""
        self._has_answered = True
        return self.hang_up(now_s)

    def destroyed(self, cause: int, words: str) -> None:
        self._is_known = True
        if self._has_answered:
            self._end_untold()
        elif self._is_hung_up and not self.rang:
            self._conclude(self._unreached())
        else:
            retry_s = self._settings.busy_retry_s if self._is_first else 0
            self._conclude(causes.verdict(cause, words, self.name, rang=self.rang, busy_retry_s=retry_s))

    def gone(self) -> None:
        """There is no such channel, and its end was missed."""
        self._end_untold()

    def _ringing(self, now_s: float) -> list[Do]:
        if not self.rang:
            self.rang = True
            if not self._is_hung_up:
                self._timers = {"ring": now_s + self._settings.ring_s}
        return []

    def _end_untold(self) -> None:
        """It is over, and nobody says how."""
        if self._has_answered:
            words = "answered while it rang" if self.rang else "answered, by a voicemail perhaps"
            self._conclude(Rejected(Reason.ANSWERED, words))
        elif self.rang:
            self._conclude(Delivered(self.name))
        elif self._is_known and self._is_hung_up:
            self._conclude(self._unreached())
        else:
            self._conclude(AnswerLost("Asterisk said nothing of it"))

    def _unreached(self) -> Outcome:
        return Rejected(Reason.UNDELIVERABLE, f"no ringing within {self._settings.no_ring_s:g} s")

    def _conclude(self, outcome: Outcome) -> Outcome:
        if self.outcome is None:
            self.outcome = outcome
        return self.outcome


def told(call: Call, event: dict[str, Any], now_s: float) -> list[Do]:
    """What an event of ARI means to its call; an unknown one, nothing."""
    match event.get("type"):
        case "ChannelStateChange":
            return call.state(str(event["channel"]["state"]), now_s)
        case "Dial":
            return call.dialed(str(event["dialstatus"]), now_s)
        case "StasisStart":
            return call.answered(now_s)
        case "ChannelDestroyed":
            call.destroyed(int(event["cause"]), str(event.get("cause_txt", "")))
    return []
