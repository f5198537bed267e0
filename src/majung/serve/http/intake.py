"""What the HTTP doors for positions share: who reports, append what was read, know when it is durable."""

import asyncio
from collections.abc import Iterable, Mapping

import msgspec
import structlog

from majung.auth.limits import RateLimited
from majung.auth.model import AuthError, Forbidden, Principal
from majung.auth.policy import Action
from majung.ports import PortError
from majung.positions.ingest import Ingest
from majung.positions.model import Position
from majung.serve.http.auth import Connection, parse_basic, remote_of
from majung.serve.http.problems import Problem
from majung.services import Services
from majung.wire import websocket_in
from majung.wire.fields import Decoded, Unreadable

Commit = asyncio.Future[None]

log = structlog.get_logger("majung.intake")


async def authenticate_sender(
    connection: Connection, services: Services, params: Mapping[str, str], device_id: str = ""
) -> tuple[Principal, str]:
    """Who reports, and the secret that proved it (so that it can be kept out of what is stored).

    The first that is there decides: `Authorization` (Bearer or Basic), `token` or `access_token` among the
    parameters, the device's id. Raises AuthError, RateLimited, PortError; Forbidden for an account that
    reports no positions.
    """
    remote = remote_of(connection)
    scheme, _, value = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        username, secret = parse_basic(value)
        principal = await services.auth.authenticate_basic(username, secret, remote)
    else:
        token = params.get("token") or params.get("access_token") or device_id
        secret = value.strip() if scheme.lower() == "bearer" else token
        if not secret:
            raise AuthError("no credential: give the app the device's token")
        principal = await services.auth.authenticate_bearer(secret, remote)
    services.policy.allow(principal, Action.REPORT_OWN)
    return principal, secret


def take_in(ingest: Ingest, principal: Principal, door: str, decoded: Decoded) -> frozenset[Commit]:
    """Append the positions and quarantine the rest; nothing may be acknowledged before `durable` of these.

    Raises what `Ingest.submit` raises at once; then nothing may be acknowledged at all.
    """
    positions = [one for one in decoded if isinstance(one, Position)]
    commits = [ingest.submit(principal, positions)] if positions else []
    commits += [
        ingest.quarantine(principal, door, one.payload, one.reason, one.detail, one.rider_id)
        for one in decoded
        if isinstance(one, Unreadable)
    ]
    return frozenset(commits)


class Taken(msgspec.Struct, frozen=True):
    """One frame of a WebSocket on its way: its commits, the seq of its last position, what is wrong with it."""

    commits: frozenset[Commit]
    seq: int | None
    error: Problem | None


def take_frame(ingest: Ingest, principal: Principal, decoded: Decoded) -> Taken:
    """Append what a frame of `websocket_in` held. Raises what `take_in` raises."""
    commits = take_in(ingest, principal, websocket_in.DOOR, decoded)
    seqs = [one.seq for one in decoded if isinstance(one, Position)]
    bad = [one.detail for one in decoded if isinstance(one, Unreadable)]
    error = None
    if bad:
        more = f" (and {len(bad) - 1} more in this frame)" if len(bad) > 1 else ""
        error = Problem("malformed", "Not a position; it was set aside", 400, bad[0] + more)
    return Taken(commits, seqs[-1] if seqs else None, error)


def close_code(problem: Exception) -> int:
    """What a WebSocket that takes positions is closed with: whether it is worth while to come again."""
    if isinstance(problem, AuthError | Forbidden):
        return 1008
    if isinstance(problem, PortError | RateLimited):
        return 1013
    log.error("device_socket_failed", exc_info=problem)
    return 1011


async def durable(commits: Iterable[Commit]) -> None:
    """Return when all are done; raises what the first one that failed raised.

    The future of a commit is shared by everybody in it, so it is only looked at: a request that is
    cancelled here must not cancel the acknowledgement of the others.
    """
    waiting = set(commits)
    if not waiting:
        return
    done, _ = await asyncio.wait(waiting)
    problems = [problem for future in done if (problem := future.exception()) is not None]
    if problems:
        raise problems[0]
