"""The document that newcomers follow names only what exists, and all the steps, in their order."""

import importlib
import re
from pathlib import Path

import pytest

from majung.positions.steps import STEPS

DOCUMENT = (Path(__file__).resolve().parent.parent.parent / "docs" / "path-of-a-position.md").read_text()
SYMBOLS = sorted(set(re.findall(r"`(majung\.[A-Za-z0-9_.]+)`", DOCUMENT)))


def resolve(dotted: str) -> object:
    """Import the longest module, then walk the attributes."""
    parts = dotted.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[cut:]:
            found = getattr(found, attribute)
        return found
    raise AttributeError(dotted)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_symbol_exists(symbol: str) -> None:
    assert resolve(symbol) is not None


def test_a_wrong_symbol_would_be_found() -> None:
    with pytest.raises(AttributeError):
        resolve("majung.positions.steps.teleport")


def test_the_document_has_the_steps_in_the_order_of_the_code() -> None:
    told = re.findall(r"^\d+\. `majung\.positions\.steps\.(\w+)`:", DOCUMENT, re.MULTILINE)
    assert told == [step.__name__ for step in STEPS]
