"""A campaign from its beginning to its end: looked at, asked about, sent, and gone on with where it broke off."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import typer

from cascade.cli import meter, output
from cascade.cli.campaign import plan as plans
from cascade.cli.campaign import run
from cascade.cli.campaign.journal import Journal, open_journal
from cascade.cli.campaign.people import People
from cascade.cli.campaign.plan import Plan
from cascade.cli.campaign.report import Report
from cascade.cli.campaign.run import Foreseen
from cascade.cli.gateway import gateway, moment
from cascade.cli.meter import Meter
from cascade.client import CascadeMessenger, Retries
from cascade.core.errors import ConfigError

PATIENT: Final = Retries(most=40, longest_s=30.0, patience_s=600.0)
"""A campaign outlives a restart of the gateway."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the refused rows go, and what was sent."""

    report: Path
    journal: Path


@dataclass(frozen=True, slots=True)
class Choices:
    """`skips_refused`: the others are sent although some are refused. `is_dry`: nothing is sent. `is_sure`: nobody is
    asked."""

    skips_refused: bool
    is_dry: bool
    is_sure: bool
    is_json: bool


def conduct(
    people: People, about: dict[str, Any], places: Places, choices: Choices, url: str | None, key: str | None
) -> None:
    with gateway(url, key, PATIENT) as messenger, _report(places.report, people) as report:
        about["gateway"] = messenger.base_url
        if choices.is_dry:
            plan = _plan(people, about, moment("--at", about["at"], is_ahead=True))
            foreseen = _foresee(people, plan, messenger, report)
            _tell_foreseen(foreseen, plan, report, choices)
            raise typer.Exit(1 if report.count else 0)
        with open_journal(places.journal) as journal:
            plan = _begin(people, about, journal, messenger, report, choices)
            _send(people, plan, messenger, journal, report)
            _tell_sent(plan, journal, report, choices)


@contextmanager
def _report(path: Path, people: People) -> Iterator[Report]:
    report = Report(path, people.columns)
    try:
        yield report
    finally:
        report.close()


def _plan(people: People, about: Mapping[str, Any], when: datetime | None) -> Plan:
    """`when`: the hour, where one is given; a span counts from the beginning of the campaign."""
    given = {"messageType": "promo", **about["message"]}
    templates = plans.templates_of(given, about["map"], people.columns)
    if when is not None:
        templates["scheduledSent"] = (when.isoformat(),)
    for name, option in (("fromName", "--from"), ("text", "TEXT")):
        if name not in templates and not (name == "text" and given["messageType"] == "flashcall"):
            raise ConfigError(option, "it is missing", f"Give {option}, or --map it to a column")
    templates["tags"] = list(dict.fromkeys([about["campaign"], *(templates.get("tags") or ()), *about["tags"]]))
    digest = plans.digest_of(about)
    repeats_phones = about.get("repeats_phones", False)
    return Plan(
        about["campaign"], digest, len(people.columns), templates, about["country"], about["via"], repeats_phones
    )


def _begin(
    people: People,
    about: dict[str, Any],
    journal: Journal,
    messenger: CascadeMessenger,
    report: Report,
    choices: Choices,
) -> Plan:
    """What is to be sent: begun now, or by an earlier run that broke off."""
    if journal.head is not None:
        when = journal.head["when"]
        plan = _plan(people, about, None if when is None else datetime.fromisoformat(when))
        _check_same(journal, about)
        if journal.finished_at is not None:
            sentence = f"{people.path} was sent to its end at {journal.finished_at:%Y-%m-%d %H:%M} UTC. Nothing is sent"
            output.errors.print(f"{sentence} again; --campaign NAME begins another one.", highlight=False, markup=False)
            _tell_sent(plan, journal, report, choices)
            raise typer.Exit(0)
        report.go_on()
        done = f"going on after row {journal.sent_rows:,} of {journal.head['rows']:,}"
        output.errors.print(done, highlight=False, markup=False)
        return plan
    begun_at = journal.now()
    when = moment("--at", about["at"], is_ahead=True)
    plan = _plan(people, about, when)
    foreseen = _foresee(people, plan, messenger, report)
    if report.count and not choices.skips_refused:
        _tell_foreseen(foreseen, plan, report, choices)
        output.errors.print("Nothing was sent. Mend them, or send the others: --skip-refused", markup=False)
        raise typer.Exit(1)
    if foreseen.good == 0:
        raise ConfigError("--csv", f"{people.path} holds nobody to send to", f"See {report.path}, or the file")
    if not choices.is_sure:
        _ask(foreseen, plan, report, choices)
    if not people.is_same():
        raise ConfigError("--csv", f"{people.path} was changed while it was read", "Start again when it is done")
    journal.begin(
        {
            "about": about,
            "digest": plan.digest,
            "rows": foreseen.rows,
            "begunAt": begun_at.isoformat(),
            "when": None if when is None else when.isoformat(),
        }
    )
    return plan


