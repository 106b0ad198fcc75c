"""How much is measured: one place for all counts, so that the whole command has a known length."""

from typing import NamedTuple


class Scale(NamedTuple):
    """Counts of one run. `calm_rate_per_s`: how many single messages a second an idle gateway is given."""

    runs: int
    calm_messages: int
    calm_rate_per_s: float
    single_requests: int
    batched_messages: int
    smpp_messages: int
    telegram_messages: int


FULL = Scale(3, 250, 50.0, 12_000, 100_000, 40_000, 10_000)
QUICK = Scale(1, 100, 50.0, 2_000, 20_000, 5_000, 2_000)
