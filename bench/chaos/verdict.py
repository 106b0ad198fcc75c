"""What became of one accepted message, held against what the providers' twins know: which promise was broken?

The twins' record is the truth; the gateway may only know less where nobody told it, and must then say so.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from bench.chaos.people import LONG_TEXT, SMS, Sent
from cascade.sandbox.people import Behaviour


class Broken(StrEnum):
    """A promise that was not kept. One is one too many."""

    MISSING = "missing"  # it was answered with 200 and is not in the store
    STUCK = "stuck"  # its time to live is over and it is not final
    NOT_TOLD = "reached_but_not_delivered"  # a phone has it, somebody told us, and we do not say so
    INVENTED = "delivered_but_not_reached"  # we call delivered what no phone has
    NOT_SENT = "reachable_but_not_reached"  # the SMSC would have taken it, and nothing excuses that it never came
    UNEXPLAINED = "double_unexplained"
    STRANGE = "strange_text"  # a phone has a text that was not meant for it


class Excuse(StrEnum):
    """Why a message is not `delivered` although it could have been. No promise is broken, but it is counted."""

    UNKNOWN = "reached_but_unknown"  # the attempt was cut, the timeline says `unknown`, and no receipt ever came
    SILENT = "reached_but_provider_silent"
    NOT_REPEATED = "promo_cut_and_not_repeated"  # the policy for promo: rather never than twice


class Cause(StrEnum):
    """What made a double, as the timeline tells it."""

    KILL = "kill"  # the attempt was cut by the end of its node
    ANSWER_LOST = "answer_lost"  # the connection died before the provider's answer came
    SILENCE = "silence"  # the provider took it and sent its receipt late or never
    RECEIPT_DELAYED = "receipt_delayed_by_kill"  # the gateway was away when the receipt came, until the window closed
    RECEIPT_LATE = "receipt_after_window"  # it came when the message had gone on, as the contract wants it (section 7)


ARRIVALS = frozenset({"delivered", "double"})
"""What a timeline says of an attempt whose receipt tells that it arrived. Its time is that of the receipt's coming."""


class Reached(NamedTuple):
    """One thing on a phone, in the order in which it came there."""

    channel: str
    text: str


class Double(NamedTuple):
    """`cause` None: nothing explains it. `channel` is the one that brought it once more."""

    channel: str
    cause: Cause | None


class Verdict(NamedTuple):
    broken: list[Broken]
    excuse: Excuse | None
    doubles: list[Double]


Away = Sequence[tuple[int, int]]
"""When the gateway was away, each from and until, in Unix milliseconds."""


def judge(sent: Sent, status: Mapping[str, Any] | None, reached: Sequence[Reached], away: Away) -> Verdict:
    """`status` is the gateway's last word, None where it does not know the message."""
    if status is None:
        return Verdict([Broken.MISSING], None, [])
    broken = []
    excuse = None
    doubles = list(_doubles(sent, status["timeline"], reached, away))
    is_delivered = status["deliverystatus"] == "delivered"
    if status["finishedAt"] is None:
        broken.append(Broken.STUCK)
    elif reached and not is_delivered:
        excuse = _why_not_told(sent, status["timeline"], reached)
        if excuse is None:
            broken.append(Broken.NOT_TOLD)
    elif is_delivered and not reached:
        broken.append(Broken.INVENTED)
    elif not reached and _is_reachable(sent):
        if sent.is_urgent or not _is_unknown(status["timeline"], SMS):
            broken.append(Broken.NOT_SENT)
        else:
            excuse = Excuse.NOT_REPEATED
    if any(double.cause is None for double in doubles):
        broken.append(Broken.UNEXPLAINED)
    if any(one.text != sent.text for one in reached):
        broken.append(Broken.STRANGE)
    return Verdict(broken, excuse, doubles)


