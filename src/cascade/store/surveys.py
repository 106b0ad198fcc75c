"""What people answered to surveys: one answer a message counts, whatever the channel; others are kept as what they are.

For whoever draws it: `results` of a tag or of one message, `answer` of one message, `answers` one by one.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from cascade.core import content
from cascade.core.words import Channel, MessageType
from cascade.store.database import Reader, Statement, Transaction
from cascade.store.messages import Key


class Standing(StrEnum):
    """Part of the API."""

    COUNTED = "counted"
    REPEATED = "repeated"  # there was an answer already
    LATE = "late"  # the message's time to live was over


class Answer(NamedTuple):
    """`place` of the option counts from 0. `link` is where it came in."""

    message_id: bytes
    standing: Standing
    place: int
    option: str
    channel: Channel
    link: str
    at_ms: int


class Chosen(NamedTuple):
    """How often an option was chosen by way of a channel."""

    option: str
    place: int
    channel: Channel
    number: int


class Asked(NamedTuple):
    """Surveys sent: how many, how many reached their person, and the options of the newest."""

    messages: int
    delivered: int
    options: Sequence[str]


COUNTS = 0
# The same answer of two nodes at once: one of them is the first.
ADD = """
    INSERT INTO survey_answer (account_id, message_id, inbound_id, standing, place, option, channel, link, at_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
COLUMNS = "message_id, standing, place, option, channel, link, at_ms"
ANSWERS = f"""
    SELECT {COLUMNS} FROM survey_answer WHERE account_id = ? AND message_id = ? ORDER BY at_ms, inbound_id
"""  # noqa: S608 - constants only
ANSWERED = "SELECT message_id FROM survey_answer WHERE account_id = ? AND inbound_id = 0 AND message_id IN (*)"
OPTIONS = "SELECT id, extras FROM message WHERE account_id = ? AND id IN (*)"
# CROSS JOIN, so that SQLite begins with the tag.
CHOSEN_OF_TAG = """
    SELECT option, min(place), channel, count(*) FROM message_tag AS tagged CROSS JOIN survey_answer AS answer
    WHERE tagged.account_id = ? AND tagged.tag = ? AND answer.account_id = ? AND answer.message_id = tagged.message_id
        AND answer.inbound_id = 0
    GROUP BY option, channel ORDER BY 2, 1, 3
"""
OTHERS_OF_TAG = """
    SELECT answer.standing, count(*) FROM message_tag AS tagged CROSS JOIN survey_answer AS answer
    WHERE tagged.account_id = ? AND tagged.tag = ? AND answer.account_id = ? AND answer.message_id = tagged.message_id
        AND answer.inbound_id > 0
    GROUP BY answer.standing
"""
ASKED_OF_TAG = f"""
    SELECT count(*), coalesce(sum(CASE WHEN message.status = 'delivered' THEN 1 ELSE 0 END), 0), max(message.id)
    FROM message_tag AS tagged CROSS JOIN message
    WHERE tagged.account_id = ? AND tagged.tag = ? AND message.account_id = ? AND message.id = tagged.message_id
        AND message.type = '{MessageType.VIBER_SURVEY.value}'
"""  # noqa: S608
NEWEST = Statement(ASKED_OF_TAG, ASKED_OF_TAG.replace("max(message.id)", "max(encode(message.id, 'hex'))"))


async def add(tx: Transaction, key: Key, answer: Answer, inbound_id: int) -> Standing:
    """Write an answer down; as what it stands there. `COUNTED` is asked for, and becomes `REPEATED` where there was an
    answer already."""
    if answer.standing is Standing.COUNTED:
        if await tx.execute(ADD, _row(key, answer, COUNTS)):
            return Standing.COUNTED
        answer = answer._replace(standing=Standing.REPEATED)
    await tx.execute(ADD, _row(key, answer, inbound_id))
    return answer.standing


def _row(key: Key, answer: Answer, inbound_id: int) -> tuple[object, ...]:
    _, standing, place, option, channel, link, at_ms = answer
    return (*key, inbound_id, standing.value, place, option, channel.value, link, at_ms)


async def answers(reader: Reader, key: Key) -> list[Answer]:
    """All that came in answer to one message, in order."""
    rows = await reader.rows(ANSWERS, key)
    return [Answer(row[0], Standing(row[1]), row[2], row[3], Channel(row[4]), *row[5:]) for row in rows]


async def answer(reader: Reader, key: Key) -> Answer | None:
    """The answer that counts."""
    return next((one for one in await answers(reader, key) if one.standing is Standing.COUNTED), None)


async def answered(reader: Reader, account_id: int, ids: Sequence[bytes]) -> frozenset[bytes]:
    """Those of the messages that have an answer."""
    return frozenset(id_ for (id_,) in await reader.rows(ANSWERED, (account_id, ids)))


async def options(reader: Reader, account_id: int, ids: Sequence[bytes]) -> dict[bytes, Sequence[str]]:
    """What each of the messages let people choose from; nothing where it was no survey."""
    rows = await reader.rows(OPTIONS, (account_id, ids))
    return {id_: content.for_step("", extras, 0).content.options for id_, extras in rows}


async def chosen(reader: Reader, account_id: int, tag: str) -> list[Chosen]:
    """How often each option was chosen by way of each channel, over all messages of a tag. For `cold_reading`."""
    rows = await reader.rows(CHOSEN_OF_TAG, (account_id, tag, account_id))
    return [Chosen(option, place, Channel(channel), number) for option, place, channel, number in rows]


async def others(reader: Reader, account_id: int, tag: str) -> dict[Standing, int]:
    """How many answers of a tag's messages do not count, by why. For `cold_reading`."""
    rows = await reader.rows(OTHERS_OF_TAG, (account_id, tag, account_id))
    return {Standing(standing): number for standing, number in rows}


async def asked(reader: Reader, account_id: int, tag: str) -> Asked:
    """The surveys among a tag's messages. For `cold_reading`."""
    [(number, delivered, newest)] = await reader.rows(NEWEST, (account_id, tag, account_id))
    if not number:
        return Asked(0, 0, ())
    id_ = bytes.fromhex(newest) if isinstance(newest, str) else newest
    return Asked(number, delivered, (await options(reader, account_id, [id_]))[id_])
