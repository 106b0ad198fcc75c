"""What a person's few words mean: an option of a survey, or that they want no more advertising, or want it again."""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import NamedTuple

STOP_WORDS = (
    *("STOP", "STOPALL", "UNSUBSCRIBE", "OPTOUT", "OPT-OUT"),
    *("СТОП", "ВІДПИСАТИСЯ", "ВІДПИСАТИСЬ", "ОТПИСАТЬСЯ", "ОТКАЗ"),
    *(
        "STOPP",
        "ABMELDEN",
        "ARRET",
        "ARRÊT",
        "BAJA",
        "PARAR",
        "SAIR",
        "DISDICI",
        "DEZABONARE",
        "REZYGNUJE",
        "REZYGNUJĘ",
    ),
    *("WYPISZ", "ODHLASIT", "ODHLÁSIT", "LEIRATKOZAS", "LEIRATKOZÁS", "IPTAL", "İPTAL", "LOPETA"),
)
START_WORDS = ("START", "UNSTOP", "SUBSCRIBE", "СТАРТ", "ПІДПИСАТИСЯ", "ПІДПИСАТИСЬ", "ПОДПИСАТЬСЯ")
_AROUND = " \t\r\n\"'«»„“”’.,;:!?()[]{}<>/*_-–—"
_LONGEST = 64


class Keyword(Enum):
    """What a word asks for."""

    STOP = "stop"
    START = "start"


class Keywords:
    """The words that ask for something. One counts only where it is all that was said, whatever stands around it."""

    def __init__(self, stop: Iterable[str] = STOP_WORDS, start: Iterable[str] = START_WORDS) -> None:
        self._meanings = {_plain(word): Keyword.START for word in start} | {_plain(word): Keyword.STOP for word in stop}

    def of(self, text: str) -> Keyword | None:
        return self._meanings.get(_plain(text)) if len(text) <= _LONGEST else None


class ReplyHints(NamedTuple):
    """How to answer a survey by number: `{last}` stands for the last one. Empty: nothing is said."""

    latin: str = ""
    cyrillic: str = ""

    def of(self, text: str, options: int) -> str:
        """In the letters of the text, so that it makes no SMS longer by its alphabet."""
        has_cyrillic = any("\u0400" <= sign <= "\u04ff" for sign in text)
        return (self.cyrillic if has_cyrillic else self.latin).replace("{last}", str(options))


class Payload(NamedTuple):
    """What we hid behind an option. `place` counts from 0; None where the option's own words come back beside it."""

    message_id: bytes
    place: int | None


def read_payload(payload: str) -> Payload | None:
    """None when it is not in the form of ours: `<message id in hex>`, or that with `:<place>`."""
    id_, colon, place = payload.partition(":")
    if len(id_) != 32 or (colon and not (len(place) == 1 and "0" <= place <= "9")):
        return None
    try:
        return Payload(bytes.fromhex(id_), int(place) if colon else None)
    except ValueError:
        return None


def chosen(options: Sequence[str], text: str) -> int | None:
    """The place of the option that a text means: its words, or its number in the list, counted from 1."""
    said = _plain(text)
    plain = [_plain(option) for option in options]
    if said in plain:
        return plain.index(said)
    number, _, rest = said.partition(" ")
    number = number.strip(_AROUND)
    if not (number.isascii() and number.isdecimal()) or not 1 <= int(number) <= len(options):
        return None
    place = int(number) - 1
    return place if rest in ("", plain[place]) else None


def _plain(text: str) -> str:
    """Words alone, in one case. What has no words stays as it is: an option may be an emoji."""
    return " ".join(text.strip(_AROUND).casefold().split()) or text.strip()
