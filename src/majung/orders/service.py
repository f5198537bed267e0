"""Placing orders and commands to them: the one way in which an order changes.

One transaction for each: the order as it is, the table, the order as it will be (`WHERE version = ?`), the
event and its outbox row. `Database.write` lets those that come together share a commit; one that is refused
fails alone.
"""

import secrets
from collections import Counter
from collections.abc import Callable

from majung.auth.model import Forbidden
from majung.clock import Clock
from majung.observe.families import Counted, Figure
from majung.orders import store
from majung.orders.change import WrongCode, apply, check_part
from majung.orders.model import (
    Actor,
    ActorRef,
    Command,
    CommandArgs,
    Order,
    OrderEvent,
    OrderState,
    new_id,
)
from majung.orders.table import NotNow
from majung.orders.wish import NewOrder, PriceList, as_seen_by, check, digest
from majung.ports import Database, PortError, Transaction
from majung.stores.model import Priced
from majung.stores.pricing import PriceChanged

MAX_WRONG_CODES = 5
Hook = Callable[[Transaction, OrderEvent], None]


class OrderConflict(Exception):
    """Somebody was faster, or the order is not in a state for this. `current` is the order as it is now,

    as the one who asked may see it. `str()` says why and is safe to show.
    """

    def __init__(self, current: Order, why: str) -> None:
        super().__init__(why)
        self.current = current


class RiderTaken(Exception):
    """The rider has another order that has not ended. `str()` is safe to show."""


class OrderService:
    """Writes orders. `hooks` run inside the transaction of every change; what one raises, undoes it.

    `listeners` are called (on the loop, quickly) after a commit, to wake whoever waits for the outbox.
    """

    def __init__(self, database: Database, clock: Clock, stores: PriceList) -> None:
        self._database = database
        self._clock = clock
        self._stores = stores
        self.hooks: list[Hook] = []
        self.listeners: list[Callable[[], None]] = []
        self._outcomes: Counter[str] = Counter()
        self._changes: Counter[str] = Counter()

    async def place(
        self, wish: NewOrder, customer: str, request_key: str | None = None, by: str = ""
    ) -> Order:
        """A new order of `customer`, RECEIVED, version 1; durable when it returns.

        The same `request_key` with the same wish gives the order that was made the first time, with another
        wish OrderConflict. `by` names the administrator who placed it for the customer.
        Raises LookupError (store), ValueError (the wish, or what the store says to it).
        """
        check(wish)
        of_wish = digest(wish)
        now_ms = self._clock.now_ms()
        try:
            priced = await self._priced(wish, now_ms)
        except (ValueError, LookupError):
            # A repeated request is answered even when the store has closed since.
            if (made := await self._made_before(customer, request_key, of_wish)) is not None:
                return made
            raise
        order = _new_order(wish, customer, priced, now_ms)
        event = OrderEvent(
            f"{order.order_id}:1", order.order_id, 1, "", Actor.CUSTOMER, by or customer, now_ms, order
        )

        def work(tx: Transaction) -> Order:
            if request_key is not None:
                rows = tx.execute(store.SELECT_BY_KEY, {"customer": customer, "request_key": request_key})
                if (made := _repeated(store.by_key(rows), of_wish)) is not None:
                    return made
            store.insert(tx, event, request_key, of_wish)
            self._run_hooks(tx, event)
            return order

        return await self._commit(work, "place")

    async def command(
        self,
        order_id: str,
        command: Command,
        actor: ActorRef,
        args: CommandArgs | None = None,
        expected_version: int | None = None,
        by: str = "",
    ) -> Order:
        """The order after the command; durable when it returns.

        With `expected_version` it is done only to that version. `by` names the administrator who acts as
        `actor.kind`, in place of whoever that is for this order.
        Raises LookupError, Forbidden, ValueError, OrderConflict, RiderTaken.
        """
        given = args or CommandArgs()
        now_ms = self._clock.now_ms()

        def work(tx: Transaction) -> Order | Exception:
            # A refusal that must leave a trace (a wrong code is counted) is returned, not raised.
            now = store.held(tx, order_id)
            if not by:
                check_part(now.order, actor)
            seen = as_seen_by(now.order, actor.kind)
            if expected_version is not None and expected_version != now.order.version:
                raise OrderConflict(
                    seen, f"the order is at version {now.order.version}, not {expected_version}"
                )
            _check_tries(command, given, now.wrong_codes)
            try:
                after = apply(now.order, command, actor, given, now_ms)
            except NotNow as problem:
                raise OrderConflict(seen, str(problem)) from None
            except WrongCode as problem:
                tx.execute(store.COUNT_WRONG_CODE, (order_id,))
                return problem
            event = OrderEvent(
                f"{order_id}:{after.version}",
                order_id,
                after.version,
                command.value,
                actor.kind,
                by or actor.id,
                after.changed_at_ms,
                after,
            )
            if command is Command.ASSIGN:
                _check_free(tx, given.rider_id)
            if not store.update(tx, event):
                raise OrderConflict(seen, "somebody else was faster")
            self._run_hooks(tx, event)
            return after

        return await self._commit(work, command)

    async def _priced(self, wish: NewOrder, now_ms: int) -> Priced:
        priced = await self._stores.price(wish.store_id, wish.lines, wish.address, now_ms)
        if wish.total_krw is not None and wish.total_krw != priced.total_krw:
            message = f"total_krw: the price is {priced.total_krw} now, not {wish.total_krw}"
            raise PriceChanged(message, priced)
        return priced

    async def _made_before(self, customer: str, request_key: str | None, of_wish: str) -> Order | None:
        if request_key is None:
            return None
        asked = {"customer": customer, "request_key": request_key}
        return _repeated(store.by_key(await self._database.read(store.SELECT_BY_KEY, asked)), of_wish)

    async def get_for_write(self, order_id: str) -> Order:
        """The order as committed: for decisions about a write, not for showing. Raises LookupError."""
        rows = await self._database.read(store.SELECT, (order_id,))
        if not rows:
            raise LookupError(f"there is no order {order_id[:64]!r}")
        return store.decode_order(rows[0][0])

    async def history(self, order_id: str) -> list[OrderEvent]:
        """Every event of an order, oldest first; kept for ever. [] when there is no such order."""
        rows = await self._database.read(store.SELECT_EVENTS, (order_id,))
        return [store.decode_event(row[0]) for row in rows]

    def figures(self) -> list[Figure]:
        """For `/metrics`."""
        return [
            Counted("majung_order_writes", "Writes of orders, by outcome.", "outcome", self._outcomes),
            Counted(
                "majung_order_changes",
                "Changes of orders that were done, by command.",
                "command",
                self._changes,
            ),
        ]

    async def _commit(self, work: Callable[[Transaction], Order | Exception], what: str) -> Order:
        try:
            done = await self._database.write(work)
        except Exception as problem:
            self._outcomes[_outcome(problem)] += 1
            raise
        if isinstance(done, Exception):
            self._outcomes[_outcome(done)] += 1
            raise done
        self._outcomes["done"] += 1
        self._changes[what] += 1
        for listener in self.listeners:
            listener()
        return done

    def _run_hooks(self, tx: Transaction, event: OrderEvent) -> None:
        for hook in self.hooks:
            hook(tx, event)