def _is_reachable(sent: Sent) -> bool:
    """The last step would reach them at any try, or at the second. Of a text in two parts an SMSC that always cuts the
    connection after the first never takes the second."""
    if sent.behaviours[SMS] is Behaviour.ANSWER_LOST and sent.text.endswith(LONG_TEXT):
        return False
    return sent.behaviours[SMS] not in (Behaviour.ABSENT, Behaviour.REJECTS, Behaviour.DOWN)


def _why_not_told(sent: Sent, timeline: Sequence[Mapping[str, Any]], reached: Sequence[Reached]) -> Excuse | None:
    channels = {one.channel for one in reached}
    if all(_is_unknown(timeline, channel) for channel in channels):
        return Excuse.UNKNOWN
    if all(_is_unknown(timeline, channel) or sent.behaviours[channel] is Behaviour.SILENT for channel in channels):
        return Excuse.SILENT
    return None


def _is_unknown(timeline: Sequence[Mapping[str, Any]], channel: str) -> bool:
    return any(entry["event"] == "unknown" and entry["channel"] == channel for entry in timeline)


def _doubles(
    sent: Sent, timeline: Sequence[Mapping[str, Any]], reached: Sequence[Reached], away: Away
) -> Iterator[Double]:
    """Everything after the first, each with an attempt of its own that explains why another one followed."""
    causes = sorted(_causes(sent, timeline, away), key=list(Cause).index)
    for place, one in enumerate(reached[1:]):
        yield Double(one.channel, causes[place] if place < len(causes) else None)


def _causes(sent: Sent, timeline: Sequence[Mapping[str, Any]], away: Away) -> Iterator[Cause]:
    accepted_at_ms = {}
    told_at_ms = {entry["attempt"]: _unix_ms(entry["at"]) for entry in timeline if entry["event"] in ARRIVALS}
    for entry in timeline:
        match entry["event"], entry.get("reason"):
            case "accepted", _:
                accepted_at_ms[entry["attempt"]] = _unix_ms(entry["at"])
            case "unknown", "node_lost":
                yield Cause.KILL
            case "unknown", _:
                yield Cause.ANSWER_LOST
            case "timed_out", "no_receipt" if entry["attempt"] in accepted_at_ms:
                if sent.behaviours[entry["channel"]] in (Behaviour.SILENT, Behaviour.LATE):
                    yield Cause.SILENCE
                elif was_away(away, accepted_at_ms[entry["attempt"]], _unix_ms(entry["at"])):
                    yield Cause.RECEIPT_DELAYED
                # One that had come before, and was not believed, would be our fault: it explains nothing.
                elif told_at_ms.get(entry["attempt"], -1) >= _unix_ms(entry["at"]):
                    yield Cause.RECEIPT_LATE


def was_away(away: Away, from_ms: int, until_ms: int) -> bool:
    return any(gone_ms <= until_ms and from_ms <= back_ms for gone_ms, back_ms in away)


def _unix_ms(at: str) -> int:
    return round(datetime.fromisoformat(at).timestamp() * 1000)


class Tally:
    """The verdicts of a run, added up. `examples` holds a few broken promises, to look into."""

    MOST_EXAMPLES = 10

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.broken: Counter[Broken] = Counter()
        self.excuses: Counter[Excuse] = Counter()
        self.doubles: Counter[Double] = Counter()
        self.people_with_doubles = 0
        self.examples: list[dict[str, Any]] = []

    def add(self, sent: Sent, status: Mapping[str, Any] | None, reached: Sequence[Reached], away: Away) -> None:
        verdict = judge(sent, status, reached, away)
        self.statuses[status["deliverystatus"] if status else "missing"] += 1
        self.broken.update(verdict.broken)
        if verdict.excuse is not None:
            self.excuses[verdict.excuse] += 1
        self.doubles.update(verdict.doubles)
        self.people_with_doubles += bool(verdict.doubles)
        if verdict.broken and len(self.examples) < self.MOST_EXAMPLES:
            self.examples.append(
                {
                    "broken": verdict.broken,
                    "type": "transaction" if sent.is_urgent else "promo",
                    "behaviours": sent.behaviours,
                    "reached": [one.channel for one in reached],
                    "status": status,
                }
            )
