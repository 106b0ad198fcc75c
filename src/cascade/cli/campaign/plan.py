"""How a row of the file becomes a message, and what the campaign is known by."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cascade.cli.campaign import rules, template
from cascade.cli.campaign.people import Row
from cascade.cli.campaign.rules import Fault
from cascade.cli.campaign.template import EmptyColumnError
from cascade.client.words import Route
from cascade.core.errors import ConfigError

FIELDS: Final = {
    "phone": "toPhone",
    "text": "text",
    "id": "id",
    "from": "fromName",
    "type": "messageType",
    "ttl": "ttl",
    "at": "scheduledSent",
}
"""What `--map` may name, and the contract's word for it."""
LONGEST_NAME: Final = 40
UNFIT: Final = re.compile(r"[^\w.:-]+")


@dataclass(frozen=True, slots=True)
class Plan:
    """`name`: the campaign's, fit for a tag. `digest`: over the file and all that was asked for, so over every message
    that there will be. `templates`: the message, with templates for its texts. `repeats_phones`: a phone that stands in
    several rows gets as many messages."""

    name: str
    digest: str
    columns: int
    templates: Mapping[str, Any]
    country: str | None
    via: Route
    repeats_phones: bool

    @property
    def prefix(self) -> str:
        """What every tracking id begins with."""
        return f"{self.name}-{self.digest[:8]}"

    def message(self, row: Row) -> dict[str, Any] | Fault:
        """The message to send, always the same for the same row; or why there is none."""
        if len(row.values) != self.columns:
            return Fault("INVALID_FIELD", None, f"{len(row.values)} columns, where the header has {self.columns}")
        try:
            message: dict[str, Any] = template.fill_all(self.templates, row.values)
        except EmptyColumnError as error:
            return Fault("MISSING_FIELD", None, str(error))
        if cut := rules.cut_phone(message["toPhone"]):
            return cut
        message["toPhone"] = rules.phone(message["toPhone"], self.country)
        message.setdefault("id", f"{self.prefix}-{row.number}")
        if isinstance(message.get("ttl"), str):
            if not message["ttl"].isdecimal():
                return Fault("INVALID_TTL", "ttl", "not a number of seconds")
            message["ttl"] = int(message["ttl"])
        return rules.fault(message) or message


def name_of(given: str) -> str:
    """A name that can be part of a tag and an id."""
    return UNFIT.sub("-", given).strip("-")[:LONGEST_NAME] or "campaign"


def digest_of(about: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def templates_of(given: Mapping[str, Any], mapping: Sequence[str], columns: Sequence[str]) -> dict[str, Any]:
    """Templates for every field: `mapping` (`phone=Mobile`) wins over what is given; a column `phone` is one anyway."""
    templates = {name: template.parse_all(f"--{_option(name)}", value, columns) for name, value in given.items()}
    for one in mapping:
        field, _, column = one.partition("=")
        if field not in FIELDS or not column:
            raise ConfigError(
                "--map", f"{one!r} maps nothing", f"Write FIELD=COLUMN, the field one of {', '.join(FIELDS)}"
            )
        place = template.place_of("--map", column.strip(), columns)
        templates[FIELDS[field]] = (template.Column(place, column.strip(), None),)
    if "id" in templates and not any(isinstance(part, template.Column) for part in templates["id"]):
        raise ConfigError(
            "--id", "all rows would have the same", "Use a column, such as 'spring-{Code}', or leave it out"
        )
    if "toPhone" not in templates:
        place = template.place_of("--map phone=COLUMN", "phone", columns)
        templates["toPhone"] = (template.Column(place, "phone", None),)
    return templates


def _option(name: str) -> str:
    return next((option for option, field in FIELDS.items() if field == name), "message")
