"""What sections of settings are made of: durations, and models that refuse what they do not know."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31557600}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w|y)\s*$")


def parse_duration(text: object) -> object:
    """`"24h"` → timedelta(hours=24). Numbers are seconds; anything else goes to pydantic as it is."""
    if isinstance(text, str) and (found := _DURATION.match(text)):
        return timedelta(seconds=float(found[1]) * _UNITS_S[found[2]])
    return text


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]


class Section(BaseModel):
    """A group of settings that belong together."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def joined(given: object) -> object:
    """A list as the text that it is written as: parts with commas."""
    return ",".join(str(part) for part in given) if isinstance(given, (list, tuple)) else given
