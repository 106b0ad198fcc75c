"""Every scenario runs, with numbers so small that its figures mean nothing."""

import asyncio
from pathlib import Path

import pytest

from bench import nodes
from bench.__main__ import SCENARIOS
from bench.figures import summary
from bench.scale import Scale

TINY = Scale(
    runs=1,
    calm_messages=5,
    calm_rate_per_s=500,
    steady_rate_per_s=200,
    steady_requests=20,
    single_requests=50,
    batched_messages=1_000,
    smpp_messages=200,
    webhook_messages=100,
    slow_messages=200,
    http_messages=100,
    waiting_messages=1_000,
    urgent_messages=3,
    idle_s=1.0,
)
HTTP_WALKS = ("telegram_bot", "viber_bot", "viber_business", "rcs_first", "rcs")
FIGURES = {
    "accept_to_provider_sms_p50",
    "accept_to_provider_sms_p99",
    "accept_to_provider_telegram_bot_p50",
    "accept_to_provider_telegram_bot_p99",
    "accept_at_200_per_s_p50",
    "accept_at_200_per_s_p99",
    *(f"delivery_{name}" for name in ("slow_smsc", "slow_smsc_4_binds", "slow_smsc_4_binds_of_25")),
    "waiting_start",
    "waiting_memory",
    "waiting_idle_cpu",
    "urgent_behind_promo_p50",
    "urgent_behind_promo_p99",
    *(
        f"other_account_{when}_{share}"
        for when in ("alone", "beside_promo", "beside_paced_promo")
        for share in ("p50", "p99")
    ),
    *(f"accept_batch_{batch}{kind}" for batch in (1, 100, 1000) for kind in ("", "_cpu")),
    *(
        f"delivery_{name}{kind}"
        for name in (
            "smpp",
            "smpp_wide",
            "smpp_with_receipts",
            "smpp_with_webhooks",
            "smpp_wide_with_webhooks",
            *HTTP_WALKS,
        )
        for kind in ("", "_cpu", "_provider_cpu")
    ),
    *(f"delivery_smpp_with_webhooks_on_postgres{kind}" for kind in ("", "_cpu", "_provider_cpu", "_postgres_cpu")),
    *(
        f"nodes_{engines}{kind}"
        for engines in ("1_engine", "2_engines")
        for kind in ("", "_cpu", "_doors_cpu", "_postgres_cpu", "_idle_cpu_each", "_idle_postgres_cpu")
    ),
    "nodes_2_engines_growth",
}


@pytest.mark.proof
@pytest.mark.timeout(300)  # a score of gateways, one after the other
async def test_every_scenario_gives_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "ENGINES", (1, 2))
    monkeypatch.setattr(nodes, "WARM_MESSAGES", 200)
    monkeypatch.setattr(nodes, "IDLE_S", 1.0)
    samples = await asyncio.gather(*(once(TINY, tmp_path / name) for name, once in SCENARIOS.items()))
    figures = summary(sample for some in samples for sample in some)
    assert {figure.figure for figure in figures} == FIGURES
    assert all(figure.value >= 0 or figure.unit == "%" for figure in figures)
