"""The process that sends webhooks: it answers like the sender in our own, ends with us, and is begun again."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psutil
import pytest
from aiohttp import web

from cascade.core.targets import TargetRefusedError, Targets
from cascade.engine import egress_process
from cascade.engine.egress import Answer
from cascade.engine.egress_process import ENDED, EgressProcess

from .running import PATIENCE_S, eventually, serving

HOST = "127.0.0.1"
LOCAL = Targets.of([HOST], is_http_allowed=True, ports=())
HEADERS = {"webhook-id": "msg_1", "webhook-signature": "v1,x"}


class Client:
    """A client's server. `hold`: it answers when that is set."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.url = ""

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.path, dict(request.headers), await request.read()))
        await self.hold.wait()
        if request.path == "/busy":
            return web.Response(status=503, text="oh", headers={"Retry-After": "7"})
        return web.Response(status=200, text="ok")

    async def came(self, number: int) -> None:
        await eventually(lambda: len(self.requests) >= number)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    client = Client()
    async with serving(client.take) as client.url:
        yield client
        client.hold.set()


@asynccontextmanager
async def opened(targets: Targets = LOCAL, timeout_s: float = 5.0) -> AsyncIterator[EgressProcess]:
    egress = EgressProcess(targets, timeout_s)
    await egress.open()
    try:
        yield egress
    finally:
        await egress.close()


def sent(egress: EgressProcess, url: str, body: bytes = b"{}") -> "asyncio.Future[Answer]":
    answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    egress.send(url, HEADERS, body, answered.set_result)
    return answered


async def answer(egress: EgressProcess, url: str) -> Answer:
    async with asyncio.timeout(PATIENCE_S):
        return await sent(egress, url)


Children = Callable[[], list[psutil.Process]]


@pytest.fixture
def children() -> Children:
    """Those that the test began: a gateway that other tests of this process share may have one, too."""
    others = set(psutil.Process().children())

    def found() -> list[psutil.Process]:
        begun = set(psutil.Process().children()) - others
        return [one for one in begun if "egress_process" in " ".join(one.cmdline())]

    return found


async def test_what_is_sent_arrives_and_what_is_answered_comes_back(client: Client) -> None:
    async with opened() as egress:
        good = await answer(egress, f"{client.url}/hook?a=1")
        busy = await answer(egress, f"{client.url}/busy")
    assert (good.status, good.error, good.body) == (200, None, b"ok")
    assert (busy.status, busy.body, busy.retry_after_s) == (503, b"oh", 7)
    path, headers, body = client.requests[0]
    assert (path, body) == ("/hook", b"{}")
    assert (headers["webhook-id"], headers["webhook-signature"]) == ("msg_1", "v1,x")


async def test_many_at_once_each_get_their_own_answer(client: Client) -> None:
    async with opened() as egress, asyncio.timeout(PATIENCE_S):
        answers = await asyncio.gather(*(sent(egress, f"{client.url}/{n}", b"%d" % n * 10_000) for n in range(100)))
    assert [one.status for one in answers] == [200] * 100
    assert {(path, body) for path, _, body in client.requests} == {(f"/{n}", b"%d" % n * 10_000) for n in range(100)}


FAILURES: dict[str, tuple[str, Targets, str]] = {
    "nobody listens": (f"http://{HOST}:1/", LOCAL, "No connection"),
    "an address of the inside": (
        "http://localhost/",
        Targets.of((), is_http_allowed=True, ports=()),
        "The host's address is not a public one",
    ),
    "no such name": (
        "http://nowhere.invalid/",
        Targets.of((), is_http_allowed=True, ports=()),
        "The host's name does not resolve",
    ),
}


@pytest.mark.parametrize(("url", "targets", "error"), FAILURES.values(), ids=FAILURES.keys())
async def test_what_cannot_be_sent_says_why(url: str, targets: Targets, error: str) -> None:
    async with opened(targets) as egress:
        assert (await answer(egress, url))[:2] == (None, error)


