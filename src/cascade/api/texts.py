"""Completes the texts of a batch: placeholders become values, and URLs short links (contract, section 3)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from cascade.api.faults import ErrorCode, Fault, InvalidRequest
from cascade.api.message_in import MAX_SURVEY_TEXT
from cascade.api.message_schema import MAX_TEXT
from cascade.core import placeholders
from cascade.core.draft import Draft, Wishes
from cascade.core.placeholders import SHORT_URL, Slot
from cascade.core.short_links import redirect_target
from cascade.core.words import Channel, MessageType
from cascade.store import short_links, variables
from cascade.store.database import Reader
from cascade.store.messages import Key
from cascade.store.short_links import NewLink

PATH = "/s/"
MOST_NAMED = 5
FIELDS = {Channel.TELEGRAM_BOT: "tgMessage.text", Channel.VIBER_BOT: "viberMessage.text"}
LONGEST = {"viberMessage.text": 7_000}

Wanted = tuple[int, bytes, Draft]
"""Its place in the request, its message's id, and itself."""
ChangeText = Callable[[str, str], str]
"""field, text -> text"""


class LinkRules(NamedTuple):
    """`base_url`: where a person reaches us, without a slash at its end. `ttl_ms` counts from the message's hour."""

    base_url: str
    ttl_ms: int


class Filled(NamedTuple):
    """`wanted` in the order they came, their texts complete, and the links that these hold."""

    wanted: Sequence[Wanted]
    links: Sequence[NewLink]


async def fill(reader: Reader, account_id: int, wanted: Sequence[Wanted], rules: LinkRules, now_ms: int) -> Filled:
    """Replace every placeholder. Raises `InvalidRequest` with every one that has no value, and every text that became
    too long or empty. Looks nothing up for messages without placeholders.
    """
    by_number = {}
    for number, (_, _, draft) in enumerate(wanted):
        if "%" in draft.content.text or draft.wishes is not None:
            slots = _slots(draft)
            if slots:
                by_number[number] = slots
    if not by_number:
        return Filled(wanted, ())
    inline = {number: {one.slot: one.value for one in wanted[number][2].variables} for number in by_number}
    unknown = {slot for number, slots in by_number.items() for slot in slots if slot not in inline[number]}
    stored = await variables.values(reader, account_id, unknown)
    short = sum(slot.type == SHORT_URL for slots in by_number.values() for slot in slots)
    codes = iter(await short_links.new_codes(reader, short))
    filled = list(wanted)
    new_links = []
    faults: list[Fault] = []
    for number, slots in by_number.items():
        place, id_, draft = wanted[number]
        given = inline[number]
        values = {
            slot: given[slot] if slot in given else stored[slot] for slot in slots if slot in given or slot in stored
        }
        if len(values) < len(slots):
            faults += _unknown(place, {slot: field for slot, field in slots.items() if slot not in values})
            continue
        for slot in slots:
            if slot.type == SHORT_URL:
                link = _link(next(codes), Key(account_id, id_), values[slot], draft.scheduled_at_ms, now_ms, rules)
                new_links.append(link)
                values[slot] = f"{rules.base_url}{PATH}{link.code}"
        complete, misfits = _complete(place, draft, values)
        filled[number] = (place, id_, complete)
        faults += misfits
    if faults:
        raise InvalidRequest(faults)
    return Filled(filled, new_links)


def _link(code: str, key: Key, url: str, scheduled_at_ms: int | None, now_ms: int, rules: LinkRules) -> NewLink:
    target = redirect_target(url)
    assert target is not None  # noqa: S101 - no door takes another value for this type
    return NewLink(code, key, target, now_ms, (scheduled_at_ms or now_ms) + rules.ttl_ms)


def _slots(draft: Draft) -> dict[Slot, str]:
    """The draft's placeholders, and the field in which each stands first."""
    slots: dict[Slot, str] = {}
    for field, text in _texts(draft):
        for slot in placeholders.find(text):
            slots.setdefault(slot, field)
    return slots


def _texts(draft: Draft) -> Iterator[tuple[str, str]]:
    """Each text of a draft, with its field."""
    yield "text", draft.content.text
    wishes = draft.wishes
    if wishes is None:
        return
    for step in wishes.steps:
        if step.text is not None:
            yield "route.text", step.text
    for channel, variant in wishes.variants:
        if variant.text is not None:
            yield FIELDS[channel], variant.text
    if wishes.text_after_viber is not None:
        yield "viberMessage.fallbackText", wishes.text_after_viber
    if wishes.fallback is not None:
        yield "fallback.text", wishes.fallback.text


def _complete(place: int, draft: Draft, values: Mapping[Slot, str]) -> tuple[Draft, list[Fault]]:
    faults = []

    def change(field: str, text: str) -> str:
        changed = placeholders.replace(text, values)
        fault = _misfit(place, field, changed, draft.type) if changed != text else None
        if fault is not None:
            faults.append(fault)
        return changed

    return _with_texts(draft, change), faults


def _with_texts(draft: Draft, change: ChangeText) -> Draft:
    content = replace(draft.content, text=change("text", draft.content.text))
    wishes = draft.wishes
    return replace(draft, content=content, wishes=None if wishes is None else _wishes_with_texts(wishes, change))


def _wishes_with_texts(wishes: Wishes, change: ChangeText) -> Wishes:
    def maybe(field: str, text: str | None) -> str | None:
        return None if text is None else change(field, text)

    fallback = wishes.fallback
    return replace(
        wishes,
        steps=tuple(replace(step, text=maybe("route.text", step.text)) for step in wishes.steps),
        variants=tuple(
            (channel, replace(variant, text=maybe(FIELDS[channel], variant.text)))
            for channel, variant in wishes.variants
        ),
        text_after_viber=maybe("viberMessage.fallbackText", wishes.text_after_viber),
        fallback=None if fallback is None else replace(fallback, text=change("fallback.text", fallback.text)),
    )


def _unknown(place: int, missing: dict[Slot, str]) -> Iterator[Fault]:
    """One fault for each field, naming its placeholders."""
    by_field: dict[str, list[Slot]] = {}
    for slot, field in missing.items():
        by_field.setdefault(field, []).append(slot)
    for field, slots in by_field.items():
        names = ", ".join(map(str, slots[:MOST_NAMED])) + (", …" if len(slots) > MOST_NAMED else "")
        message = (
            f"{field} has placeholders without a value ({names}): store it with /api/items or send it in variables"
        )
        yield Fault(ErrorCode.UNKNOWN_VARIABLE, message, field, place)


def _misfit(place: int, field: str, text: str, type_: MessageType) -> Fault | None:
    """What is wrong with a text that values have changed."""
    most = MAX_SURVEY_TEXT if type_ is MessageType.VIBER_SURVEY and field == "text" else LONGEST.get(field, MAX_TEXT)
    if len(text) > most:
        message = f"{field} is longer than {most} characters with its values in place: shorten it or them"
        return Fault(ErrorCode.TEXT_TOO_LONG, message, field, place)
    if not text:
        message = f"{field} is empty with its values in place: write some text around them"
        return Fault(ErrorCode.TEXT_REQUIRED, message, field, place)
    return None
