"""The three client programs printed in the public documentation work when only their base URL is changed."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .processes import City, environment

CLIENTS = Path(__file__).parent / "seed_clients"
NPM = Path(__file__).parents[2] / "build" / "npm-axios"
ORDER_PHONE = "+380501112233"
BULK = {f"+38011111111{number}": f"Message {number}" for number in range(100)}
WITHIN_S = 20.0


def python() -> list[str]:
    return [sys.executable, str(CLIENTS / "client.py")]


def node() -> list[str]:
    """Node looks for axios beside the program, so the program is copied to where npm puts it."""
    if shutil.which("npm") is None:
        pytest.skip("npm is missing: install Node.js to run the client with axios")
    NPM.mkdir(parents=True, exist_ok=True)
    with (NPM / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.copy(CLIENTS / "client.mjs", NPM)
        shutil.copy(CLIENTS / "package.json", NPM)
        if not (NPM / "node_modules" / "axios").is_dir():
            subprocess.run(["npm", "install", "--no-audit", "--no-fund"], cwd=NPM, check=True, capture_output=True)
    return ["node", str(NPM / "client.mjs")]


def php() -> list[str]:
    if not has_php_curl():
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            pytest.skip("PHP with curl is missing: install php-cli and php-curl, or run this as root on Debian")
        quietly = dict(os.environ) | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], env=quietly, check=True, capture_output=True)
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "php-cli", "php-curl"]
        subprocess.run(install, env=quietly, check=True, capture_output=True)
    return ["php", str(CLIENTS / "client.php")]


def has_php_curl() -> bool:
    if shutil.which("php") is None:
        return False
    return "curl" in subprocess.run(["php", "-m"], check=True, capture_output=True, text=True).stdout.split()


@pytest.mark.parametrize("client", [python, node, php], ids=["Python requests", "Node axios", "PHP curl"])
def test_a_client_of_the_public_api_reaches_everyone(client: Callable[[], list[str]], city: City) -> None:
    program = client()
    variables = environment({"CASCADE_BASE_URL": city.gateway})
    ended = subprocess.run(program, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    (message_id,) = re.findall(r"^Message ID: ([0-9a-f-]{36})$", ended.stdout, re.MULTILINE)
    assert "Sent 100 messages" in ended.stdout
    status = city.until(message_id, "delivered", within_s=WITHIN_S)
    assert (status["trackinId"], status["channel"]) == ("order-12345", "viber_business")
    assert [received["text"] for received in city.inbox(ORDER_PHONE)] == ["Your order has been confirmed"]
    deadline = time.monotonic() + WITHIN_S
    missing = dict(BULK)
    while missing:
        assert time.monotonic() < deadline, missing
        for phone, text in list(missing.items()):
            received = city.inbox(phone)
            if received:
                assert [one["text"] for one in received] == [text]
                del missing[phone]
