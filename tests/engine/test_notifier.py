"""What a client's webhook receives: over real sockets, with answers by script and a clock that only the test moves.

The judges of the signatures are the libraries that clients use: `standardwebhooks` of PyPI and of npm.
"""

import asyncio
import fcntl
import json
import shutil
import subprocess
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
import structlog
from aiohttp import web
from cryptography.fernet import Fernet
from standardwebhooks import WebhookVerificationError

from cascade.core.events import EventType, Happened
from cascade.core.secret import Secret
from cascade.core.signature import secret_of
from cascade.core.targets import TargetRefusedError, Targets
from cascade.engine.egress import Egress, look_up
from cascade.engine.notifier import HELD_MS, QUICK_SHARE, Notifier, NotifierSettings
from cascade.store import accounts, deliveries, events, webhooks
from cascade.store.accounts import Seal
from cascade.store.database import NoCourier
from cascade.store.deliveries import Listed, State
from cascade.store.webhooks import Format, SealedSecret, Webhook

from .running import PATIENCE_S, Clock, Store, eventually, serving

HOST = "127.0.0.1"
NPM = Path(__file__).parents[2] / "build" / "npm-webhooks"
HOUR_S = 3600
DAY_S = 24 * HOUR_S
DELAYS_S = (5, 300, 1_800)
SETTINGS = NotifierSettings(DELAYS_S, timeout_s=5.0, concurrency=4, disable_after_s=3 * DAY_S, keep_s=30 * DAY_S)
LOCAL = Targets.of(["127.0.0.0/8"], is_http_allowed=True, ports=[])
SECRET, NEW_SECRET = secret_of(b"1" * 32), secret_of(b"2" * 32)
ORDER = b"\x01" * 16


@dataclass(frozen=True)
class Request:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Script = Callable[[Request], Awaitable[web.StreamResponse]]


