"""Korean place names in Latin letters, for the labels of the English map.

Revised Romanization of Korean (Ministry of Culture, Notification 2000-8): pronunciation is written, so
neighbouring sounds change each other (종로 → Jongno, 신림 → Sillim); the names of administrative units
stand behind a hyphen and change nothing (강남구 → Gangnam-gu).
"""

import re


def _sounds(text: str) -> list[str]:
    """One a syllable part in the order of Unicode; `-` is silent."""
    return text.replace("-", "").split(" ")


_INITIALS = _sounds("g kk n d tt r m b pp s ss - j jj ch k t p h")
_VOWELS = _sounds("a ae ya yae eo e yeo ye o wa wae oe yo u wo we wi yu eu ui i")
_FINALS = _sounds("- k k k n n n t l k m l l l p l m p p t t ng t t k t p t")
_BEFORE_VOWEL = _sounds("- g kk ks n nj n d r lg lm lb ls lt lp r m b ps s ss ng j ch k t p h")

# (final as spoken, next initial) → how the pair is written.
_PAIRS = {
    ("k", "n"): "ngn", ("k", "r"): "ngn", ("k", "m"): "ngm",
    ("n", "r"): "ll",
    ("t", "n"): "nn", ("t", "r"): "nn", ("t", "m"): "nm",
    ("l", "n"): "ll", ("l", "r"): "ll",
    ("m", "r"): "mn",
    ("p", "n"): "mn", ("p", "r"): "mn", ("p", "m"): "mm",
    ("ng", "r"): "ngn",
}  # fmt: skip

_PROVINCE = re.compile(r"(특별자치시|특별자치도|특별시|광역시)$")
_UNIT = re.compile(r"^(.+?)(\d*)([도시군구읍면리동가])$")


def romanize(name: str) -> str:
    """`"강남구"` → `"Gangnam-gu"`, `"종로1가"` → `"Jongno 1-ga"`, `"서울특별시"` → `"Seoul"`."""
    city = _PROVINCE.sub("", name)
    if city != name:
        return _letters(city).capitalize()
    return " ".join(_word(word) for word in name.split())


def _word(word: str) -> str:
    found = _UNIT.match(word)
    if not found:
        return _letters(word).capitalize()
    stem, number, unit = found.groups()
    return f"{_letters(stem).capitalize()}{' ' + number if number else ''}-{_letters(unit)}"


def _letters(text: str) -> str:
    out, final = "", 0
    for char in text:
        code = ord(char) - 0xAC00
        if not 0 <= code < 11172:
            out += _FINALS[final] + char
            final = 0
            continue
        initial, vowel = code // 588, code % 588 // 28
        out += _joint(final, _INITIALS[initial]) + _VOWELS[vowel]
        final = code % 28
    return out + _FINALS[final]


def _joint(final: int, initial: str) -> str:
    if not initial:
        return _BEFORE_VOWEL[final]
    spoken = _FINALS[final]
    return _PAIRS.get((spoken, initial), spoken + initial)
