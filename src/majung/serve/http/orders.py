"""Orders, the writing side: place, and what store, rider, customer and administrator do to an order."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.params import HeaderParameter, Parameter, QueryParameter

from majung.auth.model import Forbidden, Principal, Role
from majung.auth.policy import Action, may
from majung.orders.change import check_part
from majung.orders.model import Actor, ActorRef, Command, CommandArgs, Order, Proof
from majung.orders.proofs import MAX_PHOTO_BYTES, Signature
from majung.orders.wish import NewOrder, as_seen_by
from majung.services import Services

Id = Annotated[str, Parameter(min_length=1, max_length=128)]
Version = Annotated[int, msgspec.Meta(ge=1)] | None
Minutes = Annotated[int, msgspec.Meta(ge=1, le=240)]
Reason = Annotated[str, msgspec.Meta(max_length=500)]
RiderId = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Key = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key", max_length=128, description="Sent again with the same key: made once."
    ),
]
As = Annotated[
    str,
    QueryParameter(
        name="as",
        max_length=200,
        description="For administrators: act as this one's customer, store or rider. The audit names you.",
    ),
]


class Plain(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """With `expected_version` the command is done only to that version of the order."""

    expected_version: Version = None


class Cooking(Plain, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Minutes from acceptance until the food is ready."""

    cooking_minutes: Minutes


