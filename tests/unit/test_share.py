"""Share links: every state of a link against every way to read through it; what gets out is what was named."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from majung.auth.limits import RateLimited
from majung.auth.model import AuthError, Forbidden, Principal, Role
from majung.backends.embedded.database import EmbeddedDatabase
from majung.orders.live_ring import rider as rider_message
from majung.orders.model import Actor, ActorRef, Command, CommandArgs, Order
from majung.orders.service import OrderService
from majung.orders.view_policy import Part, Scope, for_strangers, near_the_door, scope_of
from majung.settings import ShareSettings
from majung.share.model import NewShare, ShareOver, shared_position
from majung.share.service import ShareService, TooManyShares
from majung.share.stream import Narrowing
from tests.order_views_kit import CODE, Kit, event, opened, position, story
from tests.orders_kit import ARGS, HAPPY, WISH, OpenStore

MINA = Principal("customer:mina", Role.CUSTOMER)
OTHER = Principal("customer:juho", Role.CUSTOMER)
ADMIN = Principal("admin:admin", Role.ADMIN)
HOUR = timedelta(hours=1)


class Desk:
    """Orders that are written, views that follow, and share links on both."""

    def __init__(self, kit: Kit, database: EmbeddedDatabase, settings: ShareSettings) -> None:
        self.kit = kit
        self.clock = kit.clock
        self.orders = OrderService(database, kit.clock, OpenStore())
        self.shares = ShareService(database, self.orders, kit.views, kit.clock, settings)
        self.other = ShareService(database, self.orders, kit.views, kit.clock, settings)  # another server

    async def placed(self, steps: int = 0) -> Order:
        """An order of Mina's, so many steps on its way."""
        order = await self.orders.place(WISH, MINA.subject)
        for command, actor in HAPPY[:steps]:
            order = await self.orders.command(order.order_id, command, actor, ARGS.get(command))
        await self.published(order)
        return order

    async def published(self, order: Order) -> None:
        await self.kit.happen(await self.orders.history(order.order_id))

    async def share(self, order: Order, lasts: timedelta | None = HOUR) -> NewShare:
        return await self.shares.create(MINA, order.order_id, lasts, "https://ex.am/")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    settings = ShareSettings.model_validate({"per_order": 3, "after_end": "10m", "per_minute": 100})
    async with opened(tmp_path) as kit:
        database = await EmbeddedDatabase(tmp_path / "majung.db").open()
        try:
            yield Desk(kit, database, settings)
        finally:
            await database.close()


async def end(desk: Desk, order: Order, _: NewShare) -> None:
    await desk.orders.command(order.order_id, Command.DELIVER, ActorRef(Actor.ADMIN, "a"), CommandArgs())
    await desk.published(order)


async def nothing(desk: Desk, order: Order, made: NewShare) -> None:
    return


async def expire(desk: Desk, order: Order, made: NewShare) -> None:
    desk.clock.advance(3601)


async def revoke(desk: Desk, order: Order, made: NewShare) -> None:
    await desk.shares.revoke(MINA, order.order_id, made.share_id)


async def revoke_elsewhere(desk: Desk, order: Order, made: NewShare) -> None:
    await desk.other.revoke(ADMIN, order.order_id, made.share_id)


async def end_and_wait(desk: Desk, order: Order, made: NewShare) -> None:
    await end(desk, order, made)
    desk.clock.advance(600)


Happens = Callable[[Desk, Order, NewShare], Awaitable[None]]
STATES: list[tuple[str, Happens, str]] = [
    ("valid", nothing, ""),
    ("expired", expire, "expired"),
    ("revoked", revoke, "taken back"),
    ("revoked on another server", revoke_elsewhere, "taken back"),
    ("order ended just now", end, ""),
    ("order ended long ago", end_and_wait, "over"),
]


@pytest.mark.parametrize(("name", "happens", "over"), STATES, ids=[name for name, _, _ in STATES])
async def test_state_by_read_path(desk: Desk, name: str, happens: Happens, over: str) -> None:
    order = await desk.placed(5)
    made = await desk.share(order)
    visitor, _ = await desk.shares.visitor(made.token, "a")
    narrowing = Narrowing(order)

    async def see() -> Scope:
        return await desk.shares.still(visitor, narrowing.ended_at_ms)

    viewer = desk.kit.live.open(visitor, scope_of(visitor), see)
    for frame in await viewer.take():
        narrowing.narrowed(frame.body)
    await happens(desk, order, made)
    if name.startswith("order ended"):
        for frame in await viewer.take():
            narrowing.narrowed(frame.body)
    desk.clock.advance(0.5)
    await desk.kit.live.sweep()

    if not over:
        shown, whole = await desk.shares.visitor(made.token, "a")
        assert (shown.role, shown.order_id, whole.order_id) == (Role.SHARE, order.order_id, order.order_id)
        assert desk.kit.live.viewers == 1
        assert viewer._closed is None
        return
    with pytest.raises(ShareOver, match=over):
        await desk.shares.visitor(made.token, "a")
    assert viewer._closed is not None and viewer._closed.code == 4401, "what is open is closed within a sweep"


