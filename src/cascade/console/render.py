"""Jinja's environment, and how numbers, money and times are written."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined

from cascade.console import charts, words
from cascade.core.prices import written
from cascade.core.times import iso

STATIC: Final = Path(__file__).with_name("static")
THIN: Final = "\N{NARROW NO-BREAK SPACE}"
NONE: Final = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Formats:
    """As one language and time zone write them."""

    language: str
    zone: ZoneInfo
    currency: str
    now_ms: int

    def _t(self, key: str, **values: object) -> str:
        return words.say(self.language, key, **values)

    def number(self, value: float | None) -> str:
        if value is None:
            return NONE
        text = f"{value:,.1f}" if value != int(value) and value < 100 else f"{value:,.0f}"
        return text.replace(",", THIN).replace(".", self._t("format.point"))

    def share(self, part: float, whole: float) -> str:
        if not whole:
            return NONE
        percent = 100 * part / whole
        text = f"{percent:.0f}" if percent in (0, 100) or 10 <= percent < 99.5 else f"{percent:.1f}"
        return f"{text.replace('.', self._t('format.point'))}{THIN}%"

    def money(self, micros: int | None) -> str:
        """To the cent, or as fine as it is when it is less than a unit."""
        if micros is None:
            return NONE
        text = written(abs(micros)) if abs(micros) < 1_000_000 else f"{abs(micros) / 1_000_000:,.2f}".replace(",", THIN)
        sign = "\N{MINUS SIGN}" if micros < 0 else ""
        return f"{sign}{text.replace('.', self._t('format.point'))}{THIN}{self.currency}"

    def duration(self, ms: float | None) -> str:
        if ms is None:
            return NONE
        if ms < 1_000:
            return f"{round(ms)}{THIN}{self._t('unit.ms')}"
        s = ms / 1_000
        if s < 10:
            return f"{f'{s:.1f}'.replace('.', self._t('format.point'))}{THIN}{self._t('unit.s')}"
        if s < 120:
            return f"{s:.0f}{THIN}{self._t('unit.s')}"
        if s < 7_200:
            return f"{s / 60:.0f}{THIN}{self._t('unit.min')}"
        if s < 172_800:
            return f"{s / 3_600:.0f}{THIN}{self._t('unit.h')}"
        return f"{s / 86_400:.0f}{THIN}{self._t('unit.d')}"

    def when(self, ms: int | None) -> str:
        """Day and time; of today the time alone."""
        if ms is None:
            return NONE
        at = datetime.fromtimestamp(ms / 1_000, self.zone)
        if at.date() == datetime.fromtimestamp(self.now_ms / 1_000, self.zone).date():
            return f"{at:%H:%M:%S}"
        return f"{at:%Y-%m-%d %H:%M}"

    def clock(self, ms: int, since_ms: int | None = None) -> str:
        """To the millisecond; with its day when that is another one than at `since_ms`."""
        at = datetime.fromtimestamp(ms / 1_000, self.zone)
        is_another_day = (
            since_ms is not None and at.date() != datetime.fromtimestamp(since_ms / 1_000, self.zone).date()
        )
        return f"{at:%Y-%m-%d %H:%M:%S.%f}"[0 if is_another_day else 11 : -3]

    def day(self, ms: int | None) -> str:
        return NONE if ms is None else f"{datetime.fromtimestamp(ms / 1_000, self.zone):%Y-%m-%d %H:%M}"

    def iso(self, ms: int) -> str:
        return iso(ms)

    def zone_name(self) -> str:
        """As the zone is called now: browsers go on saying what it was called before 2022."""
        return self.zone.key.replace("Europe/Kiev", "Europe/Kyiv")

    def ago(self, ms: int | None) -> str:
        return NONE if ms is None else self.duration(max(self.now_ms - ms, 0))


def _static(name: str) -> str:
    """The address of a file of ours, another one whenever the file changes: browsers may keep it for ever."""
    return f"/console/static/{name}?v={_digests[name]}"


_digests: Final = {
    path.name: sha256(path.read_bytes()).hexdigest()[:12] for path in sorted(STATIC.iterdir()) if path.is_file()
}

ENVIRONMENT: Final = Environment(
    loader=PackageLoader("cascade.console"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.globals.update(static=_static, charts=charts)
