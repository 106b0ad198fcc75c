"""Other people's SIP: sipp's scenarios as the trunk and as the caller, and aiosipua's phone."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiosipua
import pytest

from cascade.channels.flashcall.sip.settings import Carrier, SipSettings
from cascade.channels.flashcall.sip.transport import SipTransport
from cascade.core.attempt import Delivered, Outcome, Rejected, Retry
from cascade.core.secret import Secret
from cascade.core.words import Reason
from cascade.sandbox.people import People
from cascade.sandbox.sip_trunk import SipTrunk
from programs import program

from .attempts import PATIENCE_S, PHONE, Engine, attempt

SCENARIOS = Path(__file__).parent / "scenarios"
CARRIERS = {"udp": "u1", "tcp": "t1"}


@pytest.fixture(scope="session")
def sipp() -> str:
    """Where SIPp lies: the judge of SIP on either end."""
    return program("sipp")


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port


@asynccontextmanager
async def judged(sipp: str, scenario: str, folder: Path, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run until its one call has gone through; what it did not like fails the test."""
    process = await asyncio.create_subprocess_exec(
        *(sipp, "-sf", str(SCENARIOS / f"{scenario}.xml"), "-i", "127.0.0.1", "-m", "1", "-nostdin"),
        *("-timeout", "20s", "-timeout_error", "-trace_err", "-error_file", str(folder / "errors.log"), *options),
        cwd=folder,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
        async with asyncio.timeout(PATIENCE_S):
            _, said = await process.communicate()
        errors = folder / "errors.log"
        assert process.returncode == 0, said.decode() + (errors.read_text() if errors.exists() else "")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def listens(port: int, carrier: str) -> None:
    """Until sipp has its port."""
    kind = socket.SOCK_DGRAM if carrier == "udp" else socket.SOCK_STREAM
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with socket.socket(socket.AF_INET, kind) as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    return
            await asyncio.sleep(0.02)


TRUNKS: dict[str, tuple[str, Outcome]] = {
    "rings": ("rings", Delivered()),
    "answers while the CANCEL is under way": ("answers", Rejected(Reason.ANSWERED, "answered while it rang")),
    "wants credentials, then is busy": ("challenges", Retry(Reason.BUSY, 20.0, "486 Busy Here")),
}


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize(("scenario", "outcome"), TRUNKS.values(), ids=TRUNKS)
async def test_sipp_is_content_with_our_calls(
    scenario: str, outcome: Outcome, carrier: str, sipp: str, tmp_path: Path
) -> None:
    port = free_port()
    settings = SipSettings(
        "127.0.0.1", port, Carrier(carrier), username="gw", password=Secret("secret"), ring_s=0.2, reconnect_min_s=0.05
    )
    async with judged(sipp, scenario, tmp_path, "-p", str(port), "-t", CARRIERS[carrier]):
        await listens(port, carrier)
        async with Engine(SipTransport(settings)) as engine:
            came = await engine.call(attempt())
            if isinstance(came, Delivered):
                came = Delivered()
            assert came == outcome
            await asyncio.sleep(0.1)  # the last words reach sipp before the socket closes


@pytest.mark.parametrize("carrier", CARRIERS)
async def test_sipp_is_content_with_the_sandbox_trunk(carrier: str, sipp: str, tmp_path: Path) -> None:
    people = People()
    trunk = SipTrunk(people, "127.0.0.1")
    await trunk.start()
    try:
        where = f"127.0.0.1:{trunk.port}"
        async with judged(
            sipp, "gives_up", tmp_path, where, "-t", CARRIERS[carrier], "-s", PHONE, "-p", str(free_port())
        ):
            pass
        assert [call.text for call in people.look(PHONE).inbox] == ["Missed call from +380441234567"]
    finally:
        await trunk.stop()


async def test_another_hand_rings_and_is_cancelled() -> None:
    transport = aiosipua.TcpSipTransport(("127.0.0.1", free_port()))  # its UDP does not open on Python 3.11
    phone = aiosipua.SipUAS(transport)
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    phone.on_invite = lambda call: call.ringing()
    phone.on_cancel = lambda request, addr: ended.set_result(request.get_header("from") or "")
    await phone.start()
    try:
        settings = SipSettings("127.0.0.1", transport.local_addr[1], Carrier.TCP, ring_s=0.2)
        async with Engine(SipTransport(settings)) as engine:
            assert isinstance(await engine.call(attempt()), Delivered)
            assert "+380441234567" in await ended
    finally:
        await phone.stop()