async def test_a_link_opens_one_order_and_nothing_else(desk: Desk) -> None:
    order, other = await desk.placed(1), await desk.placed(1)
    visitor, _ = await desk.shares.visitor((await desk.share(order)).token, "a")
    scope = scope_of(visitor)
    assert scope == Scope(Part.ORDER, order.order_id, shared=True)
    assert scope.covers(order) and not scope.covers(other)
    with pytest.raises(Forbidden):
        scope_of(msgspec.structs.replace(visitor, order_id=""))


async def test_who_may_make_list_and_revoke(desk: Desk) -> None:
    order = await desk.placed(2)
    made = await desk.share(order)
    for caller, kind in (
        (OTHER, LookupError),
        (Principal("store:x", Role.STORE, store_id=order.store_id), Forbidden),
        (Principal("rider:x", Role.RIDER, rider_id="rider-1"), Forbidden),
        (Principal("viewer:x", Role.VIEWER), Forbidden),
        ((await desk.shares.visitor(made.token, "a"))[0], Forbidden),
    ):
        with pytest.raises(kind):
            await desk.shares.create(caller, order.order_id, HOUR, "")
        with pytest.raises(kind):
            await desk.shares.of_order(caller, order.order_id)
        with pytest.raises(kind):
            await desk.shares.revoke(caller, order.order_id, made.share_id)
    assert [share.share_id for share in await desk.shares.of_order(ADMIN, order.order_id)] == [made.share_id]


async def test_only_the_digest_of_a_token_is_kept(desk: Desk, tmp_path: Path) -> None:
    made = await desk.share(await desk.placed())
    assert len(made.token) == 43, "256 bits"
    assert made.url == f"https://ex.am/track/{made.token}"
    for file in tmp_path.glob("majung.db*"):
        assert made.token.encode() not in file.read_bytes()


