"""Encryption and identification of push messages against the examples of their RFCs."""

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey

from majung.notify.push_crypto import (
    MAX_PLAIN_BYTES,
    Vapid,
    b64,
    check_keys,
    encrypt,
    unb64,
)
from tests.push_kit import decrypt, public_of

# RFC 8291, section 5 and appendix A.
PLAIN = b"When I grow up, I want to be a watermelon"
SERVER_PRIVATE = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
BROWSER_PUBLIC = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
BROWSER_PRIVATE = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
SALT = "DGv6ra1nlYgDCS1FRnbzlw"
BODY = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6Tlz"
    "AC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)


def private(text: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(unb64(text), "big"), ec.SECP256R1())


def browser() -> tuple[ec.EllipticCurvePrivateKey, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    return key, b64(public_of(key))


def test_the_example_of_the_rfc() -> None:
    body = encrypt(PLAIN, BROWSER_PUBLIC, AUTH, private(SERVER_PRIVATE), unb64(SALT))
    assert b64(body) == BODY
    assert decrypt(unb64(BODY), private(BROWSER_PRIVATE), unb64(AUTH)) == PLAIN


@settings(max_examples=30, deadline=None)
@given(plain=st.binary(max_size=MAX_PLAIN_BYTES), auth=st.binary(min_size=16, max_size=16))
def test_a_browser_reads_what_was_written(plain: bytes, auth: bytes) -> None:
    key, public = browser()
    body = encrypt(plain, public, b64(auth))
    assert decrypt(body, key, auth) == plain
    assert len(body) <= 4096


def test_each_message_is_sealed_anew_and_for_one_browser() -> None:
    key, public = browser()
    other, _ = browser()
    first, second = (encrypt(b"same", public, AUTH) for _ in range(2))
    assert first[:16] != second[:16] and first[21:86] != second[21:86]
    with pytest.raises(InvalidTag):
        decrypt(first, other, unb64(AUTH))
    with pytest.raises(InvalidTag):
        decrypt(first, key, bytes(16))
    with pytest.raises(InvalidTag):
        decrypt(first[:-1] + bytes([first[-1] ^ 1]), key, unb64(AUTH))


@pytest.mark.parametrize(
    ("p256dh", "auth"),
    [
        ("", AUTH),
        (BROWSER_PUBLIC, ""),
        (BROWSER_PUBLIC, b64(bytes(15))),
        (b64(b"\x04" + bytes(64)), AUTH),  # not on the curve
        (b64(unb64(BROWSER_PUBLIC)[:33]), AUTH),
        (b64(b"\x02" + unb64(BROWSER_PUBLIC)[1:33]), AUTH),  # compressed
        ("한글", AUTH),
        (BROWSER_PUBLIC, "a"),
    ],
)
def test_keys_that_are_none(p256dh: str, auth: str) -> None:
    with pytest.raises(ValueError):
        check_keys(p256dh, auth)


def test_keys_that_are() -> None:
    check_keys(BROWSER_PUBLIC, AUTH)
    check_keys(BROWSER_PUBLIC + "=", AUTH + "==")


def test_too_long_a_message_is_refused() -> None:
    with pytest.raises(ValueError):
        encrypt(bytes(MAX_PLAIN_BYTES + 1), BROWSER_PUBLIC, AUTH)


def test_a_push_service_can_tell_who_sends() -> None:
    key = ECKey.generate_key("P-256", private=True)
    vapid = Vapid(key, "mailto:ops@example.com")
    header = vapid.authorization("https://push.example.net", 1_780_000_000)
    scheme, _, rest = header.partition(" ")
    fields = dict(part.strip().split("=", 1) for part in rest.split(","))
    assert scheme == "vapid"
    point = unb64(fields["k"])
    assert (len(point), point[0], fields["k"]) == (65, 4, vapid.public_key)
    numbers: dict[str, str | list[str]] = {
        "kty": "EC",
        "crv": "P-256",
        "x": b64(point[1:33]),
        "y": b64(point[33:]),
    }
    token = jwt.decode(fields["t"], ECKey.import_key(numbers), algorithms=["ES256"])
    assert token.claims == {
        "aud": "https://push.example.net",
        "exp": 1_780_000_000 + 12 * 3600,
        "sub": "mailto:ops@example.com",
    }
    assert vapid.authorization("https://push.example.net", 1_780_000_100) == header
    assert vapid.authorization("https://push.example.net", 1_780_000_000 + 7 * 3600) != header
    assert vapid.authorization("https://other.example.net", 1_780_000_000) != header
