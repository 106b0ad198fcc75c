"""Settings that cannot work stop the start, and say which and why."""

import pytest

from cascade.channels.smpp.settings import SmppSettings
from cascade.channels.smpp.transport import SmppTransport
from cascade.core.errors import ConfigError

WRONG = {  # setting, value, what the error names
    "a system_id too long": ("system_id", "x" * 16, "smpp.system_id"),
    "a password with a NUL": ("password", "a\0b", "smpp.password"),
    "a system_type that is not ASCII": ("system_type", "Ж", "smpp.system_type"),
    "no window": ("window", 0, "smpp.window"),
    "more parts than a header can count": ("max_parts", 256, "smpp.max_parts"),
    "no response time": ("response_timeout_s", 0, "smpp.response_timeout_s"),
    "a response time that outlasts a lease": ("response_timeout_s", 31, "smpp.response_timeout_s"),
    "a default that is no sender": ("default_sender", "Магазин", "smpp.senders"),
    "a map to what is no sender": ("senders", {"Shop": "a name far too long"}, "smpp.senders"),
}


@pytest.mark.parametrize(("name", "value", "setting"), WRONG.values(), ids=WRONG)
def test_a_wrong_setting_is_named(name: str, value: object, setting: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SmppSettings(**{name: value})  # type: ignore[arg-type]
    assert caught.value.setting == setting


def test_the_defaults_work_and_a_long_password_is_no_fault() -> None:
    assert SmppSettings(password="longer than eight").window == 10


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(SmppSettings(password="secret"))


def test_a_ca_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"smpp\.tls_ca_file"):
        SmppTransport(SmppSettings(tls=True, tls_ca_file="/nowhere.pem"))
