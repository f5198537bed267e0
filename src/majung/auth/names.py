"""What accounts, devices and riders may be called, and whose ids are whose."""

from majung.auth.credentials import new_id
from majung.auth.model import Role
from majung.positions.check import MAX_ID_CHARS, is_good_id
from majung.positions.model import PERSON_PREFIX


def check_name(name: str) -> None:
    """Raises ValueError."""
    if not is_good_id(name) or ":" in name:
        raise ValueError(f"a user name has 1 to {MAX_ID_CHARS} printable characters without / and :")


def check_device_name(name: str) -> None:
    """Raises ValueError. It may be empty."""
    if name and not is_good_id(name):
        raise ValueError(f"a device name has at most {MAX_ID_CHARS} printable characters without /")


def check_rider_id(rider_id: str, of_person: bool = False) -> None:
    """Raises ValueError: not an id, or (without `of_person`) one of those that belong to people alone."""
    if not is_good_id(rider_id):
        raise ValueError(f"a rider_id has 1 to {MAX_ID_CHARS} printable characters without /")
    if rider_id.startswith(PERSON_PREFIX) is not of_person:
        raise ValueError(f"ids that begin with {PERSON_PREFIX} are people's: they share with friends alone")


def rider_id_for(role: Role, wanted: str) -> str:
    """Whom an account reports for: the rider that is wanted, or a new person. Raises ValueError."""
    if role is Role.PERSON:
        return f"{PERSON_PREFIX}{new_id()}"
    if role is not Role.RIDER:
        return ""
    check_rider_id(wanted)
    return wanted


def check_ids(role: Role, rider_id: str, store_id: str) -> None:
    """Raises ValueError."""
    for what, given, whose in (("rider_id", rider_id, Role.RIDER), ("store_id", store_id, Role.STORE)):
        if given and role is not whose:
            raise ValueError(f"a {what} is for the role {whose}")
        if given and not is_good_id(given):
            raise ValueError(f"a {what} has 1 to {MAX_ID_CHARS} printable characters without /")
