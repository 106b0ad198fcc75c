"""What validation costs: CPU per message of `parse_batch`, in batches of 1,000 as clients are advised to send.

Run with `python -m bench.validation`. Each figure is the best of several rounds, with the collector as the server sets
it: the program frozen, the threshold raised.
"""

import contextlib
import gc
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from cascade.api.faults import InvalidRequest
from cascade.api.message_in import Limits, parse_batch

BATCH = 1_000
ROUNDS = 60
NOW_MS = 1_750_000_000_000
LATER = (datetime.fromtimestamp(NOW_MS / 1000, UTC) + timedelta(hours=2)).isoformat()
TEXT = "Your order #12345 has been confirmed and will arrive tomorrow."


def message(number: int, **fields: Any) -> dict[str, Any]:
    plain = {"id": f"order-{number}", "fromName": "YourStore", "toPhone": f"+38050{number:07d}", "text": TEXT}
    return plain | {"messageType": "transaction", "ttl": 86_400} | fields


WORKLOADS: dict[str, Callable[[int], dict[str, Any]]] = {
    "plain": message,
    "extra_field": lambda number: message(number, customerData="x"),
    "alias": lambda number: {("recipient" if k == "toPhone" else k): v for k, v in message(number).items()},
    "scheduled": lambda number: message(number, messageType="promo", scheduledSent=LATER),
    "promo_with_media": lambda number: message(
        number,
        messageType="promo",
        media={"image": "https://example.com/sale.png"},
        button={"text": "Shop", "url": "https://example.com/sale"},
    ),
    "survey": lambda number: message(number, messageType="viber_survey", surveyOptions=["Yes", "No", "Perhaps"]),
    "all_refused": lambda number: message(number, toPhone="380501112233"),
}


def cpu_us(body: bytes) -> float:
    """The best round's CPU time, in microseconds a message."""
    best_ns = float("inf")
    for _ in range(ROUNDS):
        begun_ns = time.process_time_ns()
        with contextlib.suppress(InvalidRequest):
            parse_batch(body, route="standard", now_ms=NOW_MS, limits=Limits())
        best_ns = min(best_ns, time.process_time_ns() - begun_ns)
    return best_ns / 1_000 / BATCH


def main() -> None:
    gc.freeze()
    gc.set_threshold(50_000)
    for name, make in WORKLOADS.items():
        body = json.dumps([make(number) for number in range(BATCH)]).encode()
        figure = {"figure": f"validation_{name}", "value": round(cpu_us(body), 2), "unit": "us_cpu_per_message"}
        print(json.dumps(figure), flush=True)


if __name__ == "__main__":
    main()