def _check_same(journal: Journal, about: dict[str, Any]) -> None:
    earlier: dict[str, Any] = (journal.head or {})["about"]
    differ = [name for name in about | earlier if about.get(name) != earlier.get(name)]
    if differ:
        raise ConfigError(
            "--journal",
            f"{journal.path} is of a campaign that differs in: {', '.join(differ)}",
            "To go on with that one, ask for the same; to begin another, give it a name: --campaign NAME",
        )


def _foresee(people: People, plan: Plan, messenger: CascadeMessenger, report: Report) -> Foreseen:
    report.begin_anew()
    bar = Meter("checking", people.size_bytes, "bytes")
    with meter.shown(bar, output.errors) as at:
        return run.foresee(people, plan, messenger, report, lambda rows: at(people.read_bytes))


def _send(people: People, plan: Plan, messenger: CascadeMessenger, journal: Journal, report: Report) -> None:
    assert journal.head is not None  # noqa: S101 - it was begun
    bar = Meter("sending", journal.head["rows"], "rows", journal.sent_rows)
    with meter.shown(bar, output.errors) as at:
        try:
            run.send(people, plan, messenger, journal, report, at)
        except BaseException:
            place = f"{journal.sent_rows:,} of {journal.head['rows']:,}"
            output.errors.print(f"Stopped after row {place}. The same command goes on from there.", highlight=False)
            if journal.accepted:
                stop = f"What was sent goes out all the same; cascade tags cancel {plan.name} stops what has not begun."
                output.errors.print(stop, highlight=False, markup=False)
            raise


def _ask(foreseen: Foreseen, plan: Plan, report: Report, choices: Choices) -> None:
    if not sys.stdin.isatty():
        raise ConfigError(
            "--yes", "nobody is there to be asked", "Give it to send, or --dry-run to see what would happen"
        )
    _tell_foreseen(foreseen, plan, report, choices)
    typer.confirm("Send?", abort=True, err=True)


def _tell_foreseen(foreseen: Foreseen, plan: Plan, report: Report, choices: Choices) -> None:
    value = {
        "campaign": plan.prefix,
        "rows": foreseen.rows,
        "good": foreseen.good,
        "refused": report.count,
        "report": str(report.path) if report.count else None,
        "costLow": str(foreseen.cost_low),
        "costHigh": str(foreseen.cost_high),
        "currency": foreseen.currency,
        "firstChannels": dict(foreseen.first_channels),
        "smsParts": dict(sorted(foreseen.sms_parts.items())),
    }
    if choices.is_json:
        output.as_json(value)
        return
    first = ", ".join(f"{count:,} by {channel}" for channel, count in foreseen.first_channels.most_common())
    lines = [f"{foreseen.good:,} of {foreseen.rows:,} rows can be sent; tried first: {first or 'nobody'}"]
    if set(foreseen.sms_parts) - {1}:
        parts = ", ".join(f"{count:,} in {parts}" for parts, count in sorted(foreseen.sms_parts.items()))
        lines.append(f"where it comes to an SMS, by its parts: {parts}")
    lines.append(f"cost {foreseen.cost_low} to {foreseen.cost_high} {foreseen.currency}")
    if report.count:
        lines.append(f"{report.count:,} refused, with reasons: {report.path}")
    output.say("\n".join(lines))


def _tell_sent(plan: Plan, journal: Journal, report: Report, choices: Choices) -> None:
    value = {
        "campaign": plan.prefix,
        "tag": plan.name,
        "rows": (journal.head or {})["rows"],
        "accepted": journal.accepted,
        "refused": journal.refused,
        "report": str(report.path) if journal.refused else None,
        "journal": str(journal.path),
    }
    if choices.is_json:
        output.as_json(value)
        return
    output.say(f"{journal.accepted:,} accepted, {journal.refused:,} refused")
    if journal.refused:
        output.say(f"refused, with reasons: {report.path}")
    output.say(f"how they do: cascade tags progress {plan.name}")
