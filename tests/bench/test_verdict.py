"""When the chaos run calls a promise broken, and when it does not."""

from collections.abc import Sequence
from typing import Any

import pytest

from bench.chaos.people import Sent
from bench.chaos.verdict import Broken, Cause, Double, Excuse, Reached, Tally, Verdict, judge
from cascade.sandbox.people import Behaviour

TEXT = "Order 1 has been confirmed."
AWAY = [(1_000, 2_000)]
SMS = Reached("sms", TEXT)
VIBER = Reached("viber_bot", TEXT)


def sent(*, sms: str = "delivers", viber_bot: str = "delivers", is_urgent: bool = False) -> Sent:
    behaviours = {
        "telegram_bot": Behaviour.ABSENT,
        "viber_bot": Behaviour(viber_bot),
        "sms": Behaviour(sms),
    }
    return Sent("+380670000001", behaviours, is_urgent, TEXT)


def entry(event: str, reason: str | None = None, *, channel: str = "sms", attempt: int = 1, s: int = 0) -> Any:
    told = {"at": f"1970-01-01T00:00:{s:02d}.000Z", "event": event, "channel": channel, "attempt": attempt}
    return told | ({"reason": reason} if reason else {})


def status(word: str, *timeline: Any, is_final: bool = True) -> dict[str, Any]:
    finished_at = "1970-01-01T00:01:00.000Z" if is_final else None
    return {"deliverystatus": word, "finishedAt": finished_at, "timeline": list(timeline)}


CUT = entry("unknown", "node_lost")
LOST = entry("unknown", "no_answer")
VIBER_TIMED_OUT = (
    entry("accepted", channel="viber_bot", s=0),
    entry("timed_out", "no_receipt", channel="viber_bot", s=4),
)


def late(timeline: Sequence[Any]) -> list[Any]:
    """The same ten seconds later, when nothing was away."""
    return [one | {"at": one["at"].replace("00:00:0", "00:00:1")} for one in timeline]


JUDGEMENTS = {  # whom it was for, the gateway's word, what is on the phone -> broken promises, excuse
    "delivered, and it is there": (sent(), status("delivered"), [SMS], [], None),
    "nowhere to go, nowhere arrived": (sent(sms="absent"), status("undeliverable"), [], [], None),
    "not in the store": (sent(), None, [], [Broken.MISSING], None),
    "not final": (sent(), status("processing", is_final=False), [], [Broken.STUCK], None),
    "delivered, but no phone has it": (sent(), status("delivered"), [], [Broken.INVENTED], None),
    "on the phone, and we say undeliverable": (sent(), status("undeliverable"), [SMS], [Broken.NOT_TOLD], None),
    "the same, cut and honest about it": (sent(), status("undeliverable", CUT), [SMS], [], Excuse.UNKNOWN),
    "the same, from a provider that never tells": (
        sent(sms="silent"),
        status("undeliverable"),
        [SMS],
        [],
        Excuse.SILENT,
    ),
    "unknown on one channel does not excuse another": (
        sent(),
        status("undeliverable", entry("unknown", "node_lost", channel="viber_bot")),
        [SMS],
        [Broken.NOT_TOLD],
        None,
    ),
    "reachable, and never sent": (sent(), status("undeliverable"), [], [Broken.NOT_SENT], None),
    "a promo that was cut is not repeated": (sent(), status("undeliverable", CUT), [], [], Excuse.NOT_REPEATED),
    "a transaction that was cut must be": (
        sent(is_urgent=True),
        status("undeliverable", CUT),
        [],
        [Broken.NOT_SENT],
        None,
    ),
    "somebody else's text": (
        sent(),
        status("delivered"),
        [Reached("sms", "Order 2 has been confirmed.")],
        [Broken.STRANGE],
        None,
    ),
}

