"""Access tokens: which are genuine. Everything else is refused with the same error."""

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jws, jwt
from joserfc.jwk import ECKey

from majung.auth.keys import KeyRing
from majung.auth.model import AuthError, Role
from majung.settings import AuthSettings
from tests.auth_kit import PASSWORD, Kit, open_kit


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    async with open_kit(tmp_path) as kit:
        await kit.auth.add_user("mina", Role.OPERATOR, PASSWORD)
        yield kit


def part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unpack(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    header, payload, signature = token.split(".")
    claims, head = (json.loads(base64.urlsafe_b64decode(text + "==")) for text in (payload, header))
    return head, claims, signature


async def refused(kit: Kit, token: str) -> None:
    with pytest.raises(AuthError):
        await kit.auth.authenticate_bearer(token)


async def test_a_genuine_token(kit: Kit) -> None:
    token = await kit.sign_in("mina")
    principal = await kit.auth.authenticate_bearer(token)
    assert (principal.subject, principal.role) == ("operator:mina", Role.OPERATOR)
    assert principal.expires_at_ms == (kit.clock.now_ms() // 1000 + 3600) * 1000
    header, claims, _ = unpack(token)
    assert header == {"alg": "ES256", "typ": "at+jwt", "kid": header["kid"]}
    assert {"iss", "aud", "sub", "iat", "exp", "jti"} <= set(claims)
    assert claims["jti"] != unpack(await kit.sign_in("mina"))[1]["jti"]


async def test_expired_also_when_remembered(kit: Kit) -> None:
    token = await kit.sign_in("mina")
    kit.clock.advance(3599)
    await kit.auth.authenticate_bearer(token)
    kit.clock.advance(1)
    await refused(kit, token)
    await refused(kit.other(), token)


async def test_of_a_foreign_issuer_with_our_key(kit: Kit) -> None:
    foreign = kit.other(AuthSettings.model_validate({"issuer": "somebody else"}))
    await refused(kit, await foreign.sign_in("mina"))


async def test_signed_by_a_key_of_somebody_else(kit: Kit) -> None:
    header, claims, _ = unpack(await kit.sign_in("mina"))
    stranger = ECKey.generate_key("P-256")
    await refused(kit, jwt.encode(header, claims, stranger, algorithms=["ES256"]))
    embedded = {**header, "jwk": stranger.as_dict(private=False)}
    await refused(kit, jwt.encode(embedded, claims, stranger, algorithms=["ES256"]))
    await refused(kit, jwt.encode({**header, "kid": "nobody"}, claims, stranger, algorithms=["ES256"]))


async def test_alg_none_and_confusion(kit: Kit) -> None:
    token = await kit.sign_in("mina")
    header, claims, signature = unpack(token)
    for algorithm in ("none", "None", "NONE", "nOnE"):
        await refused(kit, f"{part({**header, 'alg': algorithm})}.{part(claims)}.")
        await refused(kit, f"{part({**header, 'alg': algorithm})}.{part(claims)}.{signature}")
    # The public key as an HMAC secret: the classic confusion.
    public = (await kit.auth.keys.public())["keys"][0]
    pem = ECKey.import_key({k: public[k] for k in ("kty", "crv", "x", "y")}).as_pem(private=False)
    for secret in (pem, json.dumps(public).encode()):
        for algorithm, hash_ in (("HS256", "sha256"), ("ES256", "sha256"), ("HS512", "sha512")):
            signed = f"{part({**header, 'alg': algorithm})}.{part(claims)}"
            await refused(kit, f"{signed}.{part(hmac.digest(secret, signed.encode(), hash_))}")


@pytest.mark.parametrize(
    "change",
    [
        lambda header, claims: claims.update(sub="admin:admin"),
        lambda header, claims: claims.update(role="admin"),
        lambda header, claims: claims.update(exp=claims["exp"] + 1),
        lambda header, claims: header.update(crit=["exp"]),
    ],
    ids=["another subject", "another role", "longer life", "crit"],
)
async def test_changed_after_signing(kit: Kit, change: Callable[[Any, Any], None]) -> None:
    header, claims, signature = unpack(await kit.sign_in("mina"))
    change(header, claims)
    await refused(kit, f"{part(header)}.{part(claims)}.{signature}")


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "another"},
        {"aud": ["majung"]},
        {"exp": None},
        {"exp": "9999999999"},
        {"exp": 1e30},
        {"sub": 7},
        {"role": "god"},
        {"gen": 2},
        {"sub": "operator:nobody"},
        {"sub": "device:nobody"},
        {"sub": ""},
    ],
    ids=str,
)
async def test_wrong_claims_under_our_own_signature(kit: Kit, change: dict[str, Any]) -> None:
    header, claims, _ = unpack(await kit.sign_in("mina"))
    key = await kit.auth.keys.signing()

    def sign(claims: dict[str, Any]) -> str:
        return jws.serialize_compact(header, json.dumps(claims), key.key, algorithms=["ES256"])

    await kit.auth.authenticate_bearer(sign(claims))
    await refused(kit, sign({**claims, **change}))
    await refused(kit, sign({k: v for k, v in claims.items() if k not in change}))


