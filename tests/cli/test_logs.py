"""What the process logs of an exception, its own or a library's: the type and the place, never a value."""

import subprocess
import sys

import pytest

SECRETS = ("380501112233", "key-of-acme")
SCRIPT = """
import asyncio, logging, structlog
from cascade.cli import logs

def outer():
    try:
        raise KeyError("380501112233")
    except KeyError as error:
        raise RuntimeError("key-of-acme") from error

async def forgotten():
    outer()

async def main():
    asyncio.create_task(forgotten())
    await asyncio.sleep(0)

logs.configure("info", FORMAT)
try:
    outer()
except RuntimeError as error:
    structlog.get_logger().exception("loop_died", loop="receiver")
    structlog.get_logger().error("request_failed", exc_info=error)
    logging.getLogger("uvicorn.error").error("Exception in ASGI application\\n", exc_info=error)
asyncio.run(main())
"""


@pytest.mark.parametrize("format_", ["json", "text"])
def test_an_exception_shows_its_place_and_no_value(format_: str) -> None:
    script = SCRIPT.replace("FORMAT", repr(format_))
    log = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stderr
    assert log.count("RuntimeError: <string>:") == log.count("; after KeyError: <string>:7:outer") == 4
    for word in ("loop_died", "request_failed", "Exception in ASGI application", "Task exception was never retrieved"):
        assert word in log
    for secret in SECRETS:
        assert secret not in log
