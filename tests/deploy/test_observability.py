"""The dashboard and the alert rules speak of metrics that a gateway has, and the rules ring when they should."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from api.doors import opened
from cascade.core.words import Reason
from cascade.settings import Retention
from programs import program

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yaml"
DASHBOARD = DEPLOY / "grafana" / "cascade.json"
WATCHING = DEPLOY.parent / "docs" / "observability.md"
ON_DUTY = DEPLOY.parent / "docs" / "operations.md"
SOURCE = DEPLOY.parent / "src" / "cascade"
LOGGED = re.compile(r'log\.(\w+)\(\s*"([a-z_]+)"')
NAMED = re.compile(r"\b((?:cascade|process)_[a-z_]+)\b")
ONE_VALUE = re.compile(r"\b(cascade_[a-z_]+)\{([a-z]+=\"[a-z]+\")\}")
TYPED = re.compile(r"^# TYPE (\S+) (\S+)$", re.MULTILINE)
SUFFIXES = {"counter": [""], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"], "info": [""], "summary": [""]}


async def existing(home: Path) -> set[str]:
    """Every sample's name that `/metrics` declares, whether it was counted yet or not."""
    async with opened(home) as doors:
        text = (await doors.call("GET", "/metrics")).body.decode()
    return {name + suffix for name, kind in TYPED.findall(text) for suffix in SUFFIXES[kind]}


async def test_every_metric_named_exists_and_every_one_of_ours_is_explained(tmp_path: Path) -> None:
    known = await existing(tmp_path)
    panels = json.loads(DASHBOARD.read_text())["panels"]
    expressions = [one["expr"] for panel in panels for one in panel.get("targets", [])]
    assert len(expressions) > 20
    for source, text in (("dashboard", "\n".join(expressions)), ("rules", RULES.read_text())):
        named = set(NAMED.findall(text))
        assert len(named) > 5
        assert named - known == set(), source
    ours = {name for name in known if name.startswith("cascade_") and not name.endswith(("_created", "_sum", "_count"))}
    assert ours - set(NAMED.findall(WATCHING.read_text())) == set()


def test_a_counter_of_which_a_rule_wants_one_value_is_there_before_it_counts() -> None:
    """Of one that begins at one Prometheus sees no increase: the first event of all would ring no bell."""
    script = "import cascade.serve; from prometheus_client import generate_latest as said; print(said().decode())"
    fresh = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    wanted = {(name, label) for name, label in ONE_VALUE.findall(RULES.read_text()) if name.endswith("_total")}
    assert len(wanted) >= 3
    missing = [
        f"{name}{{{label}}}" for name, label in wanted if not re.search(f"^{name}{{.*{label}", fresh, re.MULTILINE)
    ]
    assert missing == []


def test_the_page_for_who_is_on_duty_names_every_error_of_the_log_and_no_event_that_there_is_not() -> None:
    """The sandbox has no operator."""
    modules = [path.read_text() for path in SOURCE.rglob("*.py") if "sandbox" not in path.parts]
    logged = {found for module in modules for found in LOGGED.findall(module)}
    rows = [line for line in ON_DUTY.read_text().splitlines() if line.startswith("| `")]
    told = {word for line in rows for word in re.findall("`([a-z]+_[a-z_]+)`", line.split("|")[1])}
    errors = {event for level, event in logged if level in ("error", "exception")}
    assert errors - told == set()
    others = {*Retention.model_fields, *Reason}
    assert told - {event for _, event in logged} - others == set()


def test_panels_lie_beside_each_other_on_the_dashboard() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


@pytest.mark.parametrize("command", [("check", "rules", "alerts.yaml"), ("test", "rules", "alerts_test.yaml")])
def test_promtool_agrees(command: tuple[str, ...]) -> None:
    promtool = [program("promtool"), *command]
    ended = subprocess.run(promtool, cwd=RULES.parent, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
