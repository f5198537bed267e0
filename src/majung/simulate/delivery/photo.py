"""The photo that a simulated rider takes: a paper bag in front of a door. Drawn, so that it shows something."""

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]

_WIDTH, _HEIGHT = 240, 180


def bag_at_door(shade: int) -> bytes:
    """A PNG of about 1 KB; `shade` (0–9) is how dark the staircase is."""
    light = 1.0 - 0.05 * shade
    picture = np.empty((_HEIGHT, _WIDTH, 3), np.float64)
    picture[:] = (214, 208, 198)
    picture[140:] = (150, 142, 132)
    _box(picture, (28, 148, 84, 186), (92, 70, 58))
    _box(picture, (34, 142, 90, 180), (112, 86, 70))
    _box(picture, (84, 92, 98, 106), (222, 190, 96))
    _box(picture, (100, 160, 34, 84), (201, 158, 104))
    _box(picture, (100, 106, 34, 84), (176, 134, 84))
    _box(picture, (120, 140, 46, 72), (246, 240, 228))
    return _png((picture * light).clip(0, 255).astype(np.uint8))


def _box(picture: Pixels, box: tuple[int, int, int, int], colour: tuple[int, int, int]) -> None:
    top, bottom, left, right = box
    picture[top:bottom, left:right] = colour


def _png(pixels: Pixels) -> bytes:
    """PNG (https://www.w3.org/TR/png-3/), 8-bit RGB, no filter."""
    height, width, _ = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, width * 3)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
