"""What the pages say, a catalogue for each language. The keys are the same in all."""

from collections.abc import Mapping
from typing import Final

from cascade.console.words.en import EN
from cascade.console.words.uk import UK

CATALOGUES: Final[Mapping[str, Mapping[str, str]]] = {"en": EN, "uk": UK}


def say(language: str, key: str, **values: object) -> str:
    """The words of that key; of a reason or channel that is so new that it has none, its own name."""
    text = CATALOGUES[language].get(key) or key.rpartition(".")[2].replace("_", " ")
    return text.format(**values) if values else text
