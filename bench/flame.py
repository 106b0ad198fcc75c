"""`make profile`: a flame graph of the whole walk, as a picture to open in a browser.

`python -m bench.flame [--walk smpp|webhooks|single] [--out FILE]`. py-spy looks at the gateway from outside, 500 times
a second, so the walk is as fast as it is without. It needs the right to trace another process: root, or a Linux with
`kernel.yama.ptrace_scope = 0`.
"""

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from bench import traffic
from bench.far_end import FarEnd, far_end
from bench.gateway import Gateway, require_command
from bench.http_client import ask_all

SPY = Path(sys.executable).with_name("py-spy")
SAMPLES_PER_S = 500
LOOKING_S = 2.0
LONGEST_S = 300.0
CONNECTIONS = 4


async def _smpp(gateway: Gateway, providers: FarEnd) -> None:
    await ask_all(gateway.port, list(traffic.batches(gateway.key, 50_000, 1_000)), CONNECTIONS)
    await gateway.until_metric("cascade_attempts_total", 50_000, LONGEST_S, channel="sms", mark="accepted")


async def _webhooks(gateway: Gateway, providers: FarEnd) -> None:
    await traffic.listen(gateway, providers.ports.webhook)
    await ask_all(gateway.port, list(traffic.batches(gateway.key, 20_000, 1_000)), CONNECTIONS)
    told = -1  # the test event
    async with asyncio.timeout(LONGEST_S):
        while told < 20_000:
            told += len(providers.arrivals_ns().webhook)
            await asyncio.sleep(0.1)


async def _single(gateway: Gateway, providers: FarEnd) -> None:
    await ask_all(gateway.port, list(traffic.batches(gateway.key, 30_000, 1)), 64)


WALKS: dict[str, tuple[str, Callable[[Gateway, FarEnd], Awaitable[None]]]] = {
    "smpp": ("none", _smpp),
    "webhooks": ("every", _webhooks),
    "single": ("none", _single),
}


async def profile(walk: str, out: Path, home: Path) -> None:
    receipts, walk_along = WALKS[walk]
    with far_end() as providers:
        gateway = Gateway(home, traffic.settings(providers.ports, receipts=receipts))
        await gateway.prepare({})
        await gateway.start()
        try:
            spy = await asyncio.create_subprocess_exec(
                *(SPY, "record", "--rate", str(SAMPLES_PER_S), "--duration", str(int(LONGEST_S))),
                *("--output", out, "--pid", str(gateway.pid)),
                stdout=asyncio.subprocess.DEVNULL,
            )
            await asyncio.sleep(LOOKING_S)
            if spy.returncode is not None:
                raise RuntimeError("py-spy may not look at the gateway: run it as root")
            await walk_along(gateway, providers)
            spy.send_signal(signal.SIGINT)
            await spy.wait()
        finally:
            await gateway.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.flame")
    parser.add_argument("--walk", choices=WALKS, default="smpp")
    parser.add_argument("--out", type=Path, default=Path("profile.svg"))
    given = parser.parse_args()
    require_command()
    if shutil.which(SPY) is None:
        raise FileNotFoundError(f"{SPY} is missing: run `make install`")
    with (
        tempfile.TemporaryDirectory(prefix="cascade-profile-", ignore_cleanup_errors=True) as home,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(profile(given.walk, given.out.resolve(), Path(home)))
    print(given.out)


if __name__ == "__main__":
    main()
