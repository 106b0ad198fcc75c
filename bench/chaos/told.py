"""A client's server that is told of everything by webhook, and has bad days of its own: was each event told, whole, in
order, and no more often than something explains?"""

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any, Protocol

import orjson
from standardwebhooks import Webhook, WebhookVerificationError

from bench.chaos.verdict import Away, was_away
from bench.http_client import HOST, Answer
from bench.http_send import Provider, answer_of
from cascade.serve import now_ms

REFUSED_SHARE, CUT_SHARE, SLOW_SHARE = 0.03, 0.02, 0.02
SLOW_S = 0.5
RETRY_DELAYS_S = [1, 1, 1, 2, 2, 5, 5, 5, 10, 10]
TOLD_S = 90.0
"""How long the last events may take: the lease of one whose node died, and some tries."""
LEEWAY_MS = 1_000
"""A kill this long before an answer may have kept it from being written down."""
TAKEN = answer_of(b"")
REFUSED = TAKEN.replace(b"200 OK", b"503 Service Unavailable")


class Broken(StrEnum):
    """A promise about webhooks that was not kept."""

    UNTOLD = "untold"  # the last word about a message, or that it was read, never came
    OUT_OF_ORDER = "told_out_of_order"  # one came while an earlier one of its message had not been taken
    CHANGED = "told_differently"  # another body under the same id
    FORGED = "told_unsigned"
    REPEATED = "told_again_unexplained"  # it was taken, nothing died, and it came once more


class Door(Protocol):
    async def ask(self, method: str, path: str, body: bytes = b"") -> Answer: ...


@asynccontextmanager
async def listening(gateway: Door, seed: int) -> AsyncIterator["Told"]:
    """All events of the account that `gateway` knows us by are sent here."""
    callers: list[Told] = []
    server = await asyncio.get_running_loop().create_server(lambda: _Caller(callers[0]), HOST, 0)
    try:
        url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}/events"
        answer = await gateway.ask("POST", "/v1/webhooks", orjson.dumps({"url": url, "retryDelaysS": RETRY_DELAYS_S}))
        if answer.status != 201:
            raise RuntimeError(f"the gateway refused its webhook: {answer.body[:300]!r}")
        callers.append(Told(Webhook(orjson.loads(answer.body)["secret"]), seed))
        yield callers[0]
    finally:
        server.close()


class Told:
    """`broken` counts the promises that were not kept, `repeated` the events that came again after they were taken;
    `examples` are a few messages of which too little was told, to look into."""

    MOST_EXAMPLES = 5

    def __init__(self, verifier: Webhook, seed: int) -> None:
        self.broken: Counter[Broken] = Counter()
        self.repeated = 0
        self.examples: list[dict[str, Any]] = []
        self.requests = 0
        self._chance = random.Random(f"told {seed}")
        self._verifier = verifier
        self._bodies: dict[str, bytes] = {}
        self._taken_at_ms: dict[str, int] = {}
        self._again: list[tuple[int, int]] = []
        self._of_message: dict[str, list[str]] = {}
        self._ends: dict[str, str] = {}
        self._read: set[str] = set()

    def take(self, headers: Mapping[str, str], body: bytes) -> bytes | float | None:
        """The answer; or after how many seconds it is taken; None: the connection is cut."""
        self.requests += 1
        luck = self._chance.random()
        id_ = headers["webhook-id"]
        try:
            self._verifier.verify(body, dict(headers))
        except WebhookVerificationError:
            self.broken[Broken.FORGED] += 1
        self._look_at(id_, body)
        if luck < REFUSED_SHARE:
            return REFUSED
        if luck < REFUSED_SHARE + CUT_SHARE:
            return None
        at_ms = now_ms()
        if id_ in self._taken_at_ms:
            self.repeated += 1
            self._again.append((self._taken_at_ms[id_], at_ms))
        self._taken_at_ms[id_] = at_ms
        return SLOW_S if luck > 1 - SLOW_SHARE else TAKEN

    def _look_at(self, id_: str, body: bytes) -> None:
        digest = hashlib.blake2b(body, digest_size=16).digest()
        if self._bodies.setdefault(id_, digest) != digest:
            self.broken[Broken.CHANGED] += 1
        event = orjson.loads(body)
        message_id, type_ = event["data"]["messageId"], event["type"]
        known = self._of_message.setdefault(message_id, [])
        if id_ in known:
            return
        if any(earlier > id_ or earlier not in self._taken_at_ms for earlier in known):
            self.broken[Broken.OUT_OF_ORDER] += 1
        known.append(id_)
        if type_ == "message.read":
            self._read.add(message_id)
        elif type_.removeprefix("message.") == event["data"]["deliverystatus"] != "processing":
            self._ends[message_id] = event["data"]["deliverystatus"]

    async def until_told(self, statuses: Mapping[str, Mapping[str, Any] | None], away: Away) -> None:
        """Wait for the last word about each message, as long as it may take, and count what is broken."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + TOLD_S
        while next(self._untold(statuses), None) is not None and loop.time() < deadline_s:  # noqa: ASYNC110 - looks each second
            await asyncio.sleep(1.0)
        untold = list(self._untold(statuses))
        self.broken[Broken.UNTOLD] += len(untold)
        for id_ in untold[: self.MOST_EXAMPLES]:
            self.examples.append({"told": self._of_message.get(id_, []), "status": statuses[id_]})
        self.broken[Broken.REPEATED] += sum(
            not was_away(away, taken_at_ms - LEEWAY_MS, again_at_ms) for taken_at_ms, again_at_ms in self._again
        )

    def _untold(self, statuses: Mapping[str, Mapping[str, Any] | None]) -> Iterator[str]:
        for id_, status in statuses.items():
            if status is None or status["finishedAt"] is None:
                continue  # that promise is broken already
            if self._ends.get(id_) != status["deliverystatus"] or (status["read"] and id_ not in self._read):
                yield id_

    def figures(self) -> list[dict[str, Any]]:
        return [
            {"figure": "events_told", "value": len(self._taken_at_ms), "unit": "events"},
            {"figure": "event_requests", "value": self.requests, "unit": "requests"},
            {"figure": "events_told_again", "value": self.repeated, "unit": "events"},
            *({"figure": f"broken_{one.value}", "value": self.broken[one], "unit": "events"} for one in Broken),
        ]


class _Caller(Provider):
    def __init__(self, told: Told) -> None:
        self._told = told

    def answer(self, head: bytes, body: bytes) -> bytes:
        lines = head.decode("latin-1").split("\r\n")[1:]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        answer = self._told.take(headers, body)
        if isinstance(answer, bytes):
            return answer
        if answer is None:
            self._transport.abort()
        else:
            asyncio.get_running_loop().call_later(answer, self._answer_late)
        return b""

    def _answer_late(self) -> None:
        if not self._transport.is_closing():  # the caller may have died meanwhile
            self._transport.write(TAKEN)
