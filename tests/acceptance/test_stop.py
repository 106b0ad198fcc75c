"""A stop asked for by SIGTERM is quick and orderly, and a start after it goes on where it was."""

from pathlib import Path

import requests

from bench.ports import free_ports

from .processes import HOST, STOP_S, City, add_account, cascade, gateway_settings, sandbox

MESSAGES = 300
"""Three seconds' worth, at the rate of the link, which lets the first hundred go at once."""


def test_a_demo_stops_at_once(city: City) -> None:
    code, took_s = city.process.stop()
    assert (code, city.process.log) == (0, "")
    assert took_s < STOP_S


def test_a_gateway_stopped_in_the_middle_of_a_campaign_loses_and_repeats_nothing(tmp_path: Path) -> None:
    port = free_ports(1)
    phones = {f"+38067{number:07}": f"Message {number}" for number in range(MESSAGES)}
    key = add_account(tmp_path)
    with sandbox(tmp_path / "sandbox", port, key) as (sandbox_url, smsc_port):
        settings = gateway_settings(tmp_path, port, sandbox_url, smsc_port) | {"CASCADE_SMPP__RATE_PER_S": "100"}
        with cascade(tmp_path / "first", "serve", **settings) as process:
            process.wait_for("gateway_ready")
            process.wait_for("bind_established")
            city = City(process, f"http://{HOST}:{port}", sandbox_url, key)
            ids = city.send(*(promo(phone, text) for phone, text in phones.items()))
            code, took_s = process.stop()
            assert code == 0
            assert took_s < STOP_S
            assert '"gateway_stopped"' in process.log
        assert 0 < sum(bool(city.inbox(phone)) for phone in phones) < MESSAGES
        with cascade(tmp_path / "second", "serve", **settings) as process:
            process.wait_for("gateway_ready")
            for message_id in ids:
                assert city.until(message_id, "delivered", within_s=30)["deliverystatus"] == "delivered"
            process.stop()
        for phone, text in phones.items():
            assert [received["text"] for received in city.inbox(phone)] == [text]


def test_a_gateway_that_leaves_is_not_ready_and_answers_whoever_still_comes(tmp_path: Path) -> None:
    port = free_ports(1)
    key = add_account(tmp_path)
    with sandbox(tmp_path / "sandbox", port, key) as (sandbox_url, smsc_port):
        settings = gateway_settings(tmp_path, port, sandbox_url, smsc_port) | {"CASCADE_HTTP__LEAVE_S": "15"}
        with cascade(tmp_path / "gateway", "serve", **settings) as process:
            process.wait_for("gateway_ready")
            city = City(process, f"http://{HOST}:{port}", sandbox_url, key)
            process.popen.terminate()
            while requests.get(f"{city.gateway}/health/ready", timeout=10).status_code == 200:
                pass
            assert len(city.send(promo("+380670000001", "Message"))) == 1
            code, _ = process.stop()  # asked a second time, it goes at once
            assert code == 0


def promo(phone: str, text: str) -> dict[str, str]:
    return {"id": text, "fromName": "Shop", "toPhone": phone, "messageType": "promo", "text": text}