def _repeated(found: tuple[Order, str] | None, of_wish: str) -> Order | None:
    if found is None:
        return None
    order, of_first = found
    if of_first != of_wish:
        raise OrderConflict(order, "this Idempotency-Key was used for another order")
    return order


def _outcome(problem: Exception) -> str:
    if isinstance(problem, OrderConflict | RiderTaken):
        return "conflict"
    return "failed" if isinstance(problem, PortError) else "refused"


def _check_tries(command: Command, args: CommandArgs, wrong_codes: int) -> None:
    by_code = command is Command.DELIVER and args.proof is not None and args.proof.kind == "code"
    if by_code and wrong_codes >= MAX_WRONG_CODES:
        raise Forbidden("too many wrong codes: take a photo or a signature instead")


def _check_free(tx: Transaction, rider_id: str) -> None:
    if tx.execute(store.SELECT_BUSY, (rider_id,)):
        raise RiderTaken(f"rider {rider_id[:64]!r} has another order")


def _new_order(wish: NewOrder, customer: str, priced: Priced, now_ms: int) -> Order:
    return Order(
        order_id=new_id("o", now_ms),
        version=1,
        state=OrderState.RECEIVED,
        customer=customer,
        store_id=wish.store_id,
        store_name=priced.store.name,
        store_latitude=priced.store.latitude,
        store_longitude=priced.store.longitude,
        address=wish.address,
        lines=priced.lines,
        total_krw=priced.total_krw,
        placed_at_ms=now_ms,
        changed_at_ms=now_ms,
        note=wish.note,
        delivery_code=f"{secrets.randbelow(10_000):04d}",
    )
