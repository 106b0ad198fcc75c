"""The transport against two SMSCs by other hands: smpp34 (Rust, from PyPI) and smpp (JavaScript, from npm)."""

import asyncio
import fcntl
import json
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import smpp34

from cascade.channels.smpp.settings import LongMessages
from cascade.core import gsm
from cascade.core.attempt import Accepted, Rejected, Retry
from cascade.core.receipt import ReceiptState
from cascade.core.words import Reason

from .attempts import attempt
from .gateway import gateway, listening
from .smsc import PATIENCE_S

ROOT = Path(__file__).parents[3]
NPM = ROOT / "build" / "npm-smpp"

TEXTS = {
    "GSM with extension": "Pay 5€ [now] @ shop, déjà vu",
    "Cyrillic": "Ваш код 1234",
    "emoji": "😀 ok",
    "long GSM": "0123456789€" * 40,
    "long UCS-2": "довгий 😀 " * 40,
}


# -- smpp34 -----------------------------------------------------------------------------------------------------------


class Smpp34Smsc:
    """Accepts what is for a number ending in 3, refuses 4, throttles 5; a receipt follows each acceptance."""

    def __init__(self, server: smpp34.Server, port: int) -> None:
        self._server = server
        self.port = port
        self.submits: list[smpp34.SubmitSmEvent] = []
        self.acknowledged: asyncio.Queue[int] = asyncio.Queue()

    async def serve(self) -> None:
        esmes: dict[str, smpp34.Esme] = {}
        receipts: set[asyncio.Task[None]] = set()
        while True:
            event = await self._server.next()
            match event:
                case smpp34.Esme():
                    esmes[event.session_id] = event
                case smpp34.SubmitSmEvent() if event.destination_addr.endswith("4"):
                    event.reject(0x0B)
                case smpp34.SubmitSmEvent() if event.destination_addr.endswith("5"):
                    event.reject(0x58)
                case smpp34.SubmitSmEvent():
                    self.submits.append(event)
                    message_id = f"{len(self.submits):08X}"
                    event.accept(message_id)
                    task = asyncio.create_task(self._report(esmes[event.session_id], event, message_id))
                    receipts.add(task)
                    task.add_done_callback(receipts.discard)

    async def _report(self, esme: smpp34.Esme, submit: smpp34.SubmitSmEvent, message_id: str) -> None:
        answer = await esme.deliver_sm(
            submit.source_addr,
            f"id:{message_id} sub:001 dlvrd:001 submit date:2611230400 done date:2611230400 stat:DELIVRD "
            "err:000 text:Hi".encode(),
            source_addr=submit.destination_addr,
            esm_class=4,
        )
        self.acknowledged.put_nowait(answer.command_status)


@asynccontextmanager
async def smpp34_smsc() -> AsyncIterator[Smpp34Smsc]:
    with socket.socket() as probe:  # its server does not say which port it took, so it is given a free one
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = smpp34.Server("127.0.0.1", port, system_id="smsc")
    await server.start()
    smsc = Smpp34Smsc(server, port)
    serving = asyncio.create_task(smsc.serve())
    try:
        yield smsc
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await server.stop()


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_smpp34_takes_our_texts_and_we_its_receipts(text: str) -> None:
    async with smpp34_smsc() as smsc, gateway(smsc.port, response_timeout_s=PATIENCE_S) as ours:
        await ours.room()
        ours.send(attempt(text))
        outcome = await ours.outcome()
        assert isinstance(outcome, Accepted)
        assert len(outcome.provider_ids) == gsm.segments(text).parts
        receipts = await ours.received(len(smsc.submits))
        assert {receipt.provider_id for receipt in receipts} == set(outcome.provider_ids)
        async with asyncio.timeout(PATIENCE_S):
            assert [await smsc.acknowledged.get() for _ in receipts] == [0] * len(receipts)
        parts = [submit.short_message for submit in smsc.submits]
        if len(parts) > 1:  # its events are not in the order of the wire, so they are put in that of their headers
            parts = [part[6:] for part in sorted(parts, key=lambda part: part[5])]
        is_ucs2 = smsc.submits[0].data_coding == 8
        assert "".join(part.decode("utf-16-be") if is_ucs2 else gsm.decode(part) for part in parts) == text


async def test_smpp34_refuses_and_throttles() -> None:
    async with smpp34_smsc() as smsc, gateway(smsc.port) as ours:
        await ours.room()
        ours.send(attempt(phone="+380501112234", number=1), attempt(phone="+380501112235", number=2))
        refused, throttled = await ours.outcomes(1, 2)
        assert (type(refused), type(throttled)) == (Rejected, Retry)
        assert isinstance(refused, Rejected)
        assert refused.reason is Reason.UNKNOWN_RECIPIENT


