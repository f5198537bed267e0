"""Who asks, and what roles there are."""

from enum import StrEnum

import msgspec


class Role(StrEnum):
    """What an account or credential is for. What each may do is the table in `policy.py`."""

    ADMIN = "admin"  # everything, accounts included
    OPERATOR = "operator"  # sees every rider, quarantine, cells; changes fences
    VIEWER = "viewer"  # sees the riders it was granted
    GATEWAY = "gateway"  # reports positions for any rider (a fleet's own server, replay, simulator)
    DEVICE = "device"  # reports for the one rider it belongs to, and sees that rider
    CUSTOMER = "customer"  # orders, and follows its own orders
    RIDER = "rider"  # rides: reports for and sees its own rider, goes on duty, carries its own job
    STORE = "store"  # runs its own store: menu, hours, the orders that came to it
    PERSON = "person"  # has friends: reports for itself, sees of its friends what each lets it see
    SHARE = "share"  # whoever has a share link: follows one order, and only so far as a stranger may


NO_ACCOUNTS = frozenset({Role.DEVICE, Role.SHARE})  # roles of credentials that nobody signs in with


class Principal(msgspec.Struct, frozen=True):
    """The authenticated caller. `subject` is unique.

    `rider_id` is set for a device, for a rider's account and for a person (`person-…`), `store_id` for the
    account of a store once it has registered one, `order_id` for a share link.
    """

    subject: str
    role: Role
    rider_id: str = ""
    expires_at_ms: int | None = None
    store_id: str = ""
    order_id: str = ""


class AuthError(Exception):
    """No, or no valid, credential. `str()` is safe to show."""


class Forbidden(Exception):
    """A valid credential that may not do this. `str()` is safe to show."""


class OAuthError(Exception):
    """A refusal of the token endpoint, as RFC 6749 §5.2 names them. `str()` is safe to show."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error


class TokenSet(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer of the token endpoint (RFC 6749 §5.1). `expires_in` is in seconds."""

    access_token: str
    expires_in: int
    token_type: str = ""
    refresh_token: str = ""


class Account(msgspec.Struct, frozen=True, omit_defaults=True):
    """A person or a fleet's server, as an administrator sees it."""

    name: str
    role: Role
    created_at_ms: int
    revoked_at_ms: int | None = None
    rider_id: str = ""
    store_id: str = ""


class Device(msgspec.Struct, frozen=True, omit_defaults=True):
    """A credential that reports for one rider, as an administrator sees it."""

    device_id: str
    rider_id: str
    created_at_ms: int
    name: str = ""
    revoked_at_ms: int | None = None


class Grant(msgspec.Struct, frozen=True, omit_defaults=True):
    """A viewer may see a rider, until a time (Unix ms) or until it is removed."""

    account: str
    rider_id: str
    until_ms: int | None = None


class NewUser(msgspec.Struct, frozen=True, omit_defaults=True):
    """A new account with its secrets, which are shown this once. `token` is for programs."""

    name: str
    role: Role
    password: str
    token: str = ""
    rider_id: str = ""
    store_id: str = ""


class NewDevice(msgspec.Struct, frozen=True):
    """A new device with its secrets, which are shown this once.

    `token` is for phones and `authorization: Bearer`; the client pair is for OAuth 2.0.
    """

    device_id: str
    rider_id: str
    token: str
    client_id: str
    client_secret: str
