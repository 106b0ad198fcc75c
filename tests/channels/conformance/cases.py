"""Every `case_<provider>.py` that lies here is judged."""

import importlib
import pkgutil
from pathlib import Path

from .case import Case


def _found() -> dict[str, Case]:
    cases = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name.startswith("case_"):
            case: Case = importlib.import_module(f".{module.name}", __package__).CASE
            cases[case.kind] = case
    return cases


CASES = _found()
