"""`cascade demo --once`: every sample ends as it should, and says how."""

from pathlib import Path

from bench.ports import free_ports

from .processes import run


def test_once_shows_a_cascade_of_each_type_and_ends_well(tmp_path: Path) -> None:
    port = free_ports(4)
    ended = run("demo", "--once", "--port", str(port), "--home", str(tmp_path))
    assert (ended.returncode, ended.stderr) == (0, "")
    for words in (
        "ready",
        f"http://127.0.0.1:{port}",
        f"http://127.0.0.1:{port}/docs",
        f"http://127.0.0.1:{port + 1}",
        f"127.0.0.1:{port + 2}",
        "transaction to +380501112233",
        "delivered by sms",
        "delivered by telegram_bot",
        "delivered by viber_bot",
        "delivered by rcs",
        "flashcall to +380504445566",
        "delivered by flashcall",
        f"curl -X POST http://127.0.0.1:{port}/api/CascadeMessage/send_message/async",
    ):
        assert words in ended.stdout
