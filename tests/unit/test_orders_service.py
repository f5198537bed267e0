"""The service against the table: every state × command × actor, random histories, and many at once."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from majung.auth.model import Forbidden
from majung.backends.embedded.database import EmbeddedDatabase
from majung.clock import ManualClock
from majung.orders.model import KOREAN, Actor, ActorRef, Command, CommandArgs, Order, OrderState, Proof
from majung.orders.service import MAX_WRONG_CODES, OrderConflict, OrderService, RiderTaken
from majung.orders.table import TABLE, diagram
from tests.orders_kit import ACTORS, ADMIN, ARGS, CUSTOMER, DISPATCH, HAPPY, RIDER, STORE, WISH, OpenStore

C, S = Command, OrderState
# The shortest way into every state, with a rider assigned wherever one can be.
WAY: dict[OrderState, tuple[tuple[Command, ActorRef], ...]] = {
    S.RECEIVED: (),
    S.COOKING: HAPPY[:2],
    S.READY: HAPPY[:3],
    S.PICKED_UP: HAPPY[:4],
    S.DELIVERING: HAPPY[:5],
    S.DELIVERED: HAPPY,
    S.REJECTED: ((C.REJECT, STORE),),
    S.CANCELLED: ((C.CANCEL, CUSTOMER),),
    S.FAILED: (*HAPPY[:5], (C.FAIL, RIDER)),
}
OUTBOX = "SELECT order_id, version, payload FROM outbox ORDER BY order_id, version"


class Desk:
    def __init__(self, database: EmbeddedDatabase) -> None:
        self.database = database
        self.clock = ManualClock()
        self.store = OpenStore()
        self.service = OrderService(database, self.clock, self.store)

    async def at(self, state: OrderState) -> Order:
        order = await self.service.place(WISH, CUSTOMER.id)
        for command, actor in WAY[state]:
            order = await self.service.command(order.order_id, command, actor, args_for(command, order))
        return order


def args_for(command: Command, order: Order) -> CommandArgs:
    if command is C.ASSIGN:
        # One rider has one order: each order of these tests has riders of its own, the first called rider-1.
        return CommandArgs(rider_id="rider-1" if not order.rider_id else "rider-2")
    return ARGS.get(command, CommandArgs())


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    database = await EmbeddedDatabase(tmp_path / "majung.db").open()
    yield Desk(database)
    await database.close()


async def check_history(desk: Desk, order_id: str) -> None:
    """Versions without holes, a path of the table, one outbox row each, and its end is the order."""
    events = await desk.service.history(order_id)
    assert [event.version for event in events] == list(range(1, len(events) + 1))
    assert events[0].command == "" and events[0].order.state is S.RECEIVED
    for before, after in pairwise(events):
        state, actors = TABLE[before.order.state, Command(after.command)]
        assert after.order.state is state
        assert after.actor in actors
        assert after.at_ms >= before.at_ms
    assert events[-1].order == await desk.service.get_for_write(order_id)
    rows = [row for row in await desk.database.read(OUTBOX) if row[0] == order_id]
    assert [row[1] for row in rows] == [event.version for event in events]
    assert [msgspec.json.decode(row[2])["event_id"] for row in rows] == [e.event_id for e in events]


async def test_every_state_command_and_actor_is_as_the_table_says(desk: Desk) -> None:
    checked = 0
    for state in OrderState:
        for command in Command:
            for actor in ACTORS:
                order = await desk.at(state)
                known = TABLE.get((state, command))
                # The rider (or dispatch) of a table row needs the order's own rider, or none, as it may be.
                possible = known is not None and actor.kind in known[1]
                mine = actor is not RIDER or order.rider_id == RIDER.id
                if command is C.ASSIGN and actor is DISPATCH:
                    possible = False  # there is a rider already
                args = args_for(command, order)
                if possible and mine:
                    after = await desk.service.command(order.order_id, command, actor, args, order.version)
                    assert known is not None
                    assert (after.state, after.version) == (known[0], order.version + 1)
                else:
                    with pytest.raises((OrderConflict, Forbidden)):
                        await desk.service.command(order.order_id, command, actor, args, order.version)
                    assert await desk.service.get_for_write(order.order_id) == order
                await check_history(desk, order.order_id)
                await free_riders(desk)
                checked += 1
    assert checked == len(OrderState) * len(Command) * len(ACTORS)


async def free_riders(desk: Desk) -> None:
    await desk.database.write(lambda tx: tx.execute("UPDATE orders SET busy_rider_id = NULL"))


async def test_a_whole_order(desk: Desk) -> None:
    order = await desk.service.place(WISH, CUSTOMER.id, "k")
    assert (order.total_krw, order.store_name, len(order.delivery_code)) == (18000, "국수집", 4)
    for command, actor in HAPPY:
        desk.clock.advance(60)
        order = await desk.service.command(order.order_id, command, actor, args_for(command, order))
    minutes = [
        (at - order.placed_at_ms) // 60_000
        for at in (
            order.accepted_at_ms,
            order.ready_at_ms,
            order.picked_up_at_ms,
            order.departed_at_ms,
            order.ended_at_ms,
            order.changed_at_ms,
        )
    ]
    assert minutes == [1, 3, 4, 5, 6, 6]
    assert (order.version, order.state, order.cooking_minutes) == (7, S.DELIVERED, 15)
    await check_history(desk, order.order_id)


async def test_the_same_request_key_gives_the_same_order_even_when_closed_since(desk: Desk) -> None:
    first = await desk.service.place(WISH, CUSTOMER.id, "key-1")
    desk.store.closed = True
    assert await desk.service.place(WISH, CUSTOMER.id, "key-1") == first
    other = msgspec.structs.replace(WISH, note="other")
    with pytest.raises(OrderConflict) as told:
        await desk.service.place(other, CUSTOMER.id, "key-1")
    assert told.value.current == first
    desk.store.closed = False
    assert (await desk.service.place(other, "customer:juho", "key-1")).order_id != first.order_id
    assert len(await desk.database.read("SELECT 1 FROM orders")) == 2


async def test_the_same_request_key_at_once_makes_one_order(desk: Desk) -> None:
    made = await asyncio.gather(*(desk.service.place(WISH, CUSTOMER.id, "once") for _ in range(16)))
    assert len({order.order_id for order in made}) == 1
    assert len(await desk.database.read("SELECT 1 FROM order_event")) == 1


async def test_sixteen_at_once_exactly_one_wins_each_version(desk: Desk) -> None:
    order = await desk.service.place(WISH, CUSTOMER.id)
    tries = [(C.ACCEPT, STORE), (C.CANCEL, CUSTOMER), (C.REJECT, STORE), (C.CANCEL, ADMIN)] * 4

    async def attempt(version: int, command: Command, actor: ActorRef) -> int:
        try:
            args = ARGS.get(command, CommandArgs())
            return (await desk.service.command(order.order_id, command, actor, args, version)).version
        except OrderConflict as conflict:
            assert conflict.current.version > version
            return 0

    got = await asyncio.gather(*(attempt(1, command, actor) for command, actor in tries))
    assert sorted(got) == [0] * 15 + [2]
    await check_history(desk, order.order_id)


async def test_versions_are_won_one_by_one_under_contention(desk: Desk) -> None:
    order = await desk.at(S.COOKING)
    won: list[int] = []

    async def client(number: int) -> None:
        while True:
            seen = await desk.service.get_for_write(order.order_id)
            if seen.version >= 40:
                return
            try:
                args = CommandArgs(cooking_minutes=1 + number)
                done = await desk.service.command(
                    order.order_id, C.SET_COOKING_TIME, STORE, args, seen.version
                )
            except OrderConflict as conflict:
                assert conflict.current.version > seen.version
            else:
                won.append(done.version)

    await asyncio.gather(*(client(number) for number in range(16)))
    assert sorted(won) == list(range(order.version + 1, max(won) + 1))
    await check_history(desk, order.order_id)


async def test_one_bad_order_fails_alone_in_a_shared_commit(desk: Desk) -> None:
    def veto(tx: object, event: object) -> None:
        if getattr(event, "actor_id", "") == "customer:bad":
            raise ValueError("vetoed")

    desk.service.hooks.append(veto)
    names = ["customer:bad" if n == 7 else f"customer:{n}" for n in range(50)]
    done = await asyncio.gather(*(desk.service.place(WISH, name) for name in names), return_exceptions=True)
    assert [n for n, one in enumerate(done) if isinstance(one, Exception)] == [7]
    assert len(await desk.database.read("SELECT 1 FROM orders")) == 49
    assert len(await desk.database.read(OUTBOX)) == 49


async def test_a_rider_has_one_order(desk: Desk) -> None:
    first = await desk.at(S.COOKING)
    second = await desk.service.place(WISH, CUSTOMER.id)
    second = await desk.service.command(second.order_id, C.ACCEPT, STORE, ARGS[C.ACCEPT])
    with pytest.raises(RiderTaken):
        await desk.service.command(second.order_id, C.ASSIGN, DISPATCH, ARGS[C.ASSIGN])
    await desk.service.command(first.order_id, C.UNASSIGN, RIDER)
    second = await desk.service.command(second.order_id, C.ASSIGN, DISPATCH, ARGS[C.ASSIGN])
    with pytest.raises(RiderTaken):
        await desk.service.command(first.order_id, C.ASSIGN, ADMIN, ARGS[C.ASSIGN])
    await desk.service.command(second.order_id, C.CANCEL, STORE, ARGS[C.CANCEL])
    assert (await desk.service.command(first.order_id, C.ASSIGN, ADMIN, ARGS[C.ASSIGN])).rider_id == "rider-1"


@pytest.mark.parametrize(
    ("kind", "stranger"), [(Actor.CUSTOMER, "customer:x"), (Actor.STORE, "st-2"), (Actor.RIDER, "")]
)
async def test_strangers_are_told_nothing(desk: Desk, kind: Actor, stranger: str) -> None:
    order = await desk.service.place(WISH, CUSTOMER.id)
    for command in Command:
        with pytest.raises(Forbidden):
            await desk.service.command(order.order_id, command, ActorRef(kind, stranger), expected_version=99)


async def test_only_customer_and_administrator_see_the_code(desk: Desk) -> None:
    order = await desk.at(S.DELIVERING)
    seen = {}
    for actor in (CUSTOMER, STORE, RIDER, ADMIN):
        with pytest.raises(OrderConflict) as told:
            await desk.service.command(order.order_id, C.CANCEL, actor, expected_version=1)
        seen[actor.kind] = told.value.current.delivery_code
    code = order.delivery_code
    assert seen == {Actor.CUSTOMER: code, Actor.STORE: "", Actor.RIDER: "", Actor.ADMIN: code}


async def test_a_code_cannot_be_guessed(desk: Desk) -> None:
    order = await desk.at(S.DELIVERING)
    wrong = CommandArgs(proof=Proof("code", f"{(int(order.delivery_code) + 1) % 10_000:04d}"))
    right = CommandArgs(proof=Proof("code", order.delivery_code))
    for _ in range(MAX_WRONG_CODES):
        with pytest.raises(ValueError, match="not the customer's code"):
            await desk.service.command(order.order_id, C.DELIVER, RIDER, wrong)
    with pytest.raises(Forbidden, match="too many"):
        await desk.service.command(order.order_id, C.DELIVER, RIDER, right)
    photo = await desk.service.command(order.order_id, C.DELIVER, RIDER, ARGS[C.DELIVER])
    assert photo.state is S.DELIVERED


async def test_the_right_code_delivers_and_is_not_kept_as_proof(desk: Desk) -> None:
    order = await desk.at(S.DELIVERING)
    proof = CommandArgs(proof=Proof("code", order.delivery_code))
    done = await desk.service.command(order.order_id, C.DELIVER, RIDER, proof)
    assert done.proof == Proof("code", "")


@pytest.mark.parametrize(
    ("command", "actor", "args"),
    [
        (C.ACCEPT, STORE, CommandArgs()),
        (C.ACCEPT, STORE, CommandArgs(cooking_minutes=0)),
        (C.ACCEPT, STORE, CommandArgs(cooking_minutes=241)),
        (C.REJECT, STORE, CommandArgs(reason=" ")),
        (C.REJECT, STORE, CommandArgs(reason="x" * 501)),
    ],
)
async def test_arguments_that_say_nothing_are_refused(
    desk: Desk, command: Command, actor: ActorRef, args: CommandArgs
) -> None:
    order = await desk.service.place(WISH, CUSTOMER.id)
    with pytest.raises(ValueError, match=r"cooking_minutes|reason"):
        await desk.service.command(order.order_id, command, actor, args)
    assert await desk.service.get_for_write(order.order_id) == order


async def test_an_administrator_acts_as_the_store_and_the_audit_says_who(desk: Desk) -> None:
    order = await desk.service.place(WISH, CUSTOMER.id)
    await desk.service.command(
        order.order_id, C.ACCEPT, ActorRef(Actor.STORE, ""), ARGS[C.ACCEPT], by="admin:admin"
    )
    last = (await desk.service.history(order.order_id))[-1]
    assert (last.actor, last.actor_id) == (Actor.STORE, "admin:admin")


async def test_a_clock_that_is_set_back_does_not_turn_history_around(desk: Desk) -> None:
    order = await desk.service.place(WISH, CUSTOMER.id)
    desk.clock.set_wall_ms(order.placed_at_ms - 3_600_000)
    after = await desk.service.command(order.order_id, C.ACCEPT, STORE, ARGS[C.ACCEPT])
    assert after.accepted_at_ms == order.placed_at_ms


STEP = st.tuples(
    st.integers(0, 2),
    st.sampled_from(list(Command)),
    st.sampled_from(ACTORS),
    st.sampled_from(["rider-1", "rider-2"]),
    st.sampled_from([None, 0, -1]),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, min_size=5, max_size=40))
def test_random_histories_are_paths_of_the_table(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, Command, ActorRef, str, int | None]]
) -> None:
    asyncio.run(_random_history(tmp_path_factory.mktemp("orders") / "majung.db", steps))


async def _random_history(path: Path, steps: list[tuple[int, Command, ActorRef, str, int | None]]) -> None:
    database = await EmbeddedDatabase(path).open()
    try:
        desk = Desk(database)
        orders = [await desk.service.place(WISH, CUSTOMER.id) for _ in range(3)]
        for which, command, actor, rider_id, drift in steps:
            before = await desk.service.get_for_write(orders[which].order_id)
            args = CommandArgs(rider_id=rider_id) if command is C.ASSIGN else ARGS.get(command, CommandArgs())
            expected = None if drift is None else before.version + drift
            who = ActorRef(Actor.RIDER, rider_id) if actor is RIDER else actor
            try:
                after = await desk.service.command(before.order_id, command, who, args, expected)
            except (OrderConflict, Forbidden, RiderTaken):
                assert await desk.service.get_for_write(before.order_id) == before
            else:
                assert after.version == before.version + 1
                assert drift != -1
        for order in orders:
            await check_history(desk, order.order_id)
        riders = [(await desk.service.get_for_write(o.order_id)) for o in orders]
        busy = [o.rider_id for o in riders if o.rider_id and not o.ended_at_ms]
        assert len(busy) == len(set(busy))
    finally:
        await database.close()


def test_the_document_shows_the_table_as_it_is() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "orders.md").read_text(encoding="utf-8")
    assert f"```mermaid\n{diagram()}\n```" in text
    assert all(f"| {state} | {name} |" in text for state, name in KOREAN.items())
