"""Signing in: the OAuth 2.0 token endpoint (RFC 6749), its keys (RFC 7517), and who one is.

POST /v1/oauth/token        application/x-www-form-urlencoded
    grant_type=password&username=…&password=…
    grant_type=client_credentials            client by Basic header, or client_id=…&client_secret=…
    grant_type=refresh_token&refresh_token=…
200 {"access_token": …, "token_type": "Bearer", "expires_in": seconds, "refresh_token": …}
400 or 401 {"error": …, "error_description": …}     as RFC 6749 §5.2 names them
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import msgspec
from litestar import Request, Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema

from majung.auth.limits import RateLimited
from majung.auth.model import AuthError, OAuthError, Principal, Role, TokenSet
from majung.ports import Overloaded
from majung.serve.http.auth import parse_basic, remote_of
from majung.services import Services

MAX_FORM_BYTES = 16_384
_MAX_FIELDS = 20
_FORM = "application/x-www-form-urlencoded"
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_OPEN: list[dict[str, list[str]]] = [{}]  # for OpenAPI: needs no credential


class TokenError(msgspec.Struct, frozen=True):
    """RFC 6749 §5.2."""

    error: str
    error_description: str


class Me(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who the token belongs to; `riders` lists whom it may see, and is absent when that is everybody."""

    subject: str
    role: Role
    rider_id: str = ""
    expires_at_ms: int | None = None
    riders: list[str] | None = None
    store_id: str = ""


@dataclass
class _TokenOperation(Operation):
    """The form, for OpenAPI: the handler reads it itself, to refuse in the words of RFC 6749."""

    def __post_init__(self) -> None:
        fields = ("username", "password", "client_id", "client_secret", "refresh_token")
        grant = Schema(type=OpenAPIType.STRING, enum=["password", "client_credentials", "refresh_token"])
        form = Schema(
            type=OpenAPIType.OBJECT,
            required=["grant_type"],
            properties={"grant_type": grant, **{field: Schema(type=OpenAPIType.STRING) for field in fields}},
        )
        self.request_body = RequestBody(content={_FORM: OpenAPIMediaType(schema=form)}, required=True)


_REFUSALS = {
    400: ResponseSpec(TokenError, description="Refused: RFC 6749 §5.2."),
    401: ResponseSpec(TokenError, description="The client is unknown, or its secret is wrong."),
    429: ResponseSpec(TokenError, description="Too many failed sign-ins; see Retry-After."),
    503: ResponseSpec(TokenError, description="Busy; see Retry-After."),
}


@post(
    "/v1/oauth/token",
    status_code=200,
    summary="Get a token",
    tags=["auth"],
    security=_OPEN,
    operation_class=_TokenOperation,
    responses=_REFUSALS,
)
async def token(request: Request[Any, Any, Any], services: Services) -> Response[TokenSet]:
    """OAuth 2.0 grants `password`, `client_credentials` and `refresh_token`, as a form."""
    try:
        form = _parse_form(request.headers.get("content-type", ""), await request.body())
        granted = await _grant(request, services, form)
    except OAuthError as refusal:
        return _refuse(refusal, basic="authorization" in request.headers)
    except RateLimited as limited:
        return _later(429, str(limited), limited.retry_after_s)
    except Overloaded as overloaded:
        return _later(503, str(overloaded), 2)
    return Response(granted, headers=_NO_STORE)


@get("/v1/oauth/jwks.json", summary="The public keys of access tokens", tags=["auth"], security=_OPEN)
async def jwks(services: Services) -> Response[dict[str, Any]]:
    """A JWK set (RFC 7517): with it, other services verify Majung's tokens."""
    return Response(await services.auth.keys.public(), headers={"Cache-Control": "public, max-age=300"})


@get("/v1/me", summary="Who I am", tags=["auth"])
async def me(services: Services, principal: Principal) -> Me:
    """The caller, its role, and the riders that it may see."""
    riders = await services.policy.visible(principal)
    return Me(
        principal.subject,
        principal.role,
        principal.rider_id,
        principal.expires_at_ms,
        None if riders is None else sorted(riders),
        principal.store_id,
    )


HANDLERS = [token, jwks, me]


def _parse_form(content_type: str, body: bytes) -> dict[str, str]:
    """The fields of the form. Raises OAuthError(invalid_request); none may come twice (RFC 6749 §3.2)."""
    if content_type.partition(";")[0].strip().lower() != _FORM:
        raise OAuthError("invalid_request", f"send the parameters as {_FORM}")
    if len(body) > MAX_FORM_BYTES:
        raise OAuthError("invalid_request", "the form is too large")
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=False, max_num_fields=_MAX_FIELDS, errors="strict"
        )
    except ValueError:
        raise OAuthError("invalid_request", "the form cannot be read") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise OAuthError("invalid_request", "a parameter stands twice")
    return form


async def _grant(request: Request[Any, Any, Any], services: Services, form: dict[str, str]) -> TokenSet:
    remote = remote_of(request)
    match form.get("grant_type", ""):
        case "password":
            name, password = _field(form, "username"), _field(form, "password")
            return await services.auth.password_grant(name, password, remote)
        case "client_credentials":
            client_id, secret = _client(request.headers.get("authorization", ""), form)
            return await services.auth.client_credentials_grant(client_id, secret, remote)
        case "refresh_token":
            return await services.auth.refresh_grant(_field(form, "refresh_token"))
        case "":
            raise OAuthError("invalid_request", "grant_type is missing")
    raise OAuthError("unsupported_grant_type", "grant_type is password, client_credentials or refresh_token")


def _field(form: dict[str, str], name: str) -> str:
    if not (value := form.get(name, "")):
        raise OAuthError("invalid_request", f"{name} is missing")
    return value


def _client(authorization: str, form: dict[str, str]) -> tuple[str, str]:
    """RFC 6749 §2.3.1: the client's id and secret, from the Basic header (form-encoded there) or the form."""
    if not authorization:
        return _field(form, "client_id"), _field(form, "client_secret")
    if "client_secret" in form:
        raise OAuthError("invalid_request", "the client's secret stands twice: in the header and in the form")
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise OAuthError("invalid_client", "the client authenticates by Basic or in the form")
    try:
        client_id, secret = parse_basic(value)
    except AuthError as error:
        raise OAuthError("invalid_client", str(error)) from None
    return unquote_plus(client_id), unquote_plus(secret)


def _refuse(refusal: OAuthError, basic: bool) -> Response[Any]:
    unauthorized = refusal.error == "invalid_client"
    challenge = {"WWW-Authenticate": 'Basic realm="majung"'} if unauthorized and basic else {}
    body = TokenError(refusal.error, str(refusal))
    return Response(body, status_code=401 if unauthorized else 400, headers={**_NO_STORE, **challenge})


def _later(status: int, text: str, after_s: float) -> Response[Any]:
    headers = {**_NO_STORE, "Retry-After": str(max(1, round(after_s)))}
    return Response(TokenError("temporarily_unavailable", text), status_code=status, headers=headers)
