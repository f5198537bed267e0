"""What a picture is, told by its bytes: which kind, how large, and whether it is whole.

Nothing is decoded. The size in the header is what a browser would set memory aside for, so a small file that
calls itself enormous is refused. PNG: RFC 2083; JPEG: ITU-T T.81 Annex B; WebP: RFC 9649.
"""

from collections.abc import Iterator

MAX_SIDE = 16_384
MAX_PIXELS = 64_000_000  # what a good phone's camera makes

_PNG_END = b"\x00\x00\x00\x00IEND\xae\x42\x60\x82"
_NO_LENGTH = {0x01, *range(0xD0, 0xD8)}
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN, _END = 0xDA, 0xD9


def kind_of(body: bytes) -> str:
    """`jpg`, `png` or `webp`, whatever the sender calls it. Raises ValueError, saying what to do."""
    if body.startswith(b"\xff\xd8\xff"):
        kind, size = "jpg", _jpeg(body)
    elif body.startswith(b"\x89PNG\r\n\x1a\n"):
        kind, size = "png", _png(body)
    elif body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        kind, size = "webp", _webp(body)
    else:
        raise ValueError("the photo is no JPEG, PNG or WebP: send it as one of these")
    if size is None:
        raise ValueError("the photo is damaged or was cut off: take it again")
    width, height = size
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE and width * height <= MAX_PIXELS):
        raise ValueError(
            f"the photo is {width} × {height} pixels; send at most {MAX_PIXELS // 10**6} million"
        )
    return kind


def _png(body: bytes) -> tuple[int, int] | None:
    if body[12:16] != b"IHDR" or b"IDAT" not in body or _PNG_END not in body:
        return None
    return int.from_bytes(body[16:20]), int.from_bytes(body[20:24])


def _jpeg(body: bytes) -> tuple[int, int] | None:
    """The size is in the frame header, before the first scan; the end may be followed by what cameras add."""
    size = None
    for marker, at in _segments(body):
        if marker in _FRAMES:
            size = int.from_bytes(body[at + 5 : at + 7]), int.from_bytes(body[at + 3 : at + 5])
        if marker == _SCAN:
            return size if body.find(bytes((0xFF, _END)), at) > 0 else None
    return None


def _segments(body: bytes) -> Iterator[tuple[int, int]]:
    """Each marker, and where its length stands, up to the first scan."""
    at = 2
    while at + 4 <= len(body) and body[at] == 0xFF:
        marker = body[at + 1]
        if marker == 0xFF:  # fill bytes
            at += 1
            continue
        yield marker, at + 2
        if marker == _SCAN:
            return
        at += 2 if marker in _NO_LENGTH else 2 + max(2, int.from_bytes(body[at + 2 : at + 4]))


def _webp(body: bytes) -> tuple[int, int] | None:
    if len(body) < 30 or int.from_bytes(body[4:8], "little") + 8 > len(body):
        return None
    chunk, data = body[12:16], body[20:30]
    if chunk == b"VP8X":
        return 1 + int.from_bytes(data[4:7], "little"), 1 + int.from_bytes(data[7:10], "little")
    if chunk == b"VP8L" and data[0] == 0x2F:
        bits = int.from_bytes(data[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 " and data[3:6] == b"\x9d\x01\x2a":
        return int.from_bytes(data[6:8], "little") & 0x3FFF, int.from_bytes(data[8:10], "little") & 0x3FFF
    return None
