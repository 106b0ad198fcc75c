"""How much is measured: one place for all counts, so that the whole command has a known length."""

from typing import NamedTuple


class Scale(NamedTuple):
    """Counts of one run. `calm_rate_per_s`: how many single messages a second an idle gateway is given; `steady_…`:
    single requests at a steady pace. `waiting_messages` stand in the queue: for `idle_s` nothing happens, then
    `urgent_messages` go past them."""

    runs: int
    calm_messages: int
    calm_rate_per_s: float
    steady_rate_per_s: float
    steady_requests: int
    single_requests: int
    batched_messages: int
    smpp_messages: int
    webhook_messages: int
    slow_messages: int
    http_messages: int
    waiting_messages: int
    urgent_messages: int
    idle_s: float


FULL = Scale(3, 250, 50.0, 200.0, 1_000, 12_000, 100_000, 40_000, 20_000, 20_000, 20_000, 1_000_000, 100, 20.0)
QUICK = Scale(1, 100, 50.0, 200.0, 200, 2_000, 20_000, 5_000, 2_000, 5_000, 2_000, 20_000, 20, 5.0)
