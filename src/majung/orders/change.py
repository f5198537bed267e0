"""What a command makes of an order: pure, without time or storage of its own."""

import hmac
from typing import Any

import msgspec

from majung.auth.model import Forbidden
from majung.orders.model import FINAL, Actor, ActorRef, Command, CommandArgs, Order, OrderState
from majung.orders.table import NotNow, NotYours, decide
from majung.text import check_text

MAX_COOKING_MINUTES = 240
MAX_REASON = 500
PROOF_KINDS = ("photo", "signature", "code")
_TIMES_COOKING = (Command.ACCEPT, Command.SET_COOKING_TIME)
_NEEDS_RIDER = (Command.PICK_UP, Command.UNASSIGN)


class WrongCode(ValueError):
    """Not the code that the customer has."""


def check_part(order: Order, actor: ActorRef) -> None:
    """Return when the actor has part in this order. Raises Forbidden."""
    own = {Actor.CUSTOMER: order.customer, Actor.STORE: order.store_id, Actor.RIDER: order.rider_id}
    expected = own.get(actor.kind)
    if expected is not None and (not actor.id or actor.id != expected):
        raise Forbidden(f"this order is not one of this {actor.kind}")


def apply(order: Order, command: Command, actor: ActorRef, args: CommandArgs, now_ms: int) -> Order:
    """The order after the command, one version higher.

    Raises NotNow (the table, or the order as it is, says no), Forbidden, ValueError (the arguments).
    """
    try:
        after = decide(order.state, command, actor.kind)
    except NotYours as problem:
        raise Forbidden(str(problem)) from None
    changes = _arguments(order, command, actor, args)
    at_ms = max(now_ms, order.changed_at_ms)  # a clock that was set back does not turn history around
    changes |= _times(command, after, at_ms)
    return msgspec.structs.replace(
        order, version=order.version + 1, state=after, changed_at_ms=at_ms, **changes
    )


def _times(command: Command, after: OrderState, at_ms: int) -> dict[str, Any]:
    name = {
        Command.ACCEPT: "accepted_at_ms",
        Command.READY: "ready_at_ms",
        Command.PICK_UP: "picked_up_at_ms",
        Command.DEPART: "departed_at_ms",
        Command.ASSIGN: "assigned_at_ms",
    }.get(command)
    times = {name: at_ms} if name else {}
    if after in FINAL:
        times["ended_at_ms"] = at_ms
    return times


def _arguments(order: Order, command: Command, actor: ActorRef, args: CommandArgs) -> dict[str, Any]:
    if len(args.reason) > MAX_REASON:
        raise ValueError(f"reason: at most {MAX_REASON} characters")
    check_text("reason", args.reason)
    check_text("rider_id", args.rider_id)
    if command in _TIMES_COOKING:
        return {"cooking_minutes": _minutes(args)}
    if command is Command.ASSIGN:
        return {"rider_id": _rider(order, actor, args)}
    if command in _NEEDS_RIDER and not order.rider_id:
        raise NotNow(f"no rider is assigned, so nobody can {command.replace('_', ' ')}")
    if command is Command.UNASSIGN:
        return {"rider_id": "", "assigned_at_ms": 0}
    if command is Command.DELIVER:
        return {"proof": _proof(order, actor, args)}
    if command in (Command.REJECT, Command.FAIL, Command.CANCEL):
        if not args.reason.strip() and not (command is Command.CANCEL and actor.kind is Actor.CUSTOMER):
            raise ValueError(f"reason: say why the order is to {command}")
        return {"reason": args.reason.strip()}
    return {}


def _minutes(args: CommandArgs) -> int:
    """Counted from when the store accepted."""
    if args.cooking_minutes is None or not 1 <= args.cooking_minutes <= MAX_COOKING_MINUTES:
        raise ValueError(f"cooking_minutes: from 1 to {MAX_COOKING_MINUTES}")
    return args.cooking_minutes


def _rider(order: Order, actor: ActorRef, args: CommandArgs) -> str:
    if not 1 <= len(args.rider_id) <= 128:
        raise ValueError("rider_id: say which rider (1 to 128 characters)")
    if order.rider_id == args.rider_id:
        raise NotNow("this rider has the order already")
    if order.rider_id and actor.kind is Actor.DISPATCH:
        raise NotNow("another rider has the order already")
    return args.rider_id


def _proof(order: Order, actor: ActorRef, args: CommandArgs) -> Any:
    proof = args.proof
    if proof is None:
        if actor.kind is Actor.ADMIN:
            return None
        raise ValueError(f"proof: one of {', '.join(PROOF_KINDS)} is needed")
    if proof.kind not in PROOF_KINDS:
        raise ValueError(f"proof: kind is one of {', '.join(PROOF_KINDS)}")
    if proof.kind != "code":
        return proof
    if not hmac.compare_digest(proof.ref.encode(), order.delivery_code.encode()):
        raise WrongCode("proof: this is not the customer's code")
    return msgspec.structs.replace(proof, ref="")  # that it was right is all there is to keep