async def test_bounds(desk: Desk) -> None:
    order = await desk.placed()
    for lasts in (timedelta(seconds=59), timedelta(hours=24, seconds=1), timedelta(0)):
        with pytest.raises(ValueError, match="for:"):
            await desk.share(order, lasts)
    racing = await asyncio.gather(*(desk.share(order) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(one, NewShare) for one in racing) == 3
    assert sum(isinstance(one, TooManyShares) for one in racing) == 3
    desk.clock.advance(3601)
    await desk.share(order)  # those that have expired do not count


async def test_an_ended_order_is_not_shared(desk: Desk) -> None:
    order = await desk.placed(6)
    await desk.share(order)
    desk.clock.advance(601)
    with pytest.raises(ShareOver):
        await desk.share(order)


async def test_guessing_is_slow(desk: Desk) -> None:
    made = await desk.share(await desk.placed())
    for number in range(30):
        with pytest.raises(LookupError):
            await desk.shares.visitor(f"guess-{number}", "10.0.0.9")
    with pytest.raises(RateLimited):
        await desk.shares.visitor("guess", "10.0.0.9")
    await desk.shares.visitor(made.token, "10.0.0.8")


async def test_old_links_are_forgotten(desk: Desk) -> None:
    order = await desk.placed()
    made = await desk.share(order)
    desk.clock.advance(8 * 24 * 3600)
    await desk.shares.drop_old(desk.clock.now_ms())
    with pytest.raises(LookupError):
        await desk.shares.visitor(made.token, "a")


class TestWhatGetsOut:
    ORDER = event(1, 6, note="벨 금지", reason="why").order

    def messages(self, *bodies: Any) -> list[dict[str, Any]]:
        narrowing = Narrowing(self.ORDER)
        given = [body if isinstance(body, bytes) else msgspec.json.encode(body) for body in bodies]
        return [json.loads(message) for body in given for message in narrowing.narrowed(body)]

    def test_every_field_is_named_or_empty(self) -> None:
        shown = for_strangers(self.ORDER)
        told = {
            "order_id", "version", "state", "store_name", "store_latitude", "store_longitude", "address",
            "placed_at_ms", "changed_at_ms", "picked_up_at_ms",
        }  # fmt: skip
        blank = msgspec.structs.asdict(msgspec.convert({**msgspec.to_builtins(shown)}, Order))
        kept = {name for name, value in blank.items() if value not in ("", 0, (), None)}
        assert kept == told
        assert (shown.address.text, shown.address.detail) == ("", "")

    def test_a_square_says_the_same_of_all_its_doors(self) -> None:
        places = {
            (for_strangers(moved).address.latitude, for_strangers(moved).address.longitude)
            for step in range(40)
            for moved in [
                msgspec.structs.replace(
                    self.ORDER,
                    address=msgspec.structs.replace(
                        self.ORDER.address, latitude=37.5101 + step * 1e-4, longitude=127.0449 - step * 1e-4
                    ),
                )
            ]
        }
        assert places == {(37.5125, 127.0425)}
        twice = for_strangers(for_strangers(self.ORDER))
        assert twice.address == for_strangers(self.ORDER).address

    def test_the_last_stretch_shows_no_place(self) -> None:
        door = self.ORDER.address
        far = position("r1", 37.5000)
        assert not near_the_door(self.ORDER, far)
        assert shared_position(self.ORDER, far).latitude == 37.5000
        close = msgspec.structs.replace(far, latitude=door.latitude + 0.001, longitude=door.longitude)
        seen = shared_position(self.ORDER, close)
        assert (seen.near, seen.latitude, seen.longitude, seen.heading_deg) == (True, None, None, None)

    def test_messages_that_are_not_for_strangers(self) -> None:
        for body in (
            {"type": "notice", "order_id": self.ORDER.order_id, "text": "secret"},
            {"type": "left", "offset": 1, "order_id": self.ORDER.order_id, "version": 3},
            {"type": "order", "offset": 1, "order": event(2, 6).order},
            {"type": "eta", "order_id": "ord-0002", "at_ms": 1, "earliest_ms": 1, "latest_ms": 1},
            {"type": "snapshot", "orders": [event(2, 6).order]},
            rider_message("ord-0002", msgspec.json.encode(position("r1"))),
            b"not json",
            b"",
        ):
            assert self.messages(body) == []

    def test_what_comes_through_is_nameless(self) -> None:
        told = self.messages(
            {"type": "snapshot", "orders": [self.ORDER], "epoch": "e", "offset": 3},
            {"type": "order", "offset": 4, "command": "depart", "actor": "rider", "order": self.ORDER},
            rider_message(self.ORDER.order_id, msgspec.json.encode(position("r1"))),
            {"type": "eta", "order_id": self.ORDER.order_id, "at_ms": 5, "earliest_ms": 4, "latest_ms": 9, "who": "r1"},
        )  # fmt: skip
        assert [message["type"] for message in told] == ["order", "rider", "order", "rider", "eta"]
        assert told[1]["rider"] is None and told[3]["rider"]["latitude"] == 37.5
        for secret in (
            '"r1"',
            "ann",
            CODE,
            "테헤란로",
            "떡볶이",
            "10000",
            self.ORDER.order_id,
            "벨 금지",
            "why",
        ):
            assert secret not in json.dumps(told, ensure_ascii=False), secret

    def test_another_rider_and_the_one_before_is_gone_at_once(self) -> None:
        handed = {
            "type": "order",
            "offset": 4,
            "command": "assign",
            "order": event(1, 6, rider_id="r2").order,
        }
        assert [message.get("rider", "-") for message in self.messages(handed)] == ["-", None]
        ended = {"type": "order", "offset": 5, "command": "deliver", "order": event(1, 7).order}
        assert [message.get("rider", "-") for message in self.messages(ended)] == ["-", None]


async def test_the_stream_itself_shows_strangers_no_more(tmp_path: Path) -> None:
    """Even what is never narrowed again: the scope of a link blanks orders in snapshots and changes."""
    async with opened(tmp_path) as kit:
        viewer = kit.viewer(Scope(Part.ORDER, "ord-0001", shared=True))
        await kit.happen(story(1, 3))
        first = b"".join(frame.body for frame in await viewer.take())
        await kit.happen(story(1, 6))
        told = (first + b"".join(frame.body for frame in await viewer.take())).decode()
        assert '"version":6' in told
        for secret in (CODE, "ann", "테헤란로", "떡볶이", '"r1"', "10000"):
            assert secret not in told, secret


async def test_a_stream_asks_the_database_once_for_all(desk: Desk) -> None:
    order = await desk.placed()
    visitors = [(await desk.shares.visitor((await desk.share(order)).token, "a"))[0] for _ in range(3)]
    await desk.other.revoke(MINA, order.order_id, visitors[0].subject.removeprefix("share:"))
    desk.clock.advance(0.5)
    with pytest.raises(AuthError):
        await desk.shares.still(visitors[0], 0)
    for visitor in visitors[1:]:
        assert (await desk.shares.still(visitor, 0)).shared