DOUBLES = {  # whom it was for, the timeline, what is on the phone -> the doubles
    "once is no double": (sent(), [CUT], [SMS], []),
    "cut by a kill and repeated": (sent(), [CUT], [SMS, SMS], [Double("sms", Cause.KILL)]),
    "its answer was lost": (sent(), [LOST], [SMS, SMS], [Double("sms", Cause.ANSWER_LOST)]),
    "Viber kept silent": (
        sent(viber_bot="silent"),
        VIBER_TIMED_OUT,
        [VIBER, SMS],
        [Double("sms", Cause.SILENCE)],
    ),
    "we were away when Viber told us": (
        sent(),
        VIBER_TIMED_OUT,
        [VIBER, SMS],
        [Double("sms", Cause.RECEIPT_DELAYED)],
    ),
    "Viber told us when the window was over": (
        sent(),
        [*late(VIBER_TIMED_OUT), entry("delivered", channel="viber_bot", s=16)],
        [VIBER, SMS],
        [Double("sms", Cause.RECEIPT_LATE)],
    ),
    "the same, after the SMS had arrived": (
        sent(),
        [*late(VIBER_TIMED_OUT), entry("delivered", attempt=2, s=15), entry("double", channel="viber_bot", s=16)],
        [VIBER, SMS],
        [Double("sms", Cause.RECEIPT_LATE)],
    ),
    "Viber told us in time, and we went on all the same": (
        sent(),
        [*late(VIBER_TIMED_OUT), entry("delivered", channel="viber_bot", s=13)],
        [VIBER, SMS],
        [Double("sms", None)],
    ),
    "another attempt's receipt does not explain it": (
        sent(),
        [*late(VIBER_TIMED_OUT), entry("delivered", attempt=2, s=16)],
        [VIBER, SMS],
        [Double("sms", None)],
    ),
    "one cause does not explain two": (
        sent(),
        [CUT],
        [VIBER, SMS, SMS],
        [Double("sms", Cause.KILL), Double("sms", None)],
    ),
    "nothing explains it": (sent(), [], [SMS, SMS], [Double("sms", None)]),
    "a refusal does not explain it": (sent(), [entry("rejected", "blocked")], [SMS, SMS], [Double("sms", None)]),
}


@pytest.mark.parametrize(("to", "said", "reached", "broken", "excuse"), JUDGEMENTS.values(), ids=JUDGEMENTS.keys())
def test_the_verdict_on(
    to: Sent, said: dict[str, Any] | None, reached: list[Reached], broken: list[Broken], excuse: Excuse | None
) -> None:
    assert judge(to, said, reached, AWAY) == Verdict(broken, excuse, [])


@pytest.mark.parametrize(("to", "timeline", "reached", "doubles"), DOUBLES.values(), ids=DOUBLES.keys())
def test_doubles_when(to: Sent, timeline: Sequence[Any], reached: list[Reached], doubles: list[Double]) -> None:
    is_explained = all(double.cause for double in doubles)
    verdict = judge(to, status("delivered", *timeline), reached, AWAY)
    assert verdict == Verdict([] if is_explained else [Broken.UNEXPLAINED], None, doubles)


def test_a_silence_outside_of_our_absence_explains_nothing() -> None:
    verdict = judge(sent(), status("delivered", *VIBER_TIMED_OUT), [VIBER, SMS], away=[(5_000, 6_000)])
    assert verdict.broken == [Broken.UNEXPLAINED]


def test_verdicts_are_added_up() -> None:
    tally = Tally()
    tally.add(sent(), status("delivered", CUT), [SMS, SMS], AWAY)
    tally.add(sent(), None, [], AWAY)
    assert tally.statuses == {"delivered": 1, "missing": 1}
    assert tally.broken == {Broken.MISSING: 1}
    assert tally.doubles == {Double("sms", Cause.KILL): 1}
    assert tally.people_with_doubles == 1
    assert [example["broken"] for example in tally.examples] == [[Broken.MISSING]]
