"""CPU time of the SMPP codec for one message, printed as one JSON line a figure.

One message is a submit_sm with a receipt: what is written, and what is read and answered for it.
"""

import json
import time
import timeit
from collections.abc import Callable
from datetime import UTC, datetime

import smpp34

from cascade.channels.smpp import SmppSettings, pdu
from cascade.channels.smpp.message import Composer
from cascade.channels.smpp.pdu import Address, SubmitSm
from cascade.channels.smpp.receipts import read_receipt
from cascade.core.attempt import Attempt
from cascade.core.content import Content
from cascade.core.words import MessageType

ROUNDS = 100
REPEATS = 5
IN_ONE_READ = 100
TEXT = "Your code is 123456. Do not share it with anyone."
RECEIPT = (
    b"id:0A1B2C3D sub:001 dlvrd:001 submit date:2611230400 done date:2611230401 stat:DELIVRD err:000 text:Your code"
)


def figure(name: str, work: Callable[[], object], *, per: int = IN_ONE_READ) -> float:
    best = min(timeit.repeat(work, timer=time.process_time, number=ROUNDS, repeat=REPEATS)) / ROUNDS / per * 1e6
    print(json.dumps({"figure": name, "value": round(best, 2), "unit": "us"}))
    return best


def main() -> None:
    submit = SubmitSm(
        Address(5, 0, "Shop").encode(),
        Address(1, 1, "380501112233").encode(),
        TEXT.encode(),
        registered_delivery=1,
        validity_period="000000000500000R",
    )
    tlvs = [smpp34.Tlv(pdu.TLV_RECEIPTED_MESSAGE_ID, b"0A1B2C3D\0"), smpp34.Tlv(pdu.TLV_MESSAGE_STATE, b"\2")]
    delivery = smpp34.DeliverSm("380501112233", "Shop", RECEIPT, esm_class=4, tlvs=tlvs, sequence_number=1).encode()
    answers = pdu.encode(pdu.SUBMIT_SM_RESP, 1, b"0A1B2C3D\0") * IN_ONE_READ
    deliveries = delivery * IN_ONE_READ
    attempt = Attempt(1, bytes(16), 1, "+380501112233", "Shop", MessageType.TRANSACTION, Content(TEXT), 300)
    settings = SmppSettings()
    composer = Composer(settings, lambda: datetime.now(UTC))
    read = pdu.decode_deliver_sm(delivery[pdu.HEADER_OCTETS :])
    reader = pdu.FrameReader()
    many = range(IN_ONE_READ)

    parts = [
        figure("smpp_encode_submit_sm", lambda: [pdu.encode(4, n, pdu.encode_submit_sm(submit)) for n in many]),
        figure("smpp_decode_submit_sm_resp", lambda: [pdu.decode_message_id(i.body) for i in reader.feed(answers)]),
        figure("smpp_decode_deliver_sm", lambda: [pdu.decode_deliver_sm(i.body) for i in reader.feed(deliveries)]),
        figure("smpp_encode_deliver_sm_resp", lambda: [pdu.encode(pdu.DELIVER_SM_RESP, n, b"\0") for n in many]),
    ]
    print(json.dumps({"figure": "smpp_codec_message", "value": round(sum(parts), 2), "unit": "us"}))
    figure("smpp_compose_attempt", lambda: [composer.compose(attempt) for _ in many])
    figure("smpp_read_receipt", lambda: [read_receipt(read, settings) for _ in many])


if __name__ == "__main__":
    main()