def says(status: int, text: str = "", **headers: str) -> Script:
    async def answer(request: Request) -> web.StreamResponse:
        return web.Response(status=status, text=text, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return answer


class Client:
    """A client's server. Each path answers by its script, in order; then, and without one, 204."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.scripts: dict[str, list[Script]] = defaultdict(list)
        self.url = ""

    async def take(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        came = Request(request.path, headers, await request.read())
        self.requests.append(came)
        scripts = self.scripts[request.path]
        return await (scripts.pop(0) if scripts else says(204))(came)

    def at(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path == path]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    client = Client()
    async with serving(client.take) as client.url:
        yield client


class Outbox:
    """A store with webhooks, and a notifier that works when it is told to."""

    def __init__(self, store: Store, client: Client, *, hands_over: bool) -> None:
        self.store = store
        self.client = client
        self.hands_over = hands_over
        self.clock = Clock()
        self.clock.now_ms = int(datetime.now(UTC).timestamp() * 1000)  # the judges compare timestamps with the time
        self.seal = Seal([Secret(Fernet.generate_key().decode())])
        self.egress = Egress(LOCAL, SETTINGS.timeout_s)
        self.notifier = self.another()

    def another(self, settings: NotifierSettings = SETTINGS, egress: Egress | None = None) -> Notifier:
        """A notifier of the same store: one that starts after this one died."""
        self.notifier = Notifier(self.store, egress or self.egress, self.seal, settings, self.clock, jitter=lambda: 1.0)
        self.store.on_deliveries_ready = self.notifier.wake
        if self.hands_over:
            self.store.courier = self.notifier
        return self.notifier

    def sealed(self, secret: Secret, ends_at_ms: int | None = None) -> SealedSecret:
        return SealedSecret(self.seal.close(secret).decode(), ends_at_ms)

    async def listen(self, path: str = "/hook", **changes: Any) -> Webhook:
        url = self.client.url + path
        plain = Webhook(1, f"wh{path}", url, None, Format.STANDARD, (self.sealed(SECRET),), 1, None, self.clock.now_ms)
        webhook = replace(plain, **changes)
        async with self.store.transaction() as tx:
            await webhooks.add(tx, webhook)
        await self.refresh()
        return webhook

    async def change(self, webhook: Webhook) -> None:
        async with self.store.transaction() as tx:
            await webhooks.change(tx, webhook)
        await self.refresh()

    async def refresh(self) -> None:
        async with self.store.reading() as reader:
            enabled = await webhooks.enabled(reader)
        self.store.listeners = webhooks.listeners(enabled)
        self.notifier.use(enabled)

    async def tell(self, type_: EventType = EventType.DELIVERED, message: bytes | None = ORDER, **data: Any) -> None:
        whole = {"messageId": "m", "trackinId": "t", "deliverystatus": "delivered", "cost": 0.05, **data}
        async with self.store.transaction() as tx:
            await events.add(tx, [Happened(1, message, type_, self.clock.now_ms, whole)])

    async def work(self) -> None:
        """Until there is nothing to do at this hour."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.notifier.work() == 0.0 or self.notifier._under_way or self.notifier._results:
                await self.notifier.settled()

    async def after(self, seconds: float) -> None:
        self.clock.now_ms += round(seconds * 1000)
        await self.work()

    async def deliveries(self, webhook_id: str = "wh/hook") -> list[Listed]:
        """Oldest first."""
        async with self.store.reading() as reader:
            return (await deliveries.page(reader, (1, webhook_id), None, deliveries.AFTER_ALL, 100))[::-1]

    async def webhook(self, webhook_id: str = "wh/hook") -> Webhook:
        async with self.store.reading() as reader:
            found = await webhooks.find(reader, 1, webhook_id)
        assert found is not None
        return found


CLAIMED = pytest.mark.parametrize("outbox", ["claimed"], indirect=True)
HANDED_OVER = pytest.mark.parametrize("outbox", ["handed over"], indirect=True)


@pytest.fixture(params=["claimed", "handed over"])
async def outbox(store: Store, client: Client, request: pytest.FixtureRequest) -> AsyncIterator[Outbox]:
    """Every promise holds for what is claimed, and for what the notifier takes as it is added."""
    async with store.transaction() as tx:
        assert await accounts.add_account(tx, "acme", 0) == 1
    outbox = Outbox(store, client, hands_over=request.param == "handed over")
    await outbox.egress.open()
    yield outbox
    await outbox.notifier.stop(0.1)
    await outbox.egress.close()


# -- What is sent -----------------------------------------------------------------------------------------------------


def judge(request: Request, secret: Secret) -> Any:
    return standardwebhooks.Webhook(secret.reveal()).verify(request.body, request.headers)


async def test_an_event_arrives_signed_and_is_done(outbox: Outbox, client: Client) -> None:
    await outbox.listen()
    await outbox.tell()
    await outbox.work()
    [request] = client.requests
    assert judge(request, SECRET) == {
        "type": "message.delivered",
        "timestamp": request.json["timestamp"],
        "data": {"messageId": "m", "trackinId": "t", "deliverystatus": "delivered", "cost": 0.05},
    }
    assert request.headers["content-type"] == "application/json"
    [delivery] = await outbox.deliveries()
    assert (delivery.state, delivery.http_status, delivery.tries) == (State.DELIVERED, 204, 1)
    await outbox.after(DAY_S)
    assert len(client.requests) == 1


async def test_the_flat_format(outbox: Outbox, client: Client) -> None:
    await outbox.listen(format=Format.FLAT)
    await outbox.tell()
    await outbox.work()
    [request] = client.requests
    assert judge(request, SECRET).keys() == {"messageId", "deliverystatus", "timestamp", "cost"}
    assert request.json["cost"] == 0.05


@pytest.mark.parametrize("secret", [SECRET, NEW_SECRET], ids=["old", "new"])
async def test_while_rotating_either_secret_fits(outbox: Outbox, client: Client, secret: Secret) -> None:
    ends_at_ms = outbox.clock.now_ms + 60_000
    await outbox.listen(secrets=(outbox.sealed(NEW_SECRET), outbox.sealed(SECRET, ends_at_ms)))
    await outbox.tell()
    await outbox.work()
    judge(client.requests[0], secret)


async def test_after_rotating_the_old_secret_fits_no_more(outbox: Outbox, client: Client) -> None:
    await outbox.listen(secrets=(outbox.sealed(NEW_SECRET), outbox.sealed(SECRET, outbox.clock.now_ms)))
    await outbox.tell()
    await outbox.work()
    judge(client.requests[0], NEW_SECRET)
    with pytest.raises(WebhookVerificationError):
        judge(client.requests[0], SECRET)


@pytest.fixture(scope="session")
def npm_judge() -> Path:
    """The folder with npm's standardwebhooks, installed once; other test processes wait at the lock."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed, and this judge runs on them")
    NPM.mkdir(parents=True, exist_ok=True)
    with (NPM / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (NPM / "node_modules" / "standardwebhooks").is_dir():
            command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(NPM), "standardwebhooks@1.1.1"]
            subprocess.run(command, check=True, capture_output=True, timeout=120)
    return NPM


async def test_the_judge_in_javascript(outbox: Outbox, client: Client, npm_judge: Path) -> None:
    ends_at_ms = outbox.clock.now_ms + 60_000
    await outbox.listen(secrets=(outbox.sealed(NEW_SECRET), outbox.sealed(SECRET, ends_at_ms)))
    await outbox.tell(text="Здравей, 世界")
    await outbox.work()
    [request] = client.requests
    asked = [
        {"secret": secret.reveal(), "headers": request.headers, "body": body}
        for secret, body in (
            (SECRET, request.body.decode()),
            (NEW_SECRET, request.body.decode()),
            (secret_of(b"3" * 32), request.body.decode()),
            (SECRET, request.body.decode() + " "),
        )
    ]
    process = await asyncio.create_subprocess_exec(
        "node",
        str(Path(__file__).with_name("verify.mjs")),
        str(npm_judge),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    answers, _ = await process.communicate("\n".join(map(json.dumps, asked)).encode())
    verdicts = answers.decode().splitlines()
    assert verdicts[:2] == ["valid", "valid"]
    assert "valid" not in verdicts[2:]
    assert len(verdicts) == 4


async def test_a_batch_carries_its_events_in_order(outbox: Outbox, client: Client) -> None:
    await outbox.listen(batch_max=3)
    for number in range(4):
        await outbox.tell(trackinId=number)
    await outbox.work()
    batch, rest = (judge(request, SECRET) for request in client.requests)
    assert [event["data"]["trackinId"] for event in batch["data"]] == [0, 1, 2]
    assert [event["data"]["trackinId"] for event in rest["data"]] == [3]
    assert batch["type"] == "batch"
    ids = [one.event_id for one in await outbox.deliveries()]
    assert [event["id"] for event in batch["data"] + rest["data"]] == ids


# -- Again ------------------------------------------------------------------------------------------------------------


async def never(request: Request) -> web.StreamResponse:
    await asyncio.sleep(PATIENCE_S)
    return web.Response()


FAILURES: dict[str, tuple[Script, int | None, str | None]] = {
    "500": (says(500, "oh"), 500, None),
    "404": (says(404), 404, None),
    "401": (says(401), 401, None),
    "a redirect, which is not followed": (says(302, Location="/other"), 302, None),
    "too slow": (never, None, "No answer within 0.2 s"),
}


@pytest.mark.parametrize(("script", "status", "error"), FAILURES.values(), ids=FAILURES.keys())
async def test_a_failed_try_is_repeated_with_the_same_id_and_bytes(
    outbox: Outbox, client: Client, script: Script, status: int | None, error: str | None
) -> None:
    egress = Egress(LOCAL, timeout_s=0.2)
    await egress.open()
    outbox.another(egress=egress)
    await outbox.listen()
    client.scripts["/hook"] = [script]
    await outbox.tell()
    await outbox.work()
    [failed] = await outbox.deliveries()
    assert (failed.state, failed.http_status, failed.error) == (State.PENDING, status, error)
    await outbox.after(4.9)
    assert len(client.requests) == 1
    await outbox.after(0.2)
    first, second = client.requests
    assert (first.id, first.body) == (second.id, second.body)
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) in (5, 6)
    judge(second, SECRET)
    assert [one.state for one in await outbox.deliveries()] == [State.DELIVERED]
    await egress.close()


async def test_the_schedule_to_its_end(outbox: Outbox, client: Client) -> None:
    await outbox.listen()
    client.scripts["/hook"] = [says(500)] * 9
    await outbox.tell()
    await outbox.work()
    for tries, delay_s in enumerate(DELAYS_S, 1):
        assert len(client.requests) == tries
        await outbox.after(delay_s - 0.1)
        assert len(client.requests) == tries, "not before its time"
        await outbox.after(0.1)
    assert len({request.id for request in client.requests}) == 1
    [given_up] = await outbox.deliveries()
    assert (given_up.state, given_up.tries) == (State.FAILED, 4)
    await outbox.after(DAY_S)
    assert len(client.requests) == 4


async def test_a_webhook_may_have_its_own_schedule(outbox: Outbox, client: Client) -> None:
    await outbox.listen(retry_delays_s=(1,))
    client.scripts["/hook"] = [says(500)] * 9
    await outbox.tell()
    await outbox.work()
    await outbox.after(1)
    assert [one.state for one in await outbox.deliveries()] == [State.FAILED]
    assert len(client.requests) == 2


ASKED = {
    "longer than the schedule: obeyed": ("60", 60),
    "shorter than the schedule: the schedule": ("1", 5),
    "longer than a day: a day": ("999999", DAY_S),
    "nonsense: the schedule": ("soon", 5),
    "a year beyond all years: the schedule": (f"Wed, 21 Oct {'9' * 20} 07:28:00 GMT", 5),
    "an offset beyond all offsets: the schedule": (f"Wed, 21 Oct 2099 07:28:00 +{'9' * 20}", 5),
}


@pytest.mark.parametrize(("value", "wait_s"), ASKED.values(), ids=ASKED.keys())
async def test_retry_after(outbox: Outbox, client: Client, value: str, wait_s: int) -> None:
    await outbox.listen()
    client.scripts["/hook"] = [says(429, Retry_After=value)]
    await outbox.tell()
    await outbox.work()
    await outbox.after(wait_s - 0.1)
    assert len(client.requests) == 1
    await outbox.after(0.1)
    assert len(client.requests) == 2


async def test_a_batch_is_repeated_as_it_was(outbox: Outbox, client: Client) -> None:
    await outbox.listen(batch_max=3)
    client.scripts["/hook"] = [says(500)]
    await outbox.tell(trackinId=1)
    await outbox.work()
    await outbox.tell(trackinId=2)
    await outbox.work()
    await outbox.after(5)
    first, again, later = client.requests
    assert (first.id, first.body) == (again.id, again.body)
    assert [event["data"]["trackinId"] for event in later.json["data"]] == [2]


async def test_a_death_between_send_and_record_repeats_under_the_same_id(outbox: Outbox, client: Client) -> None:
    await outbox.listen()
    await outbox.tell()
    if not outbox.hands_over:  # else it is on its way, and this would write down what came of it
        await outbox.notifier.work()
    await outbox.notifier.settled()
    assert len(client.requests) == 1, "it was sent, and nothing was written"
    outbox.another()
    await outbox.refresh()
    await outbox.work()
    assert len(client.requests) == 1, "the dead one's lease still runs"
    await outbox.after(SETTINGS.timeout_s + 15)
    first, second = client.requests
    assert (first.id, first.body) == (second.id, second.body)
    assert [one.state for one in await outbox.deliveries()] == [State.DELIVERED]


async def test_one_is_delivered_again_on_request(outbox: Outbox, client: Client) -> None:
    webhook = await outbox.listen()
    await outbox.tell()
    await outbox.work()
    [one] = await outbox.deliveries()
    async with outbox.store.transaction() as tx:
        await deliveries.redeliver(tx, webhook.key, one.event_id, outbox.clock.now_ms)
    await outbox.work()
    first, second = client.requests
    assert (first.id, first.body) == (second.id, second.body)


# -- Order and company ------------------------------------------------------------------------------------------------

LIFE = (EventType.PROCESSING, EventType.FALLBACK, EventType.DELIVERED, EventType.READ)


async def test_events_of_one_message_arrive_in_order_over_failures(outbox: Outbox, client: Client) -> None:
    await outbox.listen()
    client.scripts["/hook"] = [says(204), says(500), says(500), says(204)]
    for type_ in LIFE:
        await outbox.tell(type_)
    await outbox.work()
    await outbox.after(5)
    await outbox.after(300)
    types = [request.json["type"] for request in client.requests]
    fallback = EventType.FALLBACK.value
    assert types == ["message.processing", fallback, fallback, fallback, "message.delivered", "message.read"]


async def test_one_given_up_lets_the_next_go(outbox: Outbox, client: Client) -> None:
    await outbox.listen(retry_delays_s=())
    client.scripts["/hook"] = [says(500)]
    await outbox.tell(EventType.PROCESSING)
    await outbox.tell(EventType.DELIVERED)
    await outbox.work()
    assert [one.state for one in await outbox.deliveries()] == [State.FAILED, State.DELIVERED]


async def test_another_message_does_not_wait(outbox: Outbox, client: Client) -> None:
    await outbox.listen()
    client.scripts["/hook"] = [says(500)]
    await outbox.tell(message=ORDER)
    await outbox.work()
    await outbox.tell(message=b"\x02" * 16, trackinId="other")
    await outbox.work()
    assert client.requests[-1].json["data"]["trackinId"] == "other"


async def test_a_slow_webhook_delays_no_other_and_has_a_bound(outbox: Outbox, client: Client) -> None:
    slow, fast = asyncio.Event(), asyncio.Event()
    under_way = 0
    most = 0

    async def slowly(request: Request) -> web.StreamResponse:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await slow.wait()
        under_way -= 1
        return web.Response()

    async def quickly(request: Request) -> web.StreamResponse:
        if len(client.at("/fast")) == 20:
            fast.set()
        return web.Response()

    client.scripts["/slow"] = [slowly] * 20
    client.scripts["/fast"] = [quickly] * 20
    await outbox.listen("/slow")
    await outbox.listen("/fast")
    for number in range(20):
        await outbox.tell(message=bytes([number]) * 16)
    running = asyncio.create_task(outbox.notifier.run())
    async with asyncio.timeout(PATIENCE_S):
        await fast.wait()
    assert len(client.at("/slow")) == SETTINGS.concurrency
    slow.set()
    async with asyncio.timeout(PATIENCE_S):
        while len(client.at("/slow")) < 20:  # noqa: ASYNC110 - whichever comes last
            await asyncio.sleep(0.002)
    assert most == SETTINGS.concurrency
    await outbox.notifier.stop(PATIENCE_S)
    await running
    assert {one.state for one in await outbox.deliveries("wh/slow")} == {State.DELIVERED}


async def test_a_stop_writes_down_what_came(outbox: Outbox, client: Client) -> None:
    came, may_answer = asyncio.Event(), asyncio.Event()

    async def late(request: Request) -> web.StreamResponse:
        came.set()
        await may_answer.wait()
        return web.Response()

    client.scripts["/hook"] = [late]
    await outbox.listen()
    await outbox.tell()
    running = asyncio.create_task(outbox.notifier.run())
    async with asyncio.timeout(PATIENCE_S):
        await came.wait()
    stopping = asyncio.create_task(outbox.notifier.stop(PATIENCE_S))
    may_answer.set()
    await asyncio.gather(stopping, running)
    assert [one.state for one in await outbox.deliveries()] == [State.DELIVERED]


async def test_a_store_that_is_away_loses_nothing(
    outbox: Outbox, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cascade.engine.notifier.STORE_RETRY_S", 0.01)
    came = asyncio.Event()

    async def then_away(request: Request) -> web.StreamResponse:
        outbox.store.is_away = True
        came.set()
        return web.Response()

    client.scripts["/hook"] = [then_away]
    await outbox.listen()
    await outbox.tell()
    running = asyncio.create_task(outbox.notifier.run())
    async with asyncio.timeout(PATIENCE_S):
        await came.wait()
        while not outbox.store.refused:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        outbox.store.is_away = False
        while (await outbox.deliveries())[0].state is not State.DELIVERED:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    assert len(client.requests) == 1
    await outbox.notifier.stop(PATIENCE_S)
    await running


# -- What is handed over ----------------------------------------------------------------------------------------------


def numbered(number: int) -> bytes:
    return bytes([number]) * 16


@HANDED_OVER
async def test_what_is_handed_over_needs_no_claim(outbox: Outbox, client: Client) -> None:
    await outbox.listen()
    await outbox.tell()
    [one] = await outbox.deliveries()
    assert (one.state, one.tries, one.due_at_ms) == (State.PENDING, 1, outbox.clock.now_ms + 20_000)
    await outbox.notifier.settled()
    assert len(client.requests) == 1
    await outbox.work()
    [one] = await outbox.deliveries()
    assert (one.state, one.tries) == (State.DELIVERED, 1)


@HANDED_OVER
async def test_only_as_many_are_handed_over_as_there_is_room_for(outbox: Outbox, client: Client) -> None:
    may_answer = asyncio.Event()

    async def late(request: Request) -> web.StreamResponse:
        await may_answer.wait()
        return web.Response()

    client.scripts["/hook"] = [late] * 9
    await outbox.listen()
    async with outbox.store.transaction() as tx:
        await events.add(tx, [Happened(1, numbered(n), EventType.READ, outbox.clock.now_ms, {}) for n in range(3)])
        await events.add(tx, [Happened(1, numbered(n), EventType.READ, outbox.clock.now_ms, {}) for n in range(3, 9)])
    await eventually(lambda: len(client.requests) == SETTINGS.concurrency)
    assert [one.tries for one in await outbox.deliveries()] == [1] * 4 + [0] * 5
    may_answer.set()
    await outbox.work()
    assert {(one.state, one.tries) for one in await outbox.deliveries()} == {(State.DELIVERED, 1)}
    assert len({request.id for request in client.requests}) == len(client.requests) == 9


async def test_a_quick_webhook_is_taken_more_for_than_may_be_unanswered(outbox: Outbox, client: Client) -> None:
    unanswered = most = 0

    async def answer(request: Request) -> web.StreamResponse:
        nonlocal unanswered, most
        unanswered += 1
        most = max(most, unanswered)
        await asyncio.sleep(0)
        unanswered -= 1
        return web.Response()

    number = SETTINGS.concurrency * QUICK_SHARE
    client.scripts["/hook"] = [answer] * (number + 3)
    await outbox.listen()
    await outbox.tell(message=None)
    await outbox.work()
    assert len(client.requests) == 1, "and it succeeded within a second"
    async with outbox.store.transaction() as tx:
        await events.add(tx, [Happened(1, numbered(n), EventType.READ, 0, {"n": n}) for n in range(number + 2)])
    if not outbox.hands_over:
        await outbox.notifier.work()
    assert [one.tries for one in await outbox.deliveries()] == [1] * (1 + number) + [0] * 2
    await outbox.work()
    assert {(one.state, one.tries) for one in await outbox.deliveries()} == {(State.DELIVERED, 1)}
    assert sorted(request.json["data"]["n"] for request in client.requests[1:]) == list(range(number + 2))
    assert most <= SETTINGS.concurrency


async def hold_two(outbox: Outbox, client: Client, answer: Script) -> None:
    """After one that succeeded, as many as may be unanswered are answered so, and two more are held."""
    await outbox.listen()
    await outbox.tell(message=None)
    await outbox.work()
    client.scripts["/hook"] = [answer] * SETTINGS.concurrency
    told = range(SETTINGS.concurrency + 2)
    async with outbox.store.transaction() as tx:
        await events.add(tx, [Happened(1, numbered(n), EventType.READ, outbox.clock.now_ms, {}) for n in told])
    if not outbox.hands_over:
        await outbox.notifier.work()
    await eventually(lambda: len(client.requests) == 1 + SETTINGS.concurrency)


async def test_what_is_held_too_long_is_given_back_and_was_no_try(outbox: Outbox, client: Client) -> None:
    may_answer = asyncio.Event()

    async def late(request: Request) -> web.StreamResponse:
        await may_answer.wait()
        return web.Response()

    await hold_two(outbox, client, late)
    outbox.clock.now_ms += HELD_MS + 1
    may_answer.set()
    await outbox.work()
    assert {(one.state, one.tries) for one in await outbox.deliveries()} == {(State.DELIVERED, 1)}
    assert len({request.id for request in client.requests}) == len(client.requests) == 3 + SETTINGS.concurrency


async def test_one_failure_and_a_webhook_is_quick_no_more(outbox: Outbox, client: Client) -> None:
    webhook = await outbox.listen()
    await outbox.tell(message=None)
    await outbox.work()
    assert outbox.notifier._room(webhook.key) == SETTINGS.concurrency * QUICK_SHARE
    client.scripts["/hook"] = [says(500)]
    await outbox.tell(message=None)
    await outbox.work()
    assert outbox.notifier._room(webhook.key) == SETTINGS.concurrency


@HANDED_OVER
async def test_while_something_waits_half_of_the_room_is_kept_for_it(outbox: Outbox, client: Client) -> None:
    may_answer = asyncio.Event()

    async def late(request: Request) -> web.StreamResponse:
        await may_answer.wait()
        return web.Response()

    client.scripts["/hook"] = [late] * 12
    await outbox.listen()
    outbox.store.courier = NoCourier()
    for number in range(6):
        await outbox.tell(message=numbered(number), trackinId=number)
    outbox.store.courier = outbox.notifier
    for number in range(6, 12):
        await outbox.tell(message=numbered(number), trackinId=number)
    half = SETTINGS.concurrency // 2
    assert [one.tries for one in await outbox.deliveries()] == [0] * 6 + [1] * half + [0] * (6 - half)
    await outbox.notifier.work()
    assert [one.tries for one in await outbox.deliveries()] == [1] * half + [0] * (6 - half) + [1] * half + [0] * (
        6 - half
    )
    may_answer.set()
    await outbox.work()
    assert sorted(request.json["data"]["trackinId"] for request in client.requests) == list(range(12))


@HANDED_OVER
async def test_what_is_taken_back_is_not_sent_and_leaves_its_room(outbox: Outbox, client: Client) -> None:
    await outbox.listen()

    async def fail() -> None:
        async with outbox.store.transaction() as tx:
            await events.add(tx, [Happened(1, numbered(n), EventType.READ, outbox.clock.now_ms, {}) for n in range(9)])
            raise ZeroDivisionError

    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await fail()
    await outbox.work()
    assert (client.requests, await outbox.deliveries()) == ([], [])
    assert outbox.notifier._room((1, "wh/hook")) == SETTINGS.concurrency


@HANDED_OVER
async def test_a_webhook_disabled_since_the_last_look_is_handed_nothing(outbox: Outbox, client: Client) -> None:
    webhook = await outbox.listen()
    async with outbox.store.transaction() as tx:
        await webhooks.disable(tx, *webhook.key, "by another process", outbox.clock.now_ms)
    await outbox.tell()
    await outbox.work()
    assert (client.requests, await outbox.deliveries()) == ([], [])
    assert outbox.notifier._room(webhook.key) == SETTINGS.concurrency


@HANDED_OVER
async def test_a_death_before_the_send_delays_it_by_the_lease(outbox: Outbox, client: Client) -> None:
    await outbox.listen()
    dead = outbox.notifier
    outbox.another()
    outbox.store.courier = dead
    dead.take = lambda claimed: None  # type: ignore[method-assign] # it dies after the commit
    await outbox.tell()
    await outbox.refresh()
    await outbox.work()
    assert client.requests == [], "the dead one's lease still runs"
    await outbox.after(SETTINGS.timeout_s + 15)
    [request] = client.requests
    [one] = await outbox.deliveries()
    assert (one.event_id, one.state, one.tries) == (request.id, State.DELIVERED, 2)


async def test_what_is_held_when_the_grace_ends_is_given_back_and_was_no_try(outbox: Outbox, client: Client) -> None:
    never = asyncio.Event()

    async def silent(request: Request) -> web.StreamResponse:
        await never.wait()
        return web.Response()

    await hold_two(outbox, client, silent)
    await outbox.notifier.stop(0.1)
    never.set()
    left = [one for one in await outbox.deliveries() if one.state is State.PENDING]
    assert Counter(one.tries for one in left) == {1: SETTINGS.concurrency, 0: 2}
    assert {one.due_at_ms for one in left if one.tries == 0} == {outbox.clock.now_ms}


@HANDED_OVER
async def test_a_notifier_that_stops_is_handed_nothing_more(outbox: Outbox, client: Client) -> None:
    await outbox.listen()
    await outbox.notifier.stop(0.1)
    await outbox.tell()
    [one] = await outbox.deliveries()
    assert (one.state, one.tries, one.due_at_ms) == (State.PENDING, 0, outbox.clock.now_ms)
    outbox.another()
    await outbox.refresh()
    await outbox.work()
    assert len(client.requests) == 1


@CLAIMED
async def test_a_notifier_that_stops_while_it_waits_for_the_store_claims_nothing(
    outbox: Outbox, client: Client
) -> None:
    """It would be sent when the lease is over, by whoever starts next."""
    await outbox.listen()
    await outbox.tell()
    outbox.store.may_write.clear()
    working = asyncio.create_task(outbox.notifier.work())
    await eventually(lambda: outbox.store.held == 1)
    await outbox.notifier.stop(1.0)
    outbox.store.may_write.set()
    await working
    [delivery] = await outbox.deliveries()
    assert (delivery.tries, delivery.due_at_ms <= outbox.clock.now_ms) == (0, True)


# -- Disabling --------------------------------------------------------------------------------------------------------


async def test_gone_disables_at_once(outbox: Outbox, client: Client) -> None:
    await outbox.listen()
    client.scripts["/hook"] = [says(410)]
    await outbox.tell()
    with structlog.testing.capture_logs() as logs:
        await outbox.work()
    webhook = await outbox.webhook()
    assert (webhook.is_enabled, webhook.disabled_reason) == (False, "it answered 410 Gone")
    assert [one.state for one in await outbox.deliveries()] == [State.FAILED]
    assert [entry["event"] for entry in logs] == ["webhook_disabled"]
    await outbox.refresh()
    await outbox.tell()
    assert len(await outbox.deliveries()) == 1, "nothing is written for it any more"


async def test_three_days_of_failure_disable(outbox: Outbox, client: Client) -> None:
    await outbox.listen(retry_delays_s=(DAY_S, DAY_S, DAY_S - 1, 1, 1))
    client.scripts["/hook"] = [says(500)] * 9
    await outbox.tell()
    await outbox.work()
    for delay_s in (DAY_S, DAY_S, DAY_S - 1):
        await outbox.after(delay_s)
        assert (await outbox.webhook()).is_enabled
    await outbox.after(1)
    webhook = await outbox.webhook()
    assert (webhook.is_enabled, webhook.disabled_reason) == (False, "every try failed for too long")


async def test_one_success_begins_the_count_anew(outbox: Outbox, client: Client) -> None:
    await outbox.listen(retry_delays_s=(2 * DAY_S, 2 * DAY_S))
    client.scripts["/hook"] = [says(500), says(204), says(500), says(500)]
    await outbox.tell()
    await outbox.work()
    await outbox.after(2 * DAY_S)
    assert (await outbox.webhook()).failing_since_ms is None
    await outbox.tell(message=b"\x02" * 16)
    await outbox.work()
    await outbox.after(2 * DAY_S)
    assert (await outbox.webhook()).is_enabled


@CLAIMED
async def test_enabled_again_it_goes_on_with_what_is_pending(outbox: Outbox, client: Client) -> None:
    webhook = await outbox.listen()
    await outbox.tell()
    await outbox.change(replace(webhook, is_enabled=False))
    await outbox.work()
    assert client.requests == []
    await outbox.change(webhook)
    await outbox.work()
    assert len(client.requests) == 1


# -- Where it may not go ----------------------------------------------------------------------------------------------


async def refused(outbox: Outbox, egress: Egress, url: str) -> str | None:
    await egress.open()
    try:
        return (await egress.post(url, {}, b"{}")).error
    finally:
        await egress.close()


async def test_an_address_of_the_inside_is_refused_at_every_send(outbox: Outbox, client: Client) -> None:
    strict = Targets((), frozenset(), is_http_allowed=True, ports=frozenset())
    assert await refused(outbox, Egress(strict, 5.0), client.url) == "The host's address is not a public one"
    url = client.url.replace(HOST, "localhost")
    assert await refused(outbox, Egress(strict, 5.0), url) == "The host's address is not a public one"
    assert client.requests == []


async def test_a_name_that_changes_its_mind_is_refused_when_it_does(outbox: Outbox, client: Client) -> None:
    answers = [["93.184.215.14"], [HOST]]

    async def rebinding(host: str, port: int) -> list[str]:
        return answers.pop(0)

    strict = Targets((), frozenset(), is_http_allowed=True, ports=frozenset())
    egress = Egress(strict, 5.0, rebinding)
    url = client.url.replace(HOST, "rebind.example")
    await egress.check(url)
    assert await refused(outbox, egress, url) == "The host's address is not a public one"
    assert client.requests == []


async def test_the_checked_address_is_the_one_that_is_called(outbox: Outbox, client: Client) -> None:
    asked = []

    async def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        return [HOST]

    url = client.url.replace(HOST, "shop.example")
    assert await refused(outbox, Egress(LOCAL, 5.0, lookup), f"{url}/hook?a=%2Fb") is None
    assert asked == ["shop.example"], "one look-up, and no second one that could differ"
    [request] = client.requests
    assert request.headers["host"] == url.removeprefix("http://")


async def test_registering_a_name_that_does_not_resolve_is_refused(outbox: Outbox) -> None:
    async def nowhere(host: str, port: int) -> list[str]:
        raise OSError

    with pytest.raises(TargetRefusedError, match="does not resolve"):
        await Egress(LOCAL, 5.0, nowhere).check("http://nowhere.example/")


async def test_the_systems_resolver_reads_numbers_as_what_they_mean() -> None:
    assert await look_up("2130706433", 80) == [HOST]


async def test_of_a_long_answer_only_the_beginning_is_read(outbox: Outbox, client: Client) -> None:
    client.scripts["/hook"] = [says(500, "x\x00y" * 1_000_000)]
    await outbox.listen()
    await outbox.tell()
    await outbox.work()
    [one] = await outbox.deliveries()
    assert one.answer is not None
    assert len(one.answer) == 500
    assert one.answer.startswith("x y")


async def test_a_secret_that_no_key_opens_is_no_reason_to_stop(outbox: Outbox, client: Client) -> None:
    await outbox.listen(secrets=(SealedSecret("broken", None),))
    await outbox.listen("/other")
    await outbox.tell()
    await outbox.work()
    assert len(client.at("/other")) == 1
    [one] = await outbox.deliveries()
    assert (one.state, one.http_status) == (State.PENDING, None)


@CLAIMED
async def test_a_webhook_that_is_disabled_while_it_is_claimed_for_ends_no_loop(outbox: Outbox, client: Client) -> None:
    await outbox.listen()
    await outbox.work()
    await outbox.tell()
    outbox.store.may_write.clear()
    working = asyncio.create_task(outbox.notifier.work())
    await eventually(lambda: outbox.store.held == 1)
    outbox.notifier.use([])
    outbox.store.may_write.set()
    await working
    await outbox.work()
    assert client.requests == []
    assert [one.state for one in await outbox.deliveries()] == [State.PENDING], "it goes on when it is enabled again"


@CLAIMED
async def test_what_falls_due_while_the_store_is_asked_is_not_forgotten(
    outbox: Outbox, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing_yet(*_: object) -> None:
        outbox.notifier.wake([webhook.key])

    webhook = await outbox.listen()
    await outbox.work()
    await outbox.tell()
    with monkeypatch.context() as late:
        late.setattr(deliveries, "next_due_at_ms", nothing_yet)
        await outbox.notifier.work()
        await outbox.notifier.settled()
    assert outbox.notifier._due == {webhook.key: outbox.clock.now_ms}


@CLAIMED
async def test_a_clock_set_back_does_not_end_the_polls(outbox: Outbox, client: Client) -> None:
    await outbox.listen()
    await outbox.work()
    outbox.clock.now_ms -= HOUR_S * 1000
    outbox.store.on_deliveries_ready = lambda keys: None  # as if another node had added it
    await outbox.tell()
    await outbox.work()
    assert len(client.requests) == 1


async def test_old_events_are_forgotten(outbox: Outbox, client: Client) -> None:
    await outbox.listen()
    await outbox.tell()
    await outbox.work()
    await outbox.after(29 * DAY_S)
    assert len(await outbox.deliveries()) == 1
    await outbox.after(2 * DAY_S)
    assert await outbox.deliveries() == []


async def test_nothing_secret_is_logged(outbox: Outbox, client: Client) -> None:
    await outbox.listen(url=f"{client.url}/hook?token=very-secret")
    client.scripts["/hook"] = [says(500), says(410)]
    with structlog.testing.capture_logs() as logs:
        await outbox.tell(toPhone="+380501112233")
        await outbox.work()
        await outbox.after(5)
    text = json.dumps(logs, default=str)
    assert "webhook_disabled" in text
    for hidden in ("very-secret", "+380501112233", SECRET.reveal()):
        assert hidden not in text
