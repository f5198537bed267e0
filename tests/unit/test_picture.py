"""Which bytes are a photo, and which only say so."""

import pytest

from majung.orders.picture import kind_of
from majung.orders.proofs import MAX_PHOTO_BYTES
from tests.pictures import jpeg, png, webp

GOOD = {
    "jpg": [jpeg(), jpeg(1, 1), jpeg() + b"what cameras add after the end"],
    "png": [png(), png(1, 1), png(3000, 2000)],
    "webp": [webp(chunk=chunk) for chunk in (b"VP8X", b"VP8L", b"VP8 ")],
}


@pytest.mark.parametrize(("kind", "body"), [(kind, body) for kind, all_ in GOOD.items() for body in all_])
def test_a_picture_is_known_by_its_bytes(kind: str, body: bytes) -> None:
    assert kind_of(body) == kind


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"GIF89a" + bytes(60),
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"<!doctype html><script>alert(1)</script>",
        b"%PDF-1.7",
        b"PK\x03\x04" + bytes(60),
    ],
)
def test_what_is_no_picture_is_told_what_to_send(body: bytes) -> None:
    with pytest.raises(ValueError, match="JPEG, PNG or WebP"):
        kind_of(body)


@pytest.mark.parametrize("whole", [jpeg(), png(), *GOOD["webp"]])
def test_every_piece_of_a_picture_is_refused(whole: bytes) -> None:
    for end in range(len(whole)):
        with pytest.raises(ValueError, match="photo"):
            kind_of(whole[:end])


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xd8\xff\xe0" + b"not really a picture" * 10,
        b"\xff\xd8\xff" + bytes(100),
        b"\xff\xd8" + b"\xff" * 2000,
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"RIFF\x00\x00\x00\x00WEBP" + bytes(40),
    ],
)
def test_the_first_bytes_alone_make_no_picture(body: bytes) -> None:
    with pytest.raises(ValueError, match="damaged"):
        kind_of(body)


@pytest.mark.parametrize(
    "body",
    [
        jpeg(65_535, 65_535),
        jpeg(0, 480),
        png(50_000, 50_000),
        png(1_000_000, 1),
        webp(16_384, 16_384),
        png(16_385, 1),
    ],
)
def test_small_files_that_call_themselves_enormous(body: bytes) -> None:
    assert len(body) < MAX_PHOTO_BYTES
    with pytest.raises(ValueError, match="pixels"):
        kind_of(body)