class WithReason(Plain, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why, for the others to read."""

    reason: Reason = ""


class Handover(Plain, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`proof`: kind code with the customer's four digits as ref, or what the proof door answered."""

    proof: Proof | None = None


class Reassignment(Plain, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """To which rider."""

    rider_id: RiderId


_KIND = {
    Role.CUSTOMER: Actor.CUSTOMER,
    Role.STORE: Actor.STORE,
    Role.RIDER: Actor.RIDER,
    Role.ADMIN: Actor.ADMIN,
}


def actor_of(principal: Principal, wanted: str = "") -> tuple[ActorRef, str]:
    """As whom the caller acts, and on whose account when that is somebody else. Raises Forbidden, ValueError."""
    kind = _KIND.get(principal.role)
    if kind is None:
        raise Forbidden(f"the role {principal.role} has no part in orders")
    if wanted:
        if not may(principal, Action.COMMAND_ANY_ORDER):
            raise Forbidden("only an administrator may act as somebody else")
        if wanted not in (Actor.CUSTOMER, Actor.STORE, Actor.RIDER):
            raise ValueError("as: one of customer, store, rider")
        return ActorRef(Actor(wanted), ""), principal.subject
    own = {Actor.STORE: principal.store_id, Actor.RIDER: principal.rider_id}
    return ActorRef(kind, own.get(kind, principal.subject)), ""


async def _do(
    services: Services,
    principal: Principal,
    order_id: str,
    command: Command,
    wanted: str,
    args: CommandArgs,
    expected_version: int | None,
) -> Order:
    services.policy.allow(principal, Action.ORDER_COMMAND)
    actor, by = actor_of(principal, wanted)
    done = await services.orders.command(order_id, command, actor, args, expected_version, by)
    return as_seen_by(done, Actor.ADMIN if by else actor.kind)


@post("/v1/orders", summary="Place an order", tags=["orders"])
async def place_order(
    data: NewOrder,
    services: Services,
    principal: Principal,
    idempotency_key: Key = None,
    as_: As = "",
) -> Order:
    """RECEIVED, version 1. An administrator names the customer with `as`. 409 when the key was another order's."""
    services.policy.allow(principal, Action.ORDER_PLACE)
    if as_ and not may(principal, Action.COMMAND_ANY_ORDER):
        raise Forbidden("only an administrator may order for somebody else")
    by = principal.subject if as_ else ""
    return await services.orders.place(data, as_ or principal.subject, idempotency_key, by)


@post("/v1/orders/{order_id:str}/accept", summary="Accept an order (store)", tags=["orders"], status_code=200)
async def accept_order(
    order_id: Id, data: Cooking, services: Services, principal: Principal, as_: As = ""
) -> Order:
    """RECEIVED → COOKING. 409 with the order as it is when it is too late."""
    args = CommandArgs(cooking_minutes=data.cooking_minutes)
    return await _do(services, principal, order_id, Command.ACCEPT, as_, args, data.expected_version)


@post(
    "/v1/orders/{order_id:str}/cooking-time",
    summary="Set the cooking time (store)",
    tags=["orders"],
    status_code=200,
)
async def set_cooking_time(
    order_id: Id, data: Cooking, services: Services, principal: Principal, as_: As = ""
) -> Order:
    """Minutes from acceptance, while COOKING."""
    args = CommandArgs(cooking_minutes=data.cooking_minutes)
    return await _do(
        services, principal, order_id, Command.SET_COOKING_TIME, as_, args, data.expected_version
    )


@post("/v1/orders/{order_id:str}/reject", summary="Reject an order (store)", tags=["orders"], status_code=200)
async def reject_order(
    order_id: Id, data: WithReason, services: Services, principal: Principal, as_: As = ""
) -> Order:
    """RECEIVED → REJECTED, with a reason."""
    args = CommandArgs(reason=data.reason)
    return await _do(services, principal, order_id, Command.REJECT, as_, args, data.expected_version)


@post("/v1/orders/{order_id:str}/cancel", summary="Cancel an order", tags=["orders"], status_code=200)
async def cancel_order(
    order_id: Id, data: WithReason, services: Services, principal: Principal, as_: As = ""
) -> Order:
    """By the customer until it is accepted, by the store (with a reason) until it is picked up."""
    args = CommandArgs(reason=data.reason)
    return await _do(services, principal, order_id, Command.CANCEL, as_, args, data.expected_version)


@post(
    "/v1/orders/{order_id:str}/fail", summary="Give up a delivery (rider)", tags=["orders"], status_code=200
)
async def fail_order(
    order_id: Id, data: WithReason, services: Services, principal: Principal, as_: As = ""
) -> Order:
    """PICKED_UP or DELIVERING → FAILED, with a reason."""
    args = CommandArgs(reason=data.reason)
    return await _do(services, principal, order_id, Command.FAIL, as_, args, data.expected_version)


@post(
    "/v1/orders/{order_id:str}/ready", summary="Ready for pick-up (store)", tags=["orders"], status_code=200
)
async def ready_order(
    order_id: Id, data: Plain, services: Services, principal: Principal, as_: As = ""
) -> Order:
    """COOKING → READY."""
    return await _do(services, principal, order_id, Command.READY, as_, CommandArgs(), data.expected_version)


@post("/v1/orders/{order_id:str}/pick-up", summary="Picked up (rider)", tags=["orders"], status_code=200)
async def pick_up_order(
    order_id: Id, data: Plain, services: Services, principal: Principal, as_: As = ""
) -> Order:
    """READY → PICKED_UP, by the rider it was given to."""
    return await _do(
        services, principal, order_id, Command.PICK_UP, as_, CommandArgs(), data.expected_version
    )


@post("/v1/orders/{order_id:str}/depart", summary="On the way (rider)", tags=["orders"], status_code=200)
async def depart_order(
    order_id: Id, data: Plain, services: Services, principal: Principal, as_: As = ""
) -> Order:
    """PICKED_UP → DELIVERING."""
    return await _do(services, principal, order_id, Command.DEPART, as_, CommandArgs(), data.expected_version)


@post("/v1/orders/{order_id:str}/deliver", summary="Delivered (rider)", tags=["orders"], status_code=200)
async def deliver_order(
    order_id: Id, data: Handover, services: Services, principal: Principal, as_: As = ""
) -> Order:
    """DELIVERING → DELIVERED, with a proof: the customer's code, or a photo or signature sent before."""
    services.policy.allow(principal, Action.ORDER_COMMAND)
    services.proofs.check(order_id, data.proof)
    args = CommandArgs(proof=data.proof)
    return await _do(services, principal, order_id, Command.DELIVER, as_, args, data.expected_version)


@post(
    "/v1/orders/{order_id:str}/reassign",
    summary="Give an order to another rider",
    tags=["orders"],
    status_code=200,
)
async def reassign_order(order_id: Id, data: Reassignment, services: Services, principal: Principal) -> Order:
    """For administrators, until it is delivered. 409 when that rider has another order."""
    args = CommandArgs(rider_id=data.rider_id)
    return await _do(services, principal, order_id, Command.ASSIGN, "", args, data.expected_version)


@post(
    "/v1/orders/{order_id:str}/unassign",
    summary="Take the rider off an order",
    tags=["orders"],
    status_code=200,
)
async def unassign_order(
    order_id: Id, data: Plain, services: Services, principal: Principal, as_: As = ""
) -> Order:
    """By its rider or an administrator, before pick-up; another rider is looked for."""
    return await _do(
        services, principal, order_id, Command.UNASSIGN, as_, CommandArgs(), data.expected_version
    )


@post("/v1/orders/{order_id:str}/proof/photo", summary="Send the photo of a handover", tags=["orders"])
async def add_proof_photo(
    order_id: Id, request: Request[Any, Any, Any], services: Services, principal: Principal, as_: As = ""
) -> Proof:
    """JPEG, PNG or WebP of at most 2 MiB as the body. The answer goes into `proof` of deliver."""
    services.policy.allow(principal, Action.ORDER_COMMAND)
    actor, by = actor_of(principal, as_)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_PHOTO_BYTES:
            raise ValueError(f"the photo is larger than {MAX_PHOTO_BYTES} bytes")
    return await services.proofs.add_photo(order_id, actor, bytes(body), by)


@post("/v1/orders/{order_id:str}/proof/signature", summary="Send a signature", tags=["orders"])
async def add_proof_signature(
    order_id: Id, data: Signature, services: Services, principal: Principal, as_: As = ""
) -> Proof:
    """As SVG path data. The answer goes into `proof` of deliver."""
    services.policy.allow(principal, Action.ORDER_COMMAND)
    actor, by = actor_of(principal, as_)
    return await services.proofs.add_signature(order_id, actor, data, by)


@get("/v1/orders/{order_id:str}/proof", summary="Read the photo or signature", tags=["orders"])
async def get_proof(order_id: Id, services: Services, principal: Principal) -> Response[bytes]:
    """For those who have part in the order. 404 when it was delivered by code."""
    services.policy.allow(principal, Action.ORDER_READ)
    order = await services.orders.get_for_write(order_id)
    if not may(principal, Action.READ_ANY_ORDER):
        check_part(order, actor_of(principal)[0])
    media_type, body = await services.proofs.read(order)
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}
    return Response(body, media_type=media_type, headers=headers)


HANDLERS = [
    place_order,
    accept_order,
    set_cooking_time,
    reject_order,
    cancel_order,
    fail_order,
    ready_order,
    pick_up_order,
    depart_order,
    deliver_order,
    reassign_order,
    unassign_order,
    add_proof_photo,
    add_proof_signature,
    get_proof,
]
