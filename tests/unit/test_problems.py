"""Every error has a status, words for a person, and nothing of this machine in them."""

import msgspec
import pytest
from litestar.exceptions import MethodNotAllowedException, NotFoundException, ValidationException

from majung.auth.accounts import AccountConflict
from majung.auth.limits import RateLimited
from majung.auth.model import AuthError, Forbidden
from majung.ports import Conflict, Damaged, Overloaded, PortError, StorageFull
from majung.serve.http.problems import describe

SECRET = "/var/lib/majung/log/00000001.db: database or disk is full"

CASES: list[tuple[Exception, int, str]] = [
    (AuthError("no credential"), 401, "no credential"),
    (Forbidden("the role viewer may not read cells"), 403, "the role viewer may not read cells"),
    (RateLimited("too many requests", 3.0), 429, "too many requests"),
    (LookupError("no fence 'x'"), 404, "no fence 'x'"),
    (ValueError("from is after to"), 400, "from is after to"),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), 400, "the request is not UTF-8"),
    (RecursionError("maximum recursion depth exceeded"), 400, "the JSON is nested too deeply"),
    (AccountConflict("there is a user 'mina' already"), 409, "there is a user 'mina' already"),
    (Conflict(SECRET), 409, Conflict.outward),
    (StorageFull(SECRET), 507, StorageFull.outward),
    (Overloaded(SECRET), 503, Overloaded.outward),
    (PortError(SECRET), 503, PortError.outward),
    (Damaged(SECRET), 500, Damaged.outward),
    (NotFoundException(), 404, ""),
    (MethodNotAllowedException(), 405, ""),
    (ValidationException("bad", extra=[{"key": "lat", "message": "too far"}]), 400, "lat: too far"),
    (KeyError("rider"), 500, "the server's log has the details"),
    (IndexError(SECRET), 500, "the server's log has the details"),
    (RuntimeError(SECRET), 500, "the server's log has the details"),
]


@pytest.mark.parametrize(("problem", "status", "detail"), CASES, ids=[type(p).__name__ for p, _, _ in CASES])
def test_what_is_said(problem: Exception, status: int, detail: str) -> None:
    told = describe(problem)
    assert (told.status, told.detail) == (status, detail)
    assert told.type
    assert told.title
    assert SECRET not in msgspec.json.encode(told).decode()


def test_types_are_of_one_status_each() -> None:
    statuses: dict[str, int] = {}
    for problem, status, _ in CASES:
        assert statuses.setdefault(describe(problem).type, status) == status
