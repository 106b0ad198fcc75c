"""A measured figure with its spread, and the machine it was measured on."""

import os
import platform
import sqlite3
import statistics
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

REPOSITORY = Path(__file__).parents[1]


class Sample(NamedTuple):
    """What one run gave."""

    figure: str
    value: float
    unit: str


class Figure(NamedTuple):
    """The median of several runs; `spread` is the lowest and the highest of them."""

    figure: str
    value: float
    unit: str
    spread: tuple[float, float]
    runs: int


def summary(samples: Iterable[Sample]) -> list[Figure]:
    """One figure a name, in the order in which the names first came."""
    runs: dict[tuple[str, str], list[float]] = {}
    for name, value, unit in samples:
        runs.setdefault((name, unit), []).append(value)
    return [
        Figure(name, _round(statistics.median(values)), unit, (_round(min(values)), _round(max(values))), len(values))
        for (name, unit), values in runs.items()
    ]


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(-int(-share * len(ordered) // 1) - 1, 0)]


def machine(store: Path) -> dict[str, Any]:
    """What a figure depends on. `load` is the one-minute average before the first run: above 0.5, others were at it."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "filesystem": _filesystem(store),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "commit": _commit(),
        "load": round(os.getloadavg()[0], 2),
    }


def _round(value: float) -> float:
    return round(value, 2) if abs(value) < 100 else float(round(value))


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _filesystem(path: Path) -> str:
    """The kind of file system that `path` lies on: on tmpfs an fsync costs nothing."""
    return _said("findmnt", "--noheadings", "--output", "FSTYPE", "--target", str(path))


def _commit() -> str:
    commit = _said("git", "--no-optional-locks", "-C", str(REPOSITORY), "rev-parse", "--short", "HEAD")
    is_changed = _said("git", "--no-optional-locks", "-C", str(REPOSITORY), "status", "--porcelain", "--", "src") != ""
    return f"{commit} and uncommitted changes" if is_changed else commit


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
