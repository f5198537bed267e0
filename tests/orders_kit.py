"""What tests of orders share: a store that has everything, a wish, and who the four are."""

from collections.abc import Sequence

from majung.orders.model import Actor, ActorRef, Address, Command, CommandArgs, Line, Proof
from majung.orders.wish import NewOrder
from majung.stores.model import Priced, Store, WishedLine

CUSTOMER = ActorRef(Actor.CUSTOMER, "customer:mina")
STORE = ActorRef(Actor.STORE, "st-1")
RIDER = ActorRef(Actor.RIDER, "rider-1")
DISPATCH = ActorRef(Actor.DISPATCH, "dispatch")
ADMIN = ActorRef(Actor.ADMIN, "admin:admin")
ACTORS = (CUSTOMER, STORE, RIDER, DISPATCH, ADMIN)

HOME = Address(37.5, 127.03, "서울 강남구 테헤란로 1", "101동 202호")
WISH = NewOrder("st-1", (WishedLine("noodles", price_krw=9000, quantity=2),), HOME, "문 앞에 두세요")

ARGS = {
    Command.ACCEPT: CommandArgs(cooking_minutes=15),
    Command.SET_COOKING_TIME: CommandArgs(cooking_minutes=20),
    Command.REJECT: CommandArgs(reason="재료 소진"),
    Command.FAIL: CommandArgs(reason="nobody there"),
    Command.CANCEL: CommandArgs(reason="changed my mind"),
    Command.ASSIGN: CommandArgs(rider_id="rider-1"),
    Command.DELIVER: CommandArgs(proof=Proof("photo", "0" * 32 + ".jpg")),
}

HAPPY: tuple[tuple[Command, ActorRef], ...] = (
    (Command.ACCEPT, STORE),
    (Command.ASSIGN, DISPATCH),
    (Command.READY, STORE),
    (Command.PICK_UP, RIDER),
    (Command.DEPART, RIDER),
    (Command.DELIVER, RIDER),
)


class OpenStore:
    """Sells everything at the price that was seen, delivers everywhere, never closes (unless told)."""

    closed = False

    async def price(
        self, store_id: str, wished: Sequence[WishedLine], at: Address, now_ms: int | None = None
    ) -> Priced:
        if self.closed:
            raise ValueError("closed now")
        store = Store(
            name="국수집",
            category="noodles",
            latitude=37.4979,
            longitude=127.0276,
            address="강남역",
            hours={},
            store_id=store_id,
            version=1,
            created_at_ms=0,
            updated_at_ms=0,
        )
        lines = tuple(
            Line(line.item_id, line.item_id, line.quantity, line.price_krw or 9000, line.options)
            for line in wished
        )
        total = sum(line.price_krw * line.quantity for line in lines)
        return Priced(store, lines, total, 0, total)
