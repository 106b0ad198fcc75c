"""The sandbox's SMSC, judged by other people's clients (smpp34, npm smpp) and by a raw socket for the odd cases."""

import asyncio
import fcntl
import json
import os
import shutil
import struct
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import smpp34

from cascade.sandbox.people import Behaviour, People
from cascade.sandbox.smpp_codec import seconds_until
from cascade.sandbox.smsc import RECEIPT_TRIES, IdForm, ReceiptStyle, Smsc

ROOT = Path(__file__).parents[2]
PATIENCE_S = 5
PHONE, OTHER_PHONE = "+380501112233", "+380501112244"

BIND_RX, BIND_TX, QUERY, SUBMIT, DELIVER, UNBIND, CANCEL, BIND_TRX, ENQUIRE = 1, 2, 3, 4, 5, 6, 8, 9, 0x15
RESP = 0x80000000
NACK = RESP
ROK, RINVCMDLEN, RINVCMDID, RINVBNDSTS, RALYBND, RSYSERR = 0, 2, 3, 4, 5, 8
RINVDSTADR, RINVPASWD, RINVSYSID, RCANCELFAIL, RTHROTTLED = 0x0B, 0x0E, 0x0F, 0x11, 0x58


@dataclass(frozen=True)
class Pdu:
    command: int
    status: int
    sequence: int
    body: bytes

    @property
    def message_id(self) -> bytes:
        return self.body.split(b"\0")[0]

    @property
    def receipt(self) -> dict[str, str]:
        """The fields of a receipt's text, by their first word."""
        text = self.body[self.body.index(b"id:") :].split(b"\0")[0].decode()
        keys = ("id", "sub", "dlvrd", "submit date", "done date", "stat", "err", "text")
        at = [text.index(f"{key}:") for key in keys] + [len(text)]
        return {
            key: text[start + len(key) + 1 : end].strip() for key, start, end in zip(keys, at, at[1:], strict=False)
        }


class Wire:
    """A client that sends what it is told to and answers nothing by itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._sequence = 0

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    def send(self, command: int, body: bytes = b"", *, status: int = ROK, sequence: int | None = None) -> None:
        if sequence is None:
            self._sequence += 1
            sequence = self._sequence
        self.write(struct.pack(">IIII", 16 + len(body), command, status, sequence) + body)

    async def read(self) -> Pdu | None:
        """The next PDU; None when the SMSC has closed the connection."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                length, command, status, sequence = struct.unpack(">IIII", await self._reader.readexactly(16))
                return Pdu(command, status, sequence, await self._reader.readexactly(length - 16))
            except (asyncio.IncompleteReadError, ConnectionResetError):
                return None

    async def next(self) -> Pdu:
        pdu = await self.read()
        assert pdu is not None, "the SMSC hung up"
        return pdu

    async def call(self, command: int, body: bytes = b"") -> Pdu:
        self.send(command, body)
        return await self.next()

    async def submit(self, **fields: Any) -> Pdu:
        return await self.call(SUBMIT, submit_body(**fields))

    async def receipt(self) -> Pdu:
        """The next receipt, acknowledged."""
        pdu = await self.next()
        assert pdu.command == DELIVER
        self.send(DELIVER | RESP, b"\0", sequence=pdu.sequence)
        return pdu

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


def tlv(tag: int, value: bytes) -> bytes:
    return struct.pack(">HH", tag, len(value)) + value


def submit_body(
    to: str = PHONE,
    text: bytes = b"hello",
    *,
    esm_class: int = 0,
    schedule: bytes = b"",
    validity: bytes = b"",
    registered: int = 1,
    coding: int = 0,
    tlvs: bytes = b"",
    source: bytes = b"\x05\0Shop\0",
) -> bytes:
    destination = b"\x01\x01" + to.removeprefix("+").encode() + b"\0"
    head = b"\0" + source + destination + bytes((esm_class, 0, 0)) + schedule + b"\0" + validity + b"\0"
    return head + bytes((registered, 0, coding, 0, len(text))) + text + tlvs


def bind_body(system_id: str = "gateway", password: str | None = None) -> bytes:
    return f"{system_id}\0{password or 'secret'}\0\0\x34\0\0\0".encode()


@asynccontextmanager
async def running(people: People | None = None, **settings: Any) -> AsyncIterator[Smsc]:
    smsc = Smsc(people or People(), "127.0.0.1", 0, **settings)
    await smsc.start()
    try:
        yield smsc
    finally:
        await smsc.stop()


@asynccontextmanager
async def connected(smsc: Smsc, *, bind: int = BIND_TRX, system_id: str = "gateway") -> AsyncIterator[Wire]:
    wire = Wire(*await asyncio.open_connection("127.0.0.1", smsc.port))
    try:
        if bind:
            assert (await wire.call(bind, bind_body(system_id))).status == ROK
        yield wire
    finally:
        await wire.close()


def people_with(behaviour: Behaviour) -> People:
    people = People()
    people.get(PHONE).behave({"sms": behaviour})
    return people


def texts(people: People, phone: str = PHONE) -> list[str]:
    return [received.text for received in people.get(phone).inbox]


