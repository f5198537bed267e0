"""The state table: state × command × actor → state. Diagrams and the exhaustive test come out of it.

What is not in the table is not possible: `decide` says why, in words for the one who asked.
"""

from majung.orders.model import FINAL, Actor, Command, OrderState

S, C, A = OrderState, Command, Actor

_STAFF = frozenset({A.ADMIN})
_STORE = frozenset({A.STORE, A.ADMIN})
_RIDER = frozenset({A.RIDER, A.ADMIN})
_DISPATCH = frozenset({A.DISPATCH, A.ADMIN})

TABLE: dict[tuple[OrderState, Command], tuple[OrderState, frozenset[Actor]]] = {
    (S.RECEIVED, C.ACCEPT): (S.COOKING, _STORE),
    (S.RECEIVED, C.REJECT): (S.REJECTED, _STORE),
    (S.RECEIVED, C.CANCEL): (S.CANCELLED, frozenset({A.CUSTOMER, A.ADMIN})),
    (S.COOKING, C.SET_COOKING_TIME): (S.COOKING, _STORE),
    (S.COOKING, C.READY): (S.READY, _STORE),
    (S.COOKING, C.ASSIGN): (S.COOKING, _DISPATCH),
    (S.COOKING, C.UNASSIGN): (S.COOKING, _DISPATCH | {A.RIDER}),
    (S.COOKING, C.CANCEL): (S.CANCELLED, _STORE),
    (S.READY, C.ASSIGN): (S.READY, _DISPATCH),
    (S.READY, C.UNASSIGN): (S.READY, _DISPATCH | {A.RIDER}),
    (S.READY, C.PICK_UP): (S.PICKED_UP, _RIDER),
    (S.READY, C.CANCEL): (S.CANCELLED, _STORE),
    (S.PICKED_UP, C.DEPART): (S.DELIVERING, _RIDER),
    (S.PICKED_UP, C.ASSIGN): (S.PICKED_UP, _STAFF),  # a rider who broke down hands over on the way
    (S.PICKED_UP, C.FAIL): (S.FAILED, _RIDER),
    (S.DELIVERING, C.ASSIGN): (S.DELIVERING, _STAFF),
    (S.DELIVERING, C.DELIVER): (S.DELIVERED, _RIDER),
    (S.DELIVERING, C.FAIL): (S.FAILED, _RIDER),
}


class NotNow(Exception):
    """The command is no way out of the state that the order is in."""


class NotYours(Exception):
    """The command is a way, but not for this actor."""


def decide(state: OrderState, command: Command, actor: Actor) -> OrderState:
    """The state after `command` by `actor`. Raises NotNow, NotYours."""
    found = TABLE.get((state, command))
    if found is None:
        ended = " any more: it has ended" if state in FINAL else ""
        raise NotNow(f"an order that is {state} cannot {command.replace('_', ' ')}{ended}")
    after, actors = found
    if actor not in actors:
        allowed = ", ".join(sorted(actors))
        raise NotYours(f"{command.replace('_', ' ')} is for {allowed}, not for {actor}")
    return after


def ways_out(state: OrderState, actor: Actor) -> list[Command]:
    """What `actor` may do to an order in this state: the buttons of a page."""
    return [
        command for (before, command), (_, actors) in TABLE.items() if before is state and actor in actors
    ]


def diagram() -> str:
    """The table as a Mermaid state diagram, for the documents."""
    lines = ["stateDiagram-v2", f"    [*] --> {S.RECEIVED}: place (customer)"]
    for (before, command), (after, actors) in TABLE.items():
        lines.append(f"    {before} --> {after}: {command} ({', '.join(sorted(actors))})")
    lines += [f"    {state} --> [*]" for state in OrderState if state in FINAL]
    return "\n".join(lines)
