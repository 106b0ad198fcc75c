"""What an orchestrator and Prometheus ask."""

import dataclasses

from prometheus_client.parser import text_string_to_metric_families

from cascade.core.words import Channel
from cascade.store import accounts

from .doors import TELEGRAM, VIBER, Doors


async def test_a_running_gateway_is_live_and_ready_for_anyone_who_asks(doors: Doors) -> None:
    for path, word in (("/health/live", "live"), ("/health/ready", "ready")):
        answer = await doors.call("GET", path, headers={})
        assert (answer.status, answer.json) == (200, {"status": word})


async def test_a_monitor_may_ask_without_wanting_a_body(doors: Doors) -> None:
    for path in ("/health/live", "/health/ready"):
        answer = await doors.call("HEAD", path, headers={})
        assert (answer.status, answer.body) == (200, b""), path


async def test_while_the_engine_starts_or_stops_it_is_live_and_not_ready(doors: Doors) -> None:
    doors.replace_parts(dataclasses.replace(doors.parts, is_ready=lambda: False))
    ready = await doors.call("GET", "/health/ready", headers={})
    assert (ready.status, ready.error["code"], ready.headers["Retry-After"]) == (503, "UNAVAILABLE", "1")
    assert (await doors.call("GET", "/health/live", headers={})).status == 200


async def test_metrics_can_be_read_by_prometheus_and_name_nobody(city: Doors) -> None:
    await city.people("+380501112233", sms="delivers")
    await city.until(await city.send_one(toPhone="+380501112233"), "delivered")
    answer = await city.call("GET", "/metrics", headers={})
    families = {family.name for family in text_string_to_metric_families(answer.body.decode())}
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert families >= {
        "cascade_messages_accepted",
        "cascade_messages_finished",
        "cascade_requests_refused",
        "cascade_attempts",
        "cascade_receipts",
        "cascade_link_up",
        "cascade_link_in_flight",
    }
    assert b"380501112233" not in answer.body


async def test_a_bot_that_was_removed_is_no_link_that_is_down(doors: Doors) -> None:
    """Or who is on duty would be called for it until the next start."""
    gone, other = doors.bot(Channel.TELEGRAM_BOT, TELEGRAM), doors.bot(Channel.VIBER_BOT, VIBER)
    async with doors.gateway.database.transaction() as tx:
        await accounts.remove_bot(tx, gone.account_id, gone.link)
    await doors.gateway.refresh()
    shown = (await doors.call("GET", "/metrics", headers={})).body.decode()
    assert f'cascade_link_up{{link="{gone.link}"}}' not in shown
    assert f'cascade_link_up{{link="{other.link}"}}' in shown