# By smpp34.

BEHAVIOURS: dict[Behaviour, tuple[list[int], list[str], int]] = {
    # behaviour: answers to two submits, receipts, messages on the phone
    Behaviour.DELIVERS: ([ROK, ROK], ["DELIVRD", "DELIVRD"], 2),
    Behaviour.READS: ([ROK, ROK], ["DELIVRD", "DELIVRD"], 2),
    Behaviour.ABSENT: ([ROK, ROK], ["UNDELIV", "UNDELIV"], 0),
    Behaviour.BLOCKED: ([ROK, ROK], ["REJECTD", "REJECTD"], 0),
    Behaviour.REJECTS: ([RINVDSTADR, RINVDSTADR], [], 0),
    Behaviour.SILENT: ([ROK, ROK], [], 2),
    Behaviour.REPEATED: ([ROK, ROK], ["DELIVRD"] * 4, 2),
    Behaviour.THROTTLED: ([RTHROTTLED, ROK], ["DELIVRD"], 1),
    Behaviour.DOWN: ([RSYSERR, RSYSERR], [], 0),
}


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=str)
async def test_a_phone_behaves_as_it_was_set(behaviour: Behaviour) -> None:
    answers, receipts, reached = BEHAVIOURS[behaviour]
    people = people_with(behaviour)
    async with running(people) as smsc, by_smpp34(smsc) as session:
        assert [(await submit_by_smpp34(session, PHONE)).command_status for _ in range(2)] == answers
        assert await receipts_by_smpp34(session, len(receipts)) == [(PHONE, stat) for stat in receipts]
        assert smsc.receipts_sent == len(receipts)
    assert len(texts(people)) == reached
    assert smsc.accepted_by_destination[PHONE] == answers.count(ROK)


async def test_a_late_phone_gets_its_message_at_once_and_only_the_receipt_is_late() -> None:
    people = people_with(Behaviour.LATE)
    async with running(people, late_s=0.5) as smsc, by_smpp34(smsc) as session:
        await submit_by_smpp34(session, PHONE)
        assert texts(people) == ["hello"]
        await submit_by_smpp34(session, OTHER_PHONE)
        assert await receipts_by_smpp34(session, 2) == [(OTHER_PHONE, "DELIVRD"), (PHONE, "DELIVRD")]
    assert texts(people) == ["hello"]


async def test_every_receipt_and_answer_is_counted() -> None:
    async with running() as smsc, by_smpp34(smsc) as session:
        for _ in range(3):
            await submit_by_smpp34(session, PHONE)
        await receipts_by_smpp34(session, 3)
    assert (smsc.binds, smsc.submits, smsc.accepted, smsc.receipts_sent) == (1, 3, 3, 3)


@asynccontextmanager
async def by_smpp34(smsc: Smsc) -> AsyncIterator[smpp34.Smsc]:
    client = smpp34.Client("127.0.0.1", smsc.port, "gateway", "secret", bind_type="TRX")
    session = await client.connect()
    try:
        yield session
        await session.unbind()
    finally:
        await client.stop()


async def submit_by_smpp34(session: smpp34.Smsc, phone: str) -> smpp34.SubmitSmResp:
    return await session.submit_sm(
        phone.removeprefix("+"), b"hello", source_addr="Shop", source_addr_ton=5, registered_delivery=1
    )


async def receipts_by_smpp34(session: smpp34.Smsc, count: int) -> list[tuple[str, str]]:
    """(phone, stat) of the next receipts; smpp34 may swap those that come together."""
    seen: list[tuple[str, str]] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(seen) < count:
            event = await session.next()
            assert isinstance(event, smpp34.DeliverSmEvent)
            assert event.esm_class == 0x04
            tlvs = {one.tag: one for one in event.tlvs}
            text = event.short_message.decode()
            assert text.startswith(f"id:{tlvs[0x001E].as_string()} ")
            seen.append(("+" + event.source_addr, text.split("stat:")[1].split()[0]))
    return seen


# By npm smpp.

NODE_CLIENT = """
const smpp = require('smpp');
const job = JSON.parse(process.argv[1]);
const session = smpp.connect({host: '127.0.0.1', port: job.port});
const done = {answers: [], receipts: []};
const finish = () => session.unbind(() => session.close(() => console.log(JSON.stringify(done))));
const check = () => {
  if (done.answers.length === job.submits.length && done.receipts.length === job.receipts) finish();
};
session.on('error', (error) => { console.error(error); process.exit(1); });
session.on('deliver_sm', (pdu) => {
  session.send(pdu.response());
  done.receipts.push({id: pdu.receipted_message_id, state: pdu.message_state, text: pdu.short_message.message});
  check();
});
session.bind_transceiver({system_id: 'gateway', password: job.password}, (pdu) => {
  done.bound = pdu.command_status;
  if (pdu.command_status !== 0) return session.close(() => console.log(JSON.stringify(done)));
  for (const submit of job.submits) {
    if (submit.udh) submit.short_message = {udh: Buffer.from(submit.udh, 'hex'), message: submit.short_message};
    session.submit_sm(submit, (answer) => {
      done.answers.push({status: answer.command_status, id: answer.message_id});
      check();
    });
  }
});
"""


