"""Which words may be written down for others to read."""

import pytest

from majung.stores.model import Item, NewMenu, Option, OptionGroup
from majung.text import check_text, check_texts


@pytest.mark.parametrize(
    "text",
    [
        "칼국수 곱빼기",
        "가족 👨‍👩‍👧‍👦 세트",
        "שלום",
        "مرحبا",
        "می‌خواهم",
        "two\r\nlines\tand a tab",
        "e\u0301",
        "𠮷野家",
        "",
    ],
)
def test_what_people_write(text: str) -> None:
    check_text("note", text)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a\x00b", "U+0000"),
        ("\x1b[31mred", "U+001B"),
        ("evil\u202egnp.exe", "U+202E"),
        ("\u2066hidden\u2069", "U+2066"),
        ("half \ud83d of an emoji", "U+D83D"),
        ("\x85", "U+0085"),
        ("bell\x07", "U+0007"),
    ],
)
def test_what_cannot_be_shown_is_named(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=rf"note: the character {named.replace('+', '.')}"):
        check_text("note", text)


def test_every_text_of_a_menu_is_looked_at() -> None:
    option = Option("크게")
    check_texts(NewMenu((Item("칼국수", 9_000, groups=(OptionGroup("크기", (option,)),)),)))
    spoofed = NewMenu((Item("칼국수", 9_000, groups=(OptionGroup("크기", (option, Option("\u202e큰"))),)),))
    with pytest.raises(ValueError, match="name: the character"):
        check_texts(spoofed)
