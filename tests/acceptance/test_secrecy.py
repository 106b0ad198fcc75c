"""A busy gateway's whole log, at its most talkative, holds no secret and no phone."""

from pathlib import Path

import requests

from bench.ports import free_ports

from .processes import (
    FINAL,
    HOST,
    SEND,
    SMPP_PASSWORD,
    TELEGRAM,
    VIBER,
    City,
    add_account,
    cascade,
    gateway_settings,
    run,
    sandbox,
)

BEHAVIOURS = ("delivers", "blocked", "rejects", "throttled", "down", "answer_lost", "repeats")
TEXT = "Your code is 918273"


def test_nothing_secret_is_logged(tmp_path: Path) -> None:
    port = free_ports(1)
    key = add_account(tmp_path)
    with sandbox(tmp_path / "sandbox", port, key) as (sandbox_url, smsc_port):
        settings = gateway_settings(tmp_path, port, sandbox_url, smsc_port) | {
            "CASCADE_ROUTES": '{"standard": %s, "tg-viber": %s}' % ((STEPS,) * 2)
        }
        for channel, token in (("telegram_bot", TELEGRAM), ("viber_bot", VIBER)):
            assert run("bot", "add", "acme", channel, **settings, CASCADE_BOT_TOKEN=token).returncode == 0
        with cascade(tmp_path / "gateway", "serve", **settings) as process:
            process.wait_for("webhook_set")
            city = City(process, f"http://{HOST}:{port}", sandbox_url, key)
            phones = fill(city)
            misbehave(city)
            process.stop()
            log = process.log
    assert log.count("\n") > 10
    assert '"answer_lost"' in log
    for secret in (key, TELEGRAM, VIBER, SMPP_PASSWORD, TEXT, "918273", *phones, "nobodys-key"):
        assert secret.removeprefix("+") not in log


STEPS = '[{"channel": "telegram_bot", "window_s": 1}, {"channel": "viber_bot", "window_s": 1}, {"channel": "sms"}]'


def fill(city: City) -> list[str]:
    """Send to people of every kind, until each has an end; their phones."""
    phones = [f"+38063555{number:04}" for number in range(3 * len(BEHAVIOURS))]
    ids = []
    for number, phone in enumerate(phones):
        channel = ("telegram_bot", "viber_bot", "sms")[number % 3]
        behaviour = BEHAVIOURS[number // 3]
        city.people(phone, **{channel: behaviour})
        ids += city.send(
            {"id": phone, "fromName": "Bank", "toPhone": phone, "messageType": "promo", "text": TEXT, "ttl": 5}
        )
    for message_id in ids:
        city.until(message_id, *FINAL, within_s=20)
    return phones


def misbehave(city: City) -> None:
    """What strangers send: wrong keys, broken bodies, forged callbacks."""
    url = city.gateway
    body = f'[{{"toPhone": "+380635550001", "text": "{TEXT}"'.encode()
    assert requests.post(url + SEND, data=body, headers=city.auth, timeout=10).status_code == 400
    assert (
        requests.post(url + SEND, data=body, headers={"X-Authorization-Key": "nobodys-key"}, timeout=10).status_code
        == 401
    )
    assert requests.post(f"{url}/api/tg_bot/{TELEGRAM}", data=body, headers=city.auth, timeout=10).status_code == 400
    assert requests.post(f"{url}/callbacks/viber_bot.2", data=body, timeout=10).status_code == 403
