"""Ends the gateway at random moments, mostly by `kill -9`, and starts it again."""

import asyncio
import random
import time
from collections.abc import Callable

from bench.gateway import Gateway
from cascade.serve import now_ms

AT_START_SHARE = 0.15
STOP_SHARE = 0.3
LONGEST_LIFE_S = 5.0
LONGEST_START_S = 0.8
LONGEST_DRAIN_S = 10.0


class Killer:
    """`away` lists when the gateway was away; `restarts_s` how long the starts took that were let finish."""

    def __init__(self, gateway: Gateway, seed: int, report: Callable[[str], None]) -> None:
        self.away: list[tuple[int, int]] = []
        self.restarts_s: list[float] = []
        self.drains_s: list[float] = []
        self.kills = 0
        self.bad_stops: list[str] = []
        self._gateway = gateway
        self._chance = random.Random(f"kills {seed}")
        self._report = report
        self._gone_at_ms: int | None = None

    async def run(self, kills: int) -> None:
        """Until that many kills are done; the gateway runs then."""
        while self.kills < kills:
            if self._chance.random() < AT_START_SHARE:
                await asyncio.sleep(self._chance.uniform(0, LONGEST_START_S))
            else:
                await self._until_ready()
                await asyncio.sleep(self._chance.uniform(0.1, LONGEST_LIFE_S))
                if self._chance.random() < STOP_SHARE:
                    await self._stop()
                    continue
            await self._kill("running")
        await self._until_ready()

    async def _stop(self) -> None:
        """SIGTERM; every second time the drain itself is killed."""
        self._went()
        if self._chance.random() < 0.5:
            self._gateway.signal_stop()
            await asyncio.sleep(self._chance.uniform(0, 0.5))
            await self._kill("draining")
            return
        code, elapsed_s = await self._gateway.terminate()
        self.drains_s.append(elapsed_s)
        if code != 0 or elapsed_s > LONGEST_DRAIN_S:
            self.bad_stops.append(f"exit code {code} after {elapsed_s:.1f} s")
        await self._spawn()

    async def _kill(self, doing: str) -> None:
        self._went()
        await self._gateway.kill()
        self.kills += 1
        self._report(f"kill {self.kills} while {doing}")
        await self._spawn()

    async def _spawn(self) -> None:
        self._spawned_s = time.perf_counter()
        await self._gateway.spawn()

    async def _until_ready(self) -> None:
        if self._gone_at_ms is None:
            return
        await self._gateway.ready()
        self.restarts_s.append(time.perf_counter() - self._spawned_s)
        self.away.append((self._gone_at_ms, now_ms()))
        self._gone_at_ms = None

    def _went(self) -> None:
        if self._gone_at_ms is None:
            self._gone_at_ms = now_ms()
