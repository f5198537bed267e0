"""What somebody means who types an address: a road and a number, names of places, or the beginning of one."""

import re
import unicodedata
from collections.abc import Callable

import msgspec

MAX_CHARS = 100
_MAX_WORDS = 8
_ROAD = re.compile(r"(?P<road>\S*[가-힣0-9](?:로|길))(?P<number>\d{1,5}(?:-\d{1,4})?)?")
_NUMBER = re.compile(r"(?P<number>\d{1,5}(?:-\d{1,4})?)(?:번지|호)?")
_ALLEY = re.compile(r"\d+[가-힣]?(?:번)?(?:길|로)(?:\d{1,5}(?:-\d{1,4})?)?")
_ENDS_TO_IGNORE = ("역", "점", "앞", "근처")


class Wish(msgspec.Struct, frozen=True):
    """`road` as far as it was typed (whole when `is_whole_road`); `words`: all others, the last maybe unfinished.

    `lot` is a number after the name of a place: nothing here knows where it is, but who delivers will.
    """

    words: tuple[str, ...] = ()
    road: str = ""
    number: str = ""
    is_whole_road: bool = False
    lot: str = ""


def parse(text: str) -> Wish:
    """`"강남구 테헤란로152, 3층"` → words (강남구), road 테헤란로, number 152. What follows a number is detail."""
    words = _words(text)
    before: list[str] = []
    for i, word in enumerate(words):
        if i + 1 < len(words) and word.endswith(("로", "길")) and _ALLEY.fullmatch(words[i + 1]):
            word, words[i + 1] = word + words[i + 1], ""  # 테헤란로 4길
        if (found := _ROAD.fullmatch(word)) and len(found["road"]) > 1:
            rest = [later for later in words[i + 1 :] if later]
            number = found["number"] or _number(rest)
            return Wish(tuple(before), found["road"], number, is_whole_road=True)
        if before and (lot := _NUMBER.fullmatch(word)):
            return Wish(tuple(before), before[-1], lot=lot["number"])
        before.append(word)
    return Wish(tuple(before), before[-1] if before else "")


def _words(text: str) -> list[str]:
    # Letters of Hangul that stand alone (ㄱ) stay: NFKC would turn them into halves of syllables.
    letters = unicodedata.normalize("NFC", text[:MAX_CHARS])
    clean = "".join(c if "ㄱ" <= c <= "ㅣ" else unicodedata.normalize("NFKC", c) for c in letters)
    return re.sub(r"[,()\[\]·]", " ", clean).split()[:_MAX_WORDS]


def _number(rest: list[str]) -> str:
    found = _NUMBER.fullmatch(rest[0]) if rest else None
    return found["number"] if found else ""


def unglued(text: str, is_place: Callable[[str], bool]) -> str | None:
    """`"서울강남구역삼동"` → `"서울 강남구 역삼동"`: names of places in front, parted. None: nothing to part."""
    words = []
    for word in _words(text):
        while front := next((word[:n] for n in range(len(word) - 2, 1, -1) if is_place(word[:n])), ""):
            words.append(front)
            word = word[len(front) :]
        words.append(word)
    parted = " ".join(words)
    return parted if words != _words(text) else None


def loosened(text: str) -> str | None:
    """`"강남역"` → `"강남"`: the names of stations are not known, those of places around them often are."""
    words = _words(text)
    for end in _ENDS_TO_IGNORE:
        if words and words[-1].endswith(end) and len(words[-1]) > len(end) + 1:
            return " ".join([*words[:-1], words[-1].removesuffix(end)])
    return None