async def test_smpp34_takes_hundreds_through_a_small_window() -> None:
    async with smpp34_smsc() as smsc, gateway(smsc.port, response_timeout_s=PATIENCE_S) as ours:
        number = 0
        while number < 500:
            batch = range(number, min(500, number + await ours.room()))
            ours.send(*(attempt(f"text {each}", number=each) for each in batch))
            number = batch.stop
        outcomes = await ours.outcomes(*range(500))
        ids = {outcome.provider_ids[0] for outcome in outcomes if isinstance(outcome, Accepted)}
        receipts = await ours.received(500)
        assert len(ids) == 500
        assert {receipt.provider_id for receipt in receipts} == ids


# -- npm smpp ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def npm_smpp() -> Path:
    """The folder with npm's smpp, installed once; other test processes wait at the lock."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed, and this peer runs on them")
    NPM.mkdir(parents=True, exist_ok=True)
    with (NPM / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (NPM / "node_modules" / "smpp").is_dir():
            command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(NPM), "smpp@0.5.1"]
            subprocess.run(command, check=True, capture_output=True, timeout=120)
    return NPM


class NpmSmsc:
    def __init__(self, port: int, lines: asyncio.StreamReader) -> None:
        self.port = port
        self._lines = lines
        self.submits: list[dict[str, Any]] = []
        self.acknowledged: list[int] = []

    async def read(self, submits: int) -> None:
        """Until it has read so many submits, and the receipts of all are acknowledged."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.submits) < submits or len(self.acknowledged) < submits:
                line = json.loads(await self._lines.readline())
                if "acknowledged" in line:
                    self.acknowledged.append(line["status"])
                else:
                    self.submits.append(line)


@asynccontextmanager
async def npm_smsc(folder: Path) -> AsyncIterator[NpmSmsc]:
    process = await asyncio.create_subprocess_exec(
        "node", str(Path(__file__).with_name("smsc.mjs")), str(folder), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            port = json.loads(await process.stdout.readline())["port"]
        yield NpmSmsc(port, process.stdout)
    finally:
        process.terminate()
        await process.communicate()


@pytest.mark.parametrize("way", LongMessages)
async def test_npm_smpp_reads_what_we_mean(npm_smpp: Path, way: LongMessages) -> None:
    async with npm_smsc(npm_smpp) as smsc, gateway(smsc.port, long_messages=way, window=50) as ours:
        await ours.room()
        expected: list[str] = []
        for number, text in enumerate(TEXTS.values()):
            await ours.room()
            ours.send(attempt(text, number=number))
            outcome = await ours.outcome(number)
            assert isinstance(outcome, Accepted)
            expected += outcome.provider_ids
        await smsc.read(len(expected))
        assert "".join(submit["text"] for submit in smsc.submits) == "".join(TEXTS.values())
        assert {tuple(submit["to"]) for submit in smsc.submits} == {(1, 1, "380501112233")}
        assert {tuple(submit["from"]) for submit in smsc.submits} == {(5, 0, "Shop")}
        assert {submit["registered"] for submit in smsc.submits} == {1}
        receipts = await ours.received(len(expected))
        assert [receipt.provider_id for receipt in receipts] == expected
        assert {receipt.state for receipt in receipts} == {ReceiptState.DELIVERED}
        assert set(smsc.acknowledged) == {0}


PARTS = {  # way, user data headers and SAR parameters of the three parts, the reference left out
    "UDH, 8 bits": (LongMessages.UDH8, ["0003{}0301", "0003{}0302", "0003{}0303"], [[0, 0]] * 3),
    "UDH, 16 bits": (LongMessages.UDH16, ["0804{}0301", "0804{}0302", "0804{}0303"], [[0, 0]] * 3),
    "SAR": (LongMessages.SAR, ["", "", ""], [[3, 1], [3, 2], [3, 3]]),
}


@pytest.mark.parametrize(("way", "headers", "sar"), PARTS.values(), ids=PARTS)
async def test_npm_smpp_sees_parts_of_one_message(
    npm_smpp: Path, way: LongMessages, headers: list[str], sar: list[list[int]]
) -> None:
    async with npm_smsc(npm_smpp) as smsc, gateway(smsc.port, long_messages=way) as ours:
        await ours.room()
        ours.send(attempt("a" * 400))
        await ours.outcome()
        await smsc.read(3)
        seen = ["".join(submit["udh"]) for submit in smsc.submits]
        reference = seen[0][4:-4]
        assert seen == [header.format(reference) for header in headers]
        assert [submit["sar"] for submit in smsc.submits] == sar


async def test_npm_smpp_refuses_a_wrong_password(npm_smpp: Path) -> None:
    with listening() as heard:
        async with npm_smsc(npm_smpp) as smsc, gateway(smsc.port, password="wrong") as ours:
            await heard.until(event="bind_refused", status="ESME_RINVPASWD (0x0000000E)")
            assert not ours.transport.connected
