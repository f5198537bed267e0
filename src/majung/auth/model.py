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


class Principal(msgspec.Struct, frozen=True):
    """The authenticated caller. `subject` is unique; `rider_id` is set for a device alone."""

    subject: str
    role: Role
    rider_id: str = ""
    expires_at_ms: int | None = None


class AuthError(Exception):
    """No, or no valid, credential. `str()` is safe to show."""


class Forbidden(Exception):
    """A valid credential that may not do this. `str()` is safe to show."""
