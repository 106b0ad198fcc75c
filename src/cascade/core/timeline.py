"""What happened to a message, in order: the text that is appended to its row, and how it is read back."""

import json
from enum import StrEnum
from itertools import groupby
from typing import NamedTuple

from cascade.core.words import Reason


class Mark(StrEnum):
    """What one entry says. Part of the API: shown in the timeline."""

    SKIPPED = "skipped"  # the step was passed over; it cost nothing
    ACCEPTED = "accepted"  # the provider has it
    DELIVERED = "delivered"
    READ = "read"
    REJECTED = "rejected"  # the provider refused it for good
    RETRY = "retry"  # it did not work now; the same step tries again
    UNKNOWN = "unknown"  # it left us and no answer came: neither sent nor failed
    FAILED = "failed"  # a receipt: it did not arrive
    PART_DELIVERED = "part_delivered"  # one of several parts arrived
    TIMED_OUT = "timed_out"  # the step's time ran out
    MOVED = "moved"  # another provider of the same channel carries it, since this one fails
    REVOKED = "revoked"  # taken back from the provider: it will not arrive
    DOUBLE = "double"  # it reached the person a second time
    EXPIRED = "expired"  # the message's own time ran out
    CANCELLED = "cancelled"  # withdrawn by the client before it began
    RESCHEDULED = "rescheduled"  # given another hour by the client before it began


TAKEN = frozenset({Mark.ACCEPTED, Mark.DELIVERED, Mark.DOUBLE})


class Entry(NamedTuple):
    """`attempt` 0: no attempt was made. `provider_id`: of an accepted attempt, parts joined by a comma. `detail`: the
    provider's wording; where it was taken, what was changed of the content for the channel, joined by a comma."""

    at_ms: int
    step: int
    attempt: int
    mark: Mark
    reason: Reason | None = None
    provider_id: str | None = None
    detail: str | None = None


def encode(entries: list[Entry]) -> str:
    """Text to append to what is stored: each entry a JSON array followed by a comma.

    Steps passed over one after the other for the same reason are one array with a list of steps: nearly every message
    has some.
    """
    if not entries:
        return ""
    if len(entries) == 1:
        return _encode(entries[0])
    texts = []
    for alike, some in groupby(entries, key=lambda entry: entry._replace(step=0)):
        steps = [entry.step for entry in some]
        texts.append(_encode(alike, steps[0] if len(steps) == 1 else f"[{','.join(map(str, steps))}]"))
    return "".join(texts)


def _encode(entry: Entry, steps: int | str | None = None) -> str:
    at_ms, step, attempt, mark, reason, provider_id, detail = entry
    # Marks and reasons are plain words; only what a provider wrote needs escaping.
    text = f'[{at_ms},{step if steps is None else steps},{attempt},"{mark}"'
    if detail is not None:
        tail = json.dumps([reason, provider_id, detail], ensure_ascii=False)
        return f"{text},{tail[1:]},"
    if provider_id is not None:
        word = "null" if reason is None else f'"{reason}"'
        return f"{text},{word},{json.dumps(provider_id)}],"
    if reason is not None:
        return f'{text},"{reason}"],'
    return f"{text}],"


def decode(text: str) -> list[Entry]:
    entries = []
    for at_ms, step, attempt, mark, *rest in json.loads(f"[{text[:-1]}]"):
        reason, provider_id, detail = (*rest, None, None, None)[:3]
        said = (attempt, Mark(mark), Reason(reason) if reason else None, provider_id, detail)
        entries += [Entry(at_ms, one, *said) for one in (step if isinstance(step, list) else (step,))]
    return entries
