"""Words that people write and other people read: names, addresses, notes, reasons.

Refused is what no reader can see and what makes a reader see something else: control characters (PostgreSQL
stores no NUL), and the marks that turn the direction of writing around (Unicode TR 36, "bidirectional text
spoofing"), with which a name reads as another one. Joiners inside emoji and of scripts that need them stay.
"""

import re
from typing import Any

import msgspec

_UNWRITABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]"
)


def check_text(what: str, text: str) -> None:
    """Return when this can be shown as it is; tabs and line ends are fine. Raises ValueError, naming `what`."""
    found = _UNWRITABLE.search(text)
    if found is not None:
        raise ValueError(f"{what}: the character U+{ord(found[0]):04X} cannot be shown; leave it out")


def check_texts(value: Any, what: str = "") -> None:
    """The same for every text in a struct. Raises ValueError, naming the field."""
    if not isinstance(value, (dict, list, tuple, str, int, float, type(None))):
        value = msgspec.to_builtins(value)
    if isinstance(value, str):
        check_text(what or "text", value)
    elif isinstance(value, dict):
        for name, field in value.items():
            check_texts(field, str(name))
    elif isinstance(value, (list, tuple)):
        for field in value:
            check_texts(field, what)