async def test_another_type_of_token(kit: Kit) -> None:
    header, claims, _ = unpack(await kit.sign_in("mina"))
    key = await kit.auth.keys.signing()
    for typ in ("JWT", "refresh", None, 7):
        token = jws.serialize_compact(
            {"alg": "ES256", "kid": header["kid"], **({"typ": typ} if isinstance(typ, str) else {})},
            json.dumps(claims),
            key.key,
            algorithms=["ES256"],
        )
        await refused(kit, token)


async def test_truncated_anywhere(kit: Kit) -> None:
    token = await kit.sign_in("mina")
    for length in range(len(token)):
        await refused(kit, token[:length])
    await refused(kit, token + "A")
    await refused(kit, token + ".x")


@pytest.mark.parametrize(
    "token",
    ["", " ", ".", "..", "...", "a.b.c", "\0.\0.\0", "가.나.다", "\ud800.x.y", "mjd_", "mju__", "mjd_x_y"],
    ids=ascii,
)
async def test_rubbish(kit: Kit, token: str) -> None:
    await refused(kit, token)


async def test_a_million_characters(kit: Kit) -> None:
    token = await kit.sign_in("mina")
    for text in ("x" * 1_000_000, "." * 1_000_000, "mjd_" + "a" * 1_000_000, token + "A" * 1_000_000):
        await refused(kit, text)
    assert all(len(key) < 5000 for key in kit.auth._remembered)


async def test_headers_nested_deep(kit: Kit) -> None:
    deep = part(b"[" * 2500 + b"]" * 2500)
    await refused(kit, f"{deep[:3000]}.e30.AA")
    await refused(kit, f"{part(b'{}')}.{deep[:3000]}.AA")


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(st.text(max_size=60), st.binary(max_size=60)), st.binary(max_size=60), st.binary(max_size=70)
)
async def test_any_three_parts(kit: Kit, head: str | bytes, payload: bytes, signature: bytes) -> None:
    first = head if isinstance(head, str) else part(head)
    await refused(kit, f"{first}.{part(payload)}.{part(signature)}")


# ------------------------------------------------------------------------------------------- keys


async def test_keys_rotate_by_age_and_old_tokens_live_on(kit: Kit) -> None:
    kit = kit.other(AuthSettings.model_validate({"rotate_keys_every": "30d", "token_for": "1h"}))
    await kit.auth.keys.signing()
    kit.clock.advance(30 * 86_400 - 1800)
    old = await kit.sign_in("mina")
    kit.clock.advance(1801)
    new = await kit.sign_in("mina")
    assert unpack(old)[0]["kid"] != unpack(new)[0]["kid"]
    for fresh in (kit, kit.other()):
        await fresh.auth.authenticate_bearer(old)
        await fresh.auth.authenticate_bearer(new)
    kids = {key["kid"] for key in (await kit.auth.keys.public())["keys"]}
    assert kids == {unpack(old)[0]["kid"], unpack(new)[0]["kid"]}


async def test_a_retired_key_is_deleted_when_its_tokens_are_gone(kit: Kit) -> None:
    first = (await kit.auth.keys.signing()).kid
    for _ in range(3):
        kit.clock.advance(30 * 86_400)
        await kit.auth.keys.signing()
    kids = [row[0] for row in await kit.database.read("SELECT kid FROM signing_key")]
    assert first not in kids
    assert len(kids) == 2


async def test_two_processes_rotate_to_one_key(kit: Kit) -> None:
    await kit.auth.keys.signing()
    kit.clock.advance(31 * 86_400)
    one, two = await kit.auth.keys.signing(), await kit.other().auth.keys.signing()
    assert one.kid == two.kid


async def test_a_key_made_by_another_process_verifies(kit: Kit) -> None:
    await kit.auth.keys.signing()
    kit.clock.advance(31 * 86_400)
    token = await kit.other().sign_in("mina")
    await kit.auth.authenticate_bearer(token)


async def test_after_a_restart_everybody_who_comes_at_once_is_known(kit: Kit) -> None:
    tokens = [await kit.sign_in("mina") for _ in range(8)]
    restarted = kit.other()
    known = await asyncio.gather(*(restarted.auth.authenticate_bearer(token) for token in tokens))
    assert {principal.subject for principal in known} == {"operator:mina"}


async def test_unknown_kids_do_not_hammer_the_database(kit: Kit) -> None:
    reads = 0

    class Counting:
        async def read(self, sql: str, params: Any = ()) -> list[Any]:
            nonlocal reads
            reads += 1
            return await kit.database.read(sql, params)

        write = kit.database.write
        close = kit.database.close

    ring = KeyRing(Counting(), kit.clock, 1e6, 3600)
    await ring.signing()
    reads = 0
    for number in range(100):
        assert await ring.verifying(f"unknown-{number}") is None
    assert reads <= 1
    kit.clock.advance(1)
    await ring.verifying("unknown")
    assert reads <= 2


async def test_the_key_set_verifies_elsewhere_and_holds_no_secret(kit: Kit) -> None:
    token = await kit.sign_in("mina")
    published = await kit.auth.keys.public()
    assert all("d" not in key for key in published["keys"])
    (key,) = published["keys"]
    assert (key["kid"], key["alg"], key["use"]) == (unpack(token)[0]["kid"], "ES256", "sig")
    assert jwt.decode(token, ECKey.import_key(key), algorithms=["ES256"]).claims["sub"] == "operator:mina"