async def test_who_answers_too_late_is_not_waited_for(client: Client) -> None:
    client.hold.clear()
    async with opened(timeout_s=1.5) as egress:
        assert (await answer(egress, client.url)).error == "No answer within 1.5 s"


async def test_a_url_is_checked_before_it_is_taken() -> None:
    strict = Targets.of((), is_http_allowed=True, ports=())
    with pytest.raises(TargetRefusedError, match="not a public one"):
        await EgressProcess(strict, 5.0).check("http://localhost/")


async def test_there_is_no_process_before_the_first_request_and_none_after_the_last(
    client: Client, children: Children
) -> None:
    async with opened() as egress:
        assert children() == []
        await answer(egress, client.url)
        assert len(children()) == 1
    assert children() == []


async def test_it_knows_none_of_our_secrets(
    client: Client, monkeypatch: pytest.MonkeyPatch, children: Children
) -> None:
    monkeypatch.setenv("CASCADE_SECRETS__KEYS", "[]")
    async with opened() as egress:
        await answer(egress, client.url)
        [child] = children()
        assert not [name for name in child.environ() if name.startswith("CASCADE_")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_signals_that_stop_the_gateway_do_not_stop_it_before(
    client: Client, number: signal.Signals, children: Children
) -> None:
    client.hold.clear()
    async with opened() as egress:
        under_way = sent(egress, client.url)
        await client.came(1)
        [child] = children()
        child.send_signal(number)
        client.hold.set()
        assert (await under_way).status == 200
        assert child.is_running()


async def test_one_that_died_is_begun_again_and_what_was_under_way_is_told(
    client: Client, monkeypatch: pytest.MonkeyPatch, children: Children
) -> None:
    monkeypatch.setattr(egress_process, "RESTART_S", 0.01)
    client.hold.clear()
    async with opened() as egress:
        under_way = sent(egress, client.url)
        await client.came(1)
        children()[0].kill()
        assert await under_way == Answer(None, ENDED)
        client.hold.set()
        assert (await answer(egress, client.url)).status == 200


async def test_one_that_is_hung_is_ended(client: Client, monkeypatch: pytest.MonkeyPatch, children: Children) -> None:
    monkeypatch.setattr(egress_process, "RESTART_S", 0.01)
    monkeypatch.setattr(egress_process, "LOOK_S", 0.05)
    async with opened(timeout_s=0.1) as egress:
        await answer(egress, client.url)
        children()[0].send_signal(signal.SIGSTOP)
        with monkeypatch.context() as patience:
            patience.setattr(egress_process, "OVERDUE_S", 0.0)
            assert await answer(egress, client.url) == Answer(None, ENDED)
        assert (await answer(egress, client.url)).status == 200


async def test_one_that_cannot_begin_answers_all_the_same(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress_process, "RESTART_S", 0.01)
    python = sys.executable
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    async with opened() as egress:
        assert await answer(egress, client.url) == Answer(None, ENDED)
        monkeypatch.setattr(sys, "executable", python)
        assert (await answer(egress, client.url)).status == 200


async def test_a_stop_while_it_is_begun_ends_all_the_same(client: Client, children: Children) -> None:
    for turns in range(8):  # of the loop: each time it is met at another step between the process and its connection
        async with asyncio.timeout(PATIENCE_S), opened() as egress:
            sent(egress, client.url)
            while not children():  # noqa: ASYNC110 - every step of the loop counts
                await asyncio.sleep(0)
            for _ in range(turns):
                await asyncio.sleep(0)
        assert children() == []


async def test_it_ends_when_we_are_killed(client: Client) -> None:
    client.hold.clear()
    program = f"""
import asyncio
from cascade.core.targets import Targets
from cascade.engine.egress_process import EgressProcess
async def main():
    egress = EgressProcess(Targets.of(["{HOST}"], is_http_allowed=True, ports=()), 60.0)
    egress.send("{client.url}", {{}}, b"", print)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    await client.came(1)
    [child] = psutil.Process(process.pid).children()
    process.kill()
    await process.wait()
    await eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
