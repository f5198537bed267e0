"""Text for searching: what people type, and what stands in the index.

A name is found by any part of it, whatever its case and spaces, and by its initials: `ㄱㄴ` finds
`강남`, as Korean phones find names. Hangul syllables take their initial by Unicode 15 §3.12.
"""

import unicodedata

_INITIALS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_FIRST, _LAST, _PER_INITIAL = 0xAC00, 0xD7A3, 588


def folded(text: str) -> str:
    """`"Gangnam  치킨"` → `"gangnam치킨"`."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def initials(text: str) -> str:
    """`"강남 치킨"` → `"ㄱㄴㅊㅋ"`; what is no Hangul syllable stays as `folded` leaves it."""
    return "".join(_initial(character) for character in folded(text))


def are_initials(text: str) -> bool:
    """Whether somebody typed initials alone."""
    typed = "".join(text.split())
    return bool(typed) and all(character in _INITIALS for character in typed)


def like(query: str) -> str:
    r"""The pattern of `LIKE … ESCAPE '\'` that finds this text anywhere."""
    escaped = query.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _initial(character: str) -> str:
    code = ord(character)
    return _INITIALS[(code - _FIRST) // _PER_INITIAL] if _FIRST <= code <= _LAST else character
