"""The one documented list of settings, read off the models: for `majung settings` and the docs."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from majung.settings import Settings

_PASSWORD = re.compile(r"^([a-z]+://[^/@:]*:)[^/]*@")  # of a URL


def as_text(value: Any) -> str:
    """A setting's value as one would type it."""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
            if seconds >= size and seconds % size == 0:
                return f"{seconds / size:.0f}{unit}"
        return f"{seconds * 1000:g}ms"
    return "" if value is None else _PASSWORD.sub(r"\1…@", str(value))


def rows(settings: Settings) -> Iterator[tuple[str, str, str, str]]:
    """(dotted name, value, default, meaning) of every setting."""
    yield from _rows(settings, "")


def _rows(section: BaseModel, prefix: str) -> Iterator[tuple[str, str, str, str]]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _rows(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", as_text(value), as_text(field.default), field.description or ""