@pytest.fixture(scope="session")
def npm_smpp() -> Path:
    """Where npm's `smpp` is installed; one of the test processes installs it, the others wait."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    prefix = ROOT / "build" / "npm"
    prefix.mkdir(parents=True, exist_ok=True)
    with (prefix / "smpp.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (prefix / "node_modules" / "smpp").is_dir():
            install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(prefix), "smpp@0.5.1"]
            subprocess.run(install, check=True, capture_output=True)
    return prefix / "node_modules"


async def by_npm(
    modules: Path, smsc: Smsc, submits: list[dict[str, Any]], password: str | None = None
) -> dict[str, Any]:
    expected = sum(submit.get("registered_delivery", 0) for submit in submits)
    job = {"port": smsc.port, "password": password or "secret", "submits": submits, "receipts": expected}
    node = await asyncio.create_subprocess_exec(
        "node", "-e", NODE_CLIENT, json.dumps(job),
        env={**os.environ, "NODE_PATH": str(modules)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(4 * PATIENCE_S):
        out, errors = await node.communicate()
    assert node.returncode == 0, errors.decode()
    answer: dict[str, Any] = json.loads(out)
    return answer


def npm_submit(text: str, coding: int, **fields: Any) -> dict[str, Any]:
    addresses = {"source_addr": "Shop", "source_addr_ton": 5, "dest_addr_ton": 1, "dest_addr_npi": 1}
    content = {"destination_addr": PHONE.removeprefix("+"), "short_message": text, "data_coding": coding}
    return {**addresses, **content, "registered_delivery": 1, **fields}


LATIN = "Order #42 {50€} is on its way: [box] ~ 3 kg, @home_1 £9 ¿ok? "
CYRILLIC = "Ваше замовлення вже їде, чекайте кур'єра 🚚 сьогодні; "
SHORT_TEXTS = {  # name: (text, data_coding)
    "GSM 03.38, basic alphabet": ("@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./09:;<=>?¡AZÄÖÑÜ§¿azäöñüà", 0),
    "GSM 03.38, extension": ("\f^{}\\[~]|€", 0),
    "GSM 03.38, flash": ("On the screen at once", 0x10),
    "Latin-1": ("Crème brûlée ± ½", 3),
    "UCS-2": ("Код 1234, ґанок €", 8),
    "UCS-2, beyond the basic plane": ("Ваш код: 🔑", 8),
}


async def test_npm_short_texts_reach_the_phone_as_written(npm_smpp: Path) -> None:
    people = People()
    submits = [npm_submit(text, coding) for text, coding in SHORT_TEXTS.values()]
    async with running(people) as smsc:
        done = await by_npm(npm_smpp, smsc, submits)
    assert texts(people) == [text for text, _ in SHORT_TEXTS.values()]
    assert [receipt["id"] for receipt in done["receipts"]] == [answer["id"] for answer in done["answers"]]
    assert {receipt["state"] for receipt in done["receipts"]} == {2}
    assert smsc.receipts_acknowledged == len(SHORT_TEXTS)


LONG_TEXTS: dict[str, Callable[[int, int], dict[str, Any]]] = {
    "UDH, 8-bit reference": lambda number, total: {"udh": f"050003c7{total:02x}{number:02x}"},
    "UDH, 16-bit reference": lambda number, total: {"udh": f"06080401c7{total:02x}{number:02x}"},
    "SAR TLVs": lambda number, total: {
        "sar_msg_ref_num": 455,
        "sar_total_segments": total,
        "sar_segment_seqnum": number,
    },
}
ALPHABETS = {"GSM 03.38": (LATIN * 6, 0, 120), "UCS-2": (CYRILLIC * 6, 8, 60)}  # text, data_coding, characters a part


@pytest.mark.parametrize("alphabet", ALPHABETS)
@pytest.mark.parametrize("way", LONG_TEXTS)
async def test_npm_parts_in_any_order_become_one_message(npm_smpp: Path, way: str, alphabet: str) -> None:
    text, coding, size = ALPHABETS[alphabet]
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    submits = [
        npm_submit(piece, coding, **LONG_TEXTS[way](number, len(pieces))) for number, piece in enumerate(pieces, 1)
    ]
    submits.reverse()
    people = People()
    async with running(people) as smsc:
        done = await by_npm(npm_smpp, smsc, submits)
    assert texts(people) == [text]
    ids = [answer["id"] for answer in done["answers"]]
    assert len(set(ids)) == len(pieces) >= 3
    assert sorted(receipt["id"] for receipt in done["receipts"]) == sorted(ids)
    assert people.get(PHONE).inbox[0].provider_id == ids[-1], "that of the first part"


@pytest.mark.parametrize("alphabet", ALPHABETS)
async def test_npm_message_payload_is_one_message_with_one_receipt(npm_smpp: Path, alphabet: str) -> None:
    text, coding, _ = ALPHABETS[alphabet]
    people = People()
    async with running(people) as smsc:
        done = await by_npm(npm_smpp, smsc, [npm_submit("", coding, message_payload=text)])
    assert texts(people) == [text]
    assert len(done["receipts"]) == 1


async def test_npm_wrong_password_is_refused(npm_smpp: Path) -> None:
    async with running(accounts={"gateway": "secret"}) as smsc:
        assert (await by_npm(npm_smpp, smsc, [], password="guess"))["bound"] == RINVPASWD


# By a raw socket: sessions.

BINDS = {  # name: (system_id, password, status)
    "known": ("gateway", "secret", ROK),
    "wrong password": ("gateway", "guess", RINVPASWD),
    "unknown system_id": ("stranger", "secret", RINVSYSID),
    "password longer than the specification's eight": ("long", "a-password-of-27-characters", ROK),
}


@pytest.mark.parametrize("name", BINDS)
@pytest.mark.parametrize("bind", [BIND_RX, BIND_TX, BIND_TRX])
async def test_binds(bind: int, name: str) -> None:
    system_id, password, status = BINDS[name]
    accounts = {"gateway": "secret", "long": "a-password-of-27-characters"}
    async with running(accounts=accounts) as smsc, connected(smsc, bind=0) as wire:
        answer = await wire.call(bind, bind_body(system_id, password))
        assert (answer.command, answer.status) == (bind | RESP, status)
        assert smsc.binds == (status == ROK)


NOT_NOW = {  # name: (bind, command, body, status)
    "submit before bind": (0, SUBMIT, submit_body(), RINVBNDSTS),
    "query before bind": (0, QUERY, b"1\0\0\0\0", RINVBNDSTS),
    "cancel before bind": (0, CANCEL, b"\x001\0\0\0\0\0\0\0", RINVBNDSTS),
    "submit on a receiver": (BIND_RX, SUBMIT, submit_body(), RINVBNDSTS),
    "second bind on one connection": (BIND_TRX, BIND_TRX, bind_body(), RALYBND),
    "query of an unknown message": (BIND_TRX, QUERY, b"1\0\0\0\0", 0x0C),
    "cancel of an unknown message": (BIND_TRX, CANCEL, b"\x001\0\0\0\0\0\0\0", 0x0C),
    "query cut short": (BIND_TRX, QUERY, b"1\0\0", RINVCMDLEN),
}


@pytest.mark.parametrize("name", NOT_NOW)
async def test_what_the_session_does_not_allow_is_refused(name: str) -> None:
    bind, command, body, status = NOT_NOW[name]
    async with running() as smsc, connected(smsc, bind=bind) as wire:
        answer = await wire.call(command, body)
        assert (answer.command, answer.status, answer.body) == (command | RESP, status, b"")
        assert (await wire.call(ENQUIRE)).command == ENQUIRE | RESP


async def test_unbind_is_answered_and_ends_the_session() -> None:
    async with running() as smsc, connected(smsc) as wire:
        assert (await wire.call(UNBIND)).command == UNBIND | RESP
        assert await wire.read() is None


async def test_a_silent_line_is_asked_and_cut_only_if_it_stays_silent() -> None:
    async with running(enquire_link_s=0.2) as smsc, connected(smsc) as wire:
        for _ in range(2):
            question = await wire.next()
            assert question.command == ENQUIRE
            wire.send(ENQUIRE | RESP, sequence=question.sequence)
        unanswered = 0
        while (pdu := await wire.read()) is not None:
            assert pdu.command == ENQUIRE
            unanswered += 1
        assert unanswered <= 4


async def test_stop_unbinds_the_sessions() -> None:
    async with running() as smsc, connected(smsc) as wire:
        await smsc.stop()
        assert (await wire.next()).command == UNBIND
        assert await wire.read() is None


NOISE = {  # name: (bytes, what answers them: command and status); the connection goes
    "a length below the header's": (struct.pack(">IIII", 8, SUBMIT, 0, 7), (NACK, RINVCMDLEN)),
    "a length of gigabytes": (b"\xff" * 64, (NACK, RINVCMDLEN)),
    "an HTTP request": (b"GET / HTTP/1.1\r\nHost: smsc\r\n\r\n", (NACK, RINVCMDLEN)),
}


@pytest.mark.parametrize("name", NOISE)
async def test_noise_ends_its_own_connection_only(name: str) -> None:
    noise, answer = NOISE[name]
    async with running() as smsc, connected(smsc) as good, connected(smsc) as bad:
        bad.write(noise)
        nack = await bad.next()
        assert (nack.command, nack.status) == answer
        assert await bad.read() is None
        assert (await good.submit(registered=0)).status == ROK


async def test_an_unknown_command_is_nacked_and_the_session_goes_on() -> None:
    async with running() as smsc, connected(smsc) as wire:
        answer = await wire.call(0x0777, b"???")
        assert (answer.command, answer.status, answer.sequence) == (NACK, RINVCMDID, 2)
        wire.send(0x0777 | RESP)  # an answer to nothing is let go
        assert (await wire.submit(registered=0)).status == ROK


async def test_pdus_may_come_in_crumbs_and_in_heaps() -> None:
    people = People()
    async with running(people) as smsc, connected(smsc, bind=BIND_TX) as wire:
        body = submit_body(registered=0)
        one = struct.pack(">IIII", 16 + len(body), SUBMIT, 0, 99) + body
        for crumb in range(len(one)):
            wire.write(one[crumb : crumb + 1])
            await asyncio.sleep(0)
        wire.write(one * 500)
        answers = [await wire.next() for _ in range(501)]
    assert {(answer.command, answer.status) for answer in answers} == {(SUBMIT | RESP, ROK)}
    assert len({answer.message_id for answer in answers}) == 501
    assert smsc.accepted_by_destination == {PHONE: 501}


async def test_a_client_that_does_not_read_is_not_read_from() -> None:
    body = submit_body()
    submits = (struct.pack(">IIII", 16 + len(body), SUBMIT, 0, 7) + body) * 500
    async with running(receipt_window=1_000_000) as smsc, connected(smsc) as wire:
        (session,) = smsc.sessions
        sent = 0
        async with asyncio.timeout(PATIENCE_S):
            while session.has_room:  # until what it is sent piles up
                wire.write(submits)
                sent += 500
                await asyncio.sleep(0)
        taken = smsc.submits
        wire.write(submits)
        for _ in range(100):
            await asyncio.sleep(0)
        assert smsc.submits == taken
        came = Counter([(await wire.next()).command for _ in range(2 * (sent + 500))])
    assert came == {SUBMIT | RESP: sent + 500, DELIVER: sent + 500}


# By a raw socket: submits.

UDH = b"\x05\x00\x03\x01\x02"
BAD_SUBMITS: dict[str, tuple[bytes, int]] = {
    "empty body": (b"", RINVCMDLEN),
    "no end of an address": (b"\0\x05\0Shop", RINVCMDLEN),
    "source of 21 characters": (submit_body(source=b"\x05\0" + b"s" * 21 + b"\0"), 0x0A),
    "destination of letters": (submit_body("Shop"), RINVDSTADR),
    "national destination": (submit_body("0501112233"), RINVDSTADR),
    "sm_length beyond the PDU": (submit_body()[:-2], 0x01),
    "161 septets": (submit_body(text=b"a" * 161), 0x01),
    "71 UCS-2 characters": (submit_body(text=b"\x04\x10" * 71, coding=8), 0x01),
    "67 UCS-2 characters after a 16-bit UDH": (
        submit_body(text=b"\x06\x08\x04\x00" + UDH[3:] + b"\x01" + b"\x04\x10" * 67, coding=8, esm_class=0x40),
        0x01,
    ),
    "154 septets after a UDH": (submit_body(text=UDH + b"\x01" + b"a" * 154, esm_class=0x40), 0x01),
    "154 septets with SAR TLVs": (
        submit_body(text=b"a" * 154, tlvs=tlv(0x020C, b"\0\1") + tlv(0x020E, b"\2") + tlv(0x020F, b"\1")),
        0x01,
    ),
    "UDH flag without a UDH": (submit_body(text=b"hello", esm_class=0x40), 0x43),
    "UDH element beyond the UDH": (submit_body(text=b"\x03\x00\x09\x01hello", esm_class=0x40), 0x43),
    "part 3 of 2": (submit_body(text=UDH + b"\x03hello", esm_class=0x40), 0x45),
    "part 0": (submit_body(text=UDH + b"\x00hello", esm_class=0x40), 0x45),
    "unknown data_coding": (submit_body(coding=0x0B), 0x45),
    "text and message_payload": (submit_body(tlvs=tlv(0x0424, b"more")), 0xC1),
    "TLV beyond the PDU": (submit_body(tlvs=b"\x04\x24\x00\x09hi"), 0xC0),
    "SAR reference alone": (submit_body(tlvs=tlv(0x020C, b"\0\1")), 0xC3),
    "SAR reference of one octet": (submit_body(tlvs=tlv(0x020C, b"\1")), 0xC2),
    "validity that is no time": (submit_body(validity=b"in five minutes!"), 0x62),
    "schedule that is no time": (submit_body(schedule=b"260231000000000+"), 0x61),
}


@pytest.mark.parametrize("name", BAD_SUBMITS)
async def test_a_bad_submit_is_refused_and_the_next_one_is_taken(name: str) -> None:
    body, status = BAD_SUBMITS[name]
    people = People()
    async with running(people) as smsc, connected(smsc) as wire:
        answer = await wire.call(SUBMIT, body)
        assert (answer.command, answer.status, answer.body) == (SUBMIT | RESP, status, b"")
        assert (await wire.submit(registered=0)).status == ROK
    assert texts(people) == ["hello"]
    assert (smsc.submits, smsc.accepted) == (2, 1)


SHOWN = {  # name: (octets, data_coding, what the phone shows)
    "escape pair split by the end": (b"5\x1b", 0, "5\ufffd"),
    "unknown extension: the basic character": (b"\x1ba", 0, "a"),
    "octet above 0x7F in septets": (b"caf\xe9", 0, "caf\ufffd"),
    "half a surrogate pair": (b"\xd8\x3d", 8, "\ufffd"),
    "ASCII": (b"a_b@c", 1, "a_b@c"),
    "binary: in hexadecimal": (b"\x00\xff", 4, "00ff"),
    "UCS-2 flash": (b"\x04\x10", 0x18, "А"),
    "160 septets": (b"a" * 160, 0, "a" * 160),
    "70 UCS-2 characters": (b"\x04\x10" * 70, 8, "А" * 70),
}


@pytest.mark.parametrize("name", SHOWN)
async def test_what_the_phone_shows(name: str) -> None:
    octets, coding, shown = SHOWN[name]
    people = People()
    async with running(people) as smsc, connected(smsc, bind=BIND_TX) as wire:
        answer = await wire.submit(text=octets, coding=coding)
    (received,) = people.get(PHONE).inbox
    assert (received.channel, received.sender, received.text) == ("sms", "Shop", shown)
    assert received.provider_id.encode() == answer.message_id
    assert datetime.fromisoformat(received.received_at).utcoffset() is not None


async def test_a_long_message_lacking_a_part_is_not_shown_and_a_second_send_of_it_is_a_double() -> None:
    people = People()
    async with running(people) as smsc, connected(smsc, bind=BIND_TX) as wire:
        for number in (b"\x01", b"\x01"):
            await wire.submit(text=UDH + number + b"one ", esm_class=0x40)
        assert texts(people) == []
        for number in (b"\x02", b"\x01", b"\x02"):
            await wire.submit(text=UDH + number + b"two", esm_class=0x40)
    assert texts(people) == ["one two", "twotwo"]


async def test_an_answer_lost_is_a_message_received() -> None:
    people = people_with(Behaviour.ANSWER_LOST)
    async with running(people) as smsc:
        async with connected(smsc) as wire:
            before = submit_body(OTHER_PHONE, registered=0)
            wire.send(SUBMIT, before)
            wire.send(SUBMIT, submit_body())
            wire.send(SUBMIT, before)
            assert (await wire.next()).status == ROK
            assert await wire.read() is None
        assert texts(people) == ["hello"]
        assert smsc.accepted_by_destination == {OTHER_PHONE: 1, PHONE: 1}
        async with connected(smsc) as wire:
            receipt = (await wire.receipt()).receipt
            assert receipt["id"] == people.get(PHONE).inbox[0].provider_id


async def test_cancel_revokes_what_is_under_way_only() -> None:
    people = people_with(Behaviour.SILENT)
    people.get(OTHER_PHONE).behave({"sms": Behaviour.LATE})
    async with running(people) as smsc, connected(smsc) as wire:
        ids = [(await wire.submit(to=phone)).message_id for phone in (PHONE, OTHER_PHONE)]
        assert await states(wire, ids) == [1, 1]
        assert await cancel(wire, ids[0]) == ROK
        assert await cancel(wire, ids[1], sender=b"\x05\0Thief\0") == 0x0A
        wire.send(CANCEL, b"\0" + ids[1] + b"\0\x05\0Shop\0\0\0\0")
        assert (await wire.next()).status == ROK
        assert (await wire.receipt()).receipt["stat"] == "DELETED"
        assert await states(wire, ids) == [4, 4]
        assert await cancel(wire, ids[0]) == RCANCELFAIL
    assert [people.get(phone).inbox[0].revoked for phone in (PHONE, OTHER_PHONE)] == [True, True]


async def test_another_account_can_neither_see_nor_cancel_a_message() -> None:
    async with (
        running(people_with(Behaviour.SILENT)) as smsc,
        connected(smsc) as owner,
        connected(smsc, system_id="neighbour") as neighbour,
    ):
        message_id = (await owner.submit()).message_id
        assert await cancel(neighbour, message_id) == 0x0C
        assert (await neighbour.call(QUERY, message_id + b"\0\x05\0Shop\0")).status == 0x0C


async def cancel(wire: Wire, message_id: bytes, sender: bytes = b"\x05\0Shop\0") -> int:
    return (await wire.call(CANCEL, b"\0" + message_id + b"\0" + sender + b"\0\0\0")).status


async def states(wire: Wire, ids: list[bytes]) -> list[int]:
    answers = [await wire.call(QUERY, message_id + b"\0\x05\0Shop\0") for message_id in ids]
    return [answer.body[-2] for answer in answers]


# By a raw socket: receipts.

ASKED = {  # name: (registered_delivery, behaviour, receipts)
    "none": (0, Behaviour.DELIVERS, []),
    "success and failure: success": (1, Behaviour.DELIVERS, ["DELIVRD"]),
    "success and failure: failure": (1, Behaviour.ABSENT, ["UNDELIV"]),
    "failure only: success": (2, Behaviour.DELIVERS, []),
    "failure only: failure": (2, Behaviour.ABSENT, ["UNDELIV"]),
    "other bits beside": (0x11, Behaviour.DELIVERS, ["DELIVRD"]),
}


@pytest.mark.parametrize("name", ASKED)
async def test_receipts_come_as_asked_for(name: str) -> None:
    registered, behaviour, wanted = ASKED[name]
    async with running(people_with(behaviour)) as smsc, connected(smsc) as wire:
        await wire.submit(registered=registered)
        stats = [(await wire.receipt()).receipt["stat"] for _ in wanted]
        assert stats == wanted
        assert (await wire.call(ENQUIRE)).command == ENQUIRE | RESP
        assert smsc.receipts_acknowledged == smsc.receipts_sent == len(wanted)


ID_FORMS: dict[IdForm, Callable[[str], str]] = {  # the receipt's id, by the answer's
    IdForm.SAME: lambda answered: answered,
    IdForm.RESP_HEX_DLR_DEC: lambda answered: str(int(answered, 16)),
    IdForm.RESP_DEC_DLR_HEX: lambda answered: format(int(answered), "x"),
    IdForm.PADDED: lambda answered: answered.upper().rjust(20, "0"),
}


@pytest.mark.parametrize("form", ID_FORMS, ids=str)
@pytest.mark.parametrize("date_digits", [10, 12])
async def test_a_receipt_in_each_form(form: IdForm, date_digits: int) -> None:
    style = ReceiptStyle(id_form=form, date_digits=date_digits)
    async with running(receipts=style) as smsc, connected(smsc) as wire:
        answered = (await wire.submit(text=b"a text of more than twenty characters")).message_id.decode()
        pdu = await wire.receipt()
    assert pdu.body.startswith(b"\0\x01\x01" + PHONE[1:].encode() + b"\0\x05\0Shop\0\x04")
    receipt_id = ID_FORMS[form](answered)
    assert pdu.body.endswith(tlv(0x001E, receipt_id.encode() + b"\0") + tlv(0x0427, b"\x02"))
    assert pdu.receipt["id"] == receipt_id
    assert pdu.receipt["dlvrd"] == "001"
    assert len(pdu.receipt["submit date"]) == len(pdu.receipt["done date"]) == date_digits


async def test_a_receipt_quotes_twenty_characters() -> None:
    style = ReceiptStyle(with_tlvs=False)
    async with running(receipts=style) as smsc, connected(smsc) as wire:
        await wire.submit(text=b"a text of more than twenty characters")
        assert (await wire.receipt()).body.endswith(b" text:a text of more than ")


@pytest.mark.parametrize(("with_text", "with_tlvs"), [(True, False), (False, True)])
async def test_either_half_of_a_receipt_can_be_left_out(with_text: bool, with_tlvs: bool) -> None:
    style = ReceiptStyle(with_text=with_text, with_tlvs=with_tlvs)
    async with running(receipts=style) as smsc, connected(smsc) as wire:
        message_id = (await wire.submit()).message_id
        body = (await wire.receipt()).body
    assert (b"stat:DELIVRD" in body, tlv(0x001E, message_id + b"\0") in body) == (with_text, with_tlvs)


VALIDITY = {  # name: (validity_period, stat of a receipt that takes 0.2 s)
    "none": (b"", "DELIVRD"),
    "a tenth of a second": (b"000000000000100R", "EXPIRED"),
    "five minutes": (b"000000000500000R", "DELIVRD"),
    "until 2020": (b"200101000000000+", "EXPIRED"),
    "until 2099, one hour east": (b"991231235959004+", "DELIVRD"),
}


@pytest.mark.parametrize("name", VALIDITY)
async def test_a_message_that_outlives_its_validity_expires(name: str) -> None:
    validity, stat = VALIDITY[name]
    people = People()
    async with running(people, receipt_delay_s=0.2) as smsc, connected(smsc) as wire:
        await wire.submit(validity=validity)
        assert (await wire.receipt()).receipt["stat"] == stat
    assert len(texts(people)) == (stat == "DELIVRD")


async def test_a_late_receipt_tells_of_a_message_that_came_in_time() -> None:
    people = people_with(Behaviour.LATE)
    async with running(people, late_s=0.2) as smsc, connected(smsc) as wire:
        await wire.submit(validity=b"000000000000100R")
        assert (await wire.receipt()).receipt["stat"] == "DELIVRD"


async def test_a_scheduled_message_waits() -> None:
    people = People()
    async with running(people) as smsc, connected(smsc) as wire:
        await wire.submit(text=b"later", schedule=b"000000000000300R")
        await wire.submit(text=b"now")
        for _ in range(2):
            await wire.receipt()
    assert texts(people) == ["now", "later"]


async def test_receipts_can_overtake_the_answers() -> None:
    async with running(answer_delay_s=0.1, receipt_delay_s=0.01) as smsc, connected(smsc) as wire:
        wire.send(SUBMIT, submit_body())
        assert [(await wire.next()).command for _ in range(2)] == [DELIVER, SUBMIT | RESP]


async def test_delayed_receipts_follow_delayed_answers_and_a_lost_answer_comes_last() -> None:
    people = people_with(Behaviour.ANSWER_LOST)
    async with running(people, answer_delay_s=0.05, receipt_delay_s=0.1) as smsc, connected(smsc) as wire:
        wire.send(SUBMIT, submit_body(OTHER_PHONE))
        assert [(await wire.next()).command for _ in range(2)] == [SUBMIT | RESP, DELIVER]
        wire.send(SUBMIT, submit_body(OTHER_PHONE))
        wire.send(SUBMIT, submit_body())
        assert (await wire.next()).command == SUBMIT | RESP
        assert await wire.read() is None


async def test_receivers_of_an_account_take_turns() -> None:
    async with (
        running() as smsc,
        connected(smsc, bind=BIND_TX) as sender,
        connected(smsc, bind=BIND_RX) as first,
        connected(smsc) as second,
        connected(smsc, system_id="neighbour") as neighbour,
    ):
        for _ in range(4):
            await sender.submit()
        ids = [(await wire.receipt()).receipt["id"] for wire in (first, second) for _ in range(2)]
        assert (await neighbour.call(ENQUIRE)).command == ENQUIRE | RESP
    assert len(set(ids)) == 4


async def test_receipts_wait_for_a_receiver() -> None:
    async with running() as smsc:
        async with connected(smsc, bind=BIND_TX) as sender:
            ids = [(await sender.submit()).message_id.decode() for _ in range(3)]
        async with connected(smsc, bind=BIND_RX) as receiver:
            assert [(await receiver.receipt()).receipt["id"] for _ in ids] == ids


async def test_receipts_without_an_answer_are_sent_again_to_the_next_bind() -> None:
    async with running() as smsc:
        async with connected(smsc) as wire:
            message_id = (await wire.submit()).message_id.decode()
            assert (await wire.next()).receipt["id"] == message_id
        for _ in range(2 * RECEIPT_TRIES):  # a broken line counts as no try
            async with connected(smsc) as wire:
                assert (await wire.next()).receipt["id"] == message_id
        async with connected(smsc) as wire:
            assert (await wire.receipt()).receipt["id"] == message_id
            await wire.call(ENQUIRE)
        assert smsc.receipts_acknowledged == 1
        async with connected(smsc) as wire:
            assert (await wire.call(ENQUIRE)).command == ENQUIRE | RESP


async def test_receipts_survive_a_restart() -> None:
    people = people_with(Behaviour.LATE)
    async with running(people, late_s=0.1) as smsc:
        async with connected(smsc) as wire:
            message_id = (await wire.submit()).message_id.decode()
        await smsc.stop()
        await smsc.start()
        async with connected(smsc) as wire:
            assert (await wire.receipt()).receipt["id"] == message_id


NO_ACKNOWLEDGEMENT: dict[str, Callable[[Wire, Pdu], None]] = {
    "no answer": lambda wire, pdu: None,
    "temporary fault": lambda wire, pdu: wire.send(DELIVER | RESP, b"\0", status=0x64, sequence=pdu.sequence),
    "generic_nack": lambda wire, pdu: wire.send(NACK, status=RINVCMDID, sequence=pdu.sequence),
}


@pytest.mark.parametrize("name", NO_ACKNOWLEDGEMENT)
async def test_a_receipt_refused_is_sent_again_five_times_in_all(name: str) -> None:
    async with running(receipt_retry_s=0.02) as smsc, connected(smsc) as wire:
        message_id = (await wire.submit()).message_id.decode()
        for _ in range(RECEIPT_TRIES):
            pdu = await wire.next()
            assert pdu.receipt["id"] == message_id
            NO_ACKNOWLEDGEMENT[name](wire, pdu)
        async with asyncio.timeout(PATIENCE_S):
            while not smsc.receipts_given_up:
                assert (await wire.call(ENQUIRE)).command == ENQUIRE | RESP
    assert (smsc.receipts_sent, smsc.receipts_acknowledged) == (RECEIPT_TRIES, 0)


async def test_receipts_keep_to_their_window() -> None:
    async with running(receipt_window=2) as smsc, connected(smsc) as wire:
        for _ in range(2):
            await wire.submit()
            first = await wire.next()
        assert (await wire.submit()).command == SUBMIT | RESP
        assert (await wire.call(ENQUIRE)).command == ENQUIRE | RESP
        wire.send(DELIVER | RESP, b"\0", sequence=first.sequence)
        assert (await wire.next()).command == DELIVER


async def test_without_an_inbox_only_the_counters_know() -> None:
    people = People()
    async with running(people, keep_inbox=False) as smsc, connected(smsc) as wire:
        message_id = (await wire.submit()).message_id
        await wire.receipt()
        assert (await wire.call(QUERY, message_id + b"\0\x05\0Shop\0")).status == 0x0C
    assert list(people) == []
    assert smsc.accepted_by_destination == {PHONE: 1}


TIMES = {  # SMPP time: seconds from 2026-11-23 12:00 UTC
    b"000000000500000R": 300,
    b"000001000000000R": 86_400,
    b"000000000000700R": 0.7,
    b"261123120100000+": 60,
    b"261123130100004+": 60,
    b"261123110100004-": 60,
    b"261123115900500+": -59.5,
}


@pytest.mark.parametrize("when", TIMES)
def test_times(when: bytes) -> None:
    assert seconds_until(when, datetime(2026, 11, 23, 12, tzinfo=UTC)) == pytest.approx(TIMES[when])
