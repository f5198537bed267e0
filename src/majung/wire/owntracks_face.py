"""A face for a friend who gave none: a pattern of squares that is always the same for the same person.

The apps draw a card's face on the map, and the iOS app accepts no card without one. The pattern is made of a
hash, five by five squares, left like right, in one of many colours: to be told apart on a map, not to be read.
192 pixels a side, as the apps recommend; in two colours a PNG of that is some 250 bytes.

Source: https://owntracks.org/booklet/features/card and https://www.w3.org/TR/png-3/ (chunks, palette)
"""

import base64
import colorsys
import hashlib
import struct
import zlib
from functools import lru_cache

_SQUARES, _SQUARE_PX, _MARGIN_PX = 5, 32, 16
_SIDE_PX = _SQUARES * _SQUARE_PX + 2 * _MARGIN_PX
_BACKGROUND = bytes((240, 240, 240))


@lru_cache(maxsize=4096)
def face_of(person_id: str) -> str:
    """A PNG in base64."""
    digest = hashlib.blake2b(person_id.encode(), digest_size=8).digest()
    hue, bits = digest[0] / 256, int.from_bytes(digest[1:], "big")
    colour = bytes(round(part * 255) for part in colorsys.hls_to_rgb(hue, 0.42, 0.6))
    half = (_SQUARES + 1) // 2
    rows = []
    for row in range(_SQUARES):
        left = [bits >> (row * half + column) & 1 for column in range(half)]
        rows.append(left + left[-2::-1])
    return base64.b64encode(_png(rows, colour)).decode("ascii")


def _png(rows: list[list[int]], colour: bytes) -> bytes:
    """One bit a pixel: 0 the background, 1 the colour."""
    edge = "0" * _MARGIN_PX
    blank = _line("0" * _SIDE_PX) * _MARGIN_PX
    lines = [_line(edge + "".join(str(bit) * _SQUARE_PX for bit in row) + edge) * _SQUARE_PX for row in rows]
    header = struct.pack(">IIBBBBB", _SIDE_PX, _SIDE_PX, 1, 3, 0, 0, 0)
    pixels = zlib.compress(blank + b"".join(lines) + blank, 9)
    chunks = ((b"IHDR", header), (b"PLTE", _BACKGROUND + colour), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _line(bits: str) -> bytes:
    """A line of pixels, unfiltered."""
    return b"\0" + int(bits, 2).to_bytes(_SIDE_PX // 8, "big")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
