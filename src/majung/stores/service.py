"""The use cases of stores. Who may call them is the door's question."""

import secrets
from collections.abc import Callable, Iterable, Sequence

import msgspec

from majung.auth.accounts import Accounts
from majung.clock import Clock
from majung.orders.model import Address, new_id
from majung.ports import Database, LiveStore, Row, Transaction
from majung.positions.model import LivePosition
from majung.stores import store as sql
from majung.stores.hours import check_hours, zone
from majung.stores.model import LIVE_KIND, Item, Menu, NewMenu, NewStore, Priced, Store, StorePage, WishedLine
from majung.stores.names import folded, initials
from majung.stores.pricing import is_open_now, price_order
from majung.stores.search import StoreSearch, opens_at_ms, store_of, stored
from majung.text import check_texts

_PAGE = 5000
_ANY = -1
_encode = msgspec.json.Encoder().encode
_items = msgspec.json.Decoder(tuple[Item, ...]).decode
_Change = Callable[[tuple[Item, ...]], tuple[Item, ...]]


class ChangedMeanwhile(ValueError):
    """Somebody else changed it since it was read. `str()` is safe to show."""


class StoreService(StoreSearch):
    """Stores and menus. One for each server; belongs to its event loop."""

    def __init__(self, database: Database, live: LiveStore, clock: Clock, accounts: Accounts) -> None:
        super().__init__(database, live, clock)
        self._accounts = accounts

    async def load(self) -> None:
        """Put every store into the cell index; once, before the doors open. Raises PortError."""
        after = ""
        while rows := await self._database.read(sql.SELECT_PLACES, {"after": after, "limit": _PAGE}):
            await self._live.put([_place(*row) for row in rows])
            after = str(rows[-1][0])

    # --------------------------------------------------------------------------------------- stores

    async def register(self, wish: NewStore, owner: str = "") -> Store:
        """A new store. With `owner` (the name of a store's account), it is that account's store from now on.

        Raises ValueError saying what is wrong with it, LookupError (no such account), Conflict (the account
        has a store already), PortError.
        """
        _check(wish)
        now_ms = self._clock.now_ms()
        store_id = new_id("store", now_ms)
        row = {**_columns(wish), "store_id": store_id, "now_ms": now_ms}

        def work(tx: Transaction) -> None:
            tx.execute(sql.INSERT_STORE, row)
            if owner:
                self._accounts.give_store(tx, owner, store_id)

        await self._database.write(work)
        if owner:
            self._accounts.rights_changed()
        store = stored(wish, store_id, 1, now_ms, now_ms, 0)
        await self._live.put([_place(store_id, store.latitude, store.longitude, now_ms)])
        return store

    async def change(self, store_id: str, wish: NewStore, expected_version: int | None = None) -> Store:
        """Replace what is said of a store. Raises ValueError, ChangedMeanwhile, LookupError, PortError."""
        _check(wish)
        expected = _ANY if expected_version is None else expected_version
        now_ms = self._clock.now_ms()
        row = {**_columns(wish), "store_id": store_id, "now_ms": now_ms, "expected": expected}

        def work(tx: Transaction) -> Row:
            before = _one(tx.execute(sql.SELECT_STORE, {"store_id": store_id}), store_id)
            _expect(before[2], expected, "the store")
            tx.execute(sql.UPDATE_STORE, row)
            return tx.execute(sql.SELECT_STORE, {"store_id": store_id})[0]

        store = store_of(await self._database.write(work))
        await self._live.put([_place(store_id, store.latitude, store.longitude, store.updated_at_ms)])
        return store

    async def close_until(self, store_id: str, until_ms: int) -> Store:
        """Close by hand until a time, whatever the hours say; 0 opens again. Raises LookupError, PortError."""
        params = {"store_id": store_id, "closed_until_ms": until_ms, "now_ms": self._clock.now_ms()}

        def work(tx: Transaction) -> Row:
            tx.execute(sql.CLOSE_STORE, params)
            return _one(tx.execute(sql.SELECT_STORE, {"store_id": store_id}), store_id)

        return store_of(await self._database.write(work))

    async def get(self, store_id: str) -> Store:
        """One store. Raises LookupError, PortError."""
        return store_of(_one(await self._database.read(sql.SELECT_STORE, {"store_id": store_id}), store_id))

    async def page(self, store_id: str) -> StorePage:
        """A store with its menu, and whether it is open now. Raises LookupError, PortError."""
        store, menu = await self._store_and_menu(store_id)
        now_ms = self._clock.now_ms()
        open_now = is_open_now(store, now_ms)
        return StorePage(store, menu, open_now, None if open_now else opens_at_ms(store, now_ms))

    # ---------------------------------------------------------------------------------------- menus

    async def put_menu(self, store_id: str, wish: NewMenu, expected_version: int | None = None) -> Menu:
        """Replace the menu; items and options without an id get one, and keep it when it is sent again.

        Raises ValueError, ChangedMeanwhile, LookupError, PortError.
        """
        check_texts(wish)
        items = with_ids(wish.items)
        return await self._change_menu(store_id, lambda _: items, expected_version)

    async def set_sold_out(self, store_id: str, item_id: str, sold_out: bool) -> Menu:
        """Sold out, or there again. Raises LookupError, PortError."""

        def change(items: tuple[Item, ...]) -> tuple[Item, ...]:
            if all(item.item_id != item_id for item in items):
                raise LookupError(f"no item {item_id[:64]!r} on the menu")
            replace = msgspec.structs.replace
            return tuple(
                replace(item, sold_out=sold_out) if item.item_id == item_id else item for item in items
            )

        return await self._change_menu(store_id, change, None)

    async def _change_menu(self, store_id: str, change: _Change, expected_version: int | None) -> Menu:
        expected = _ANY if expected_version is None else expected_version
        now_ms = self._clock.now_ms()

        def work(tx: Transaction) -> Menu:
            row = _one(tx.execute(sql.SELECT_STORE_AND_MENU, {"store_id": store_id}), store_id)
            before = _menu(row[6], row[7])
            _expect(before.version, expected, "the menu")
            items = change(before.items)
            put = {"store_id": store_id, "document": _encode(items).decode(), "now_ms": now_ms}
            tx.execute(sql.PUT_MENU, put)
            return Menu(before.version + 1, items)

        return await self._database.write(work)

    # --------------------------------------------------------------------------------------- prices

    async def price(
        self, store_id: str, wished: Sequence[WishedLine], at: Address, now_ms: int | None = None
    ) -> Priced:
        """What these cost now, brought to `at`.

        Raises what `pricing.price_order` raises, LookupError (no such store), PortError.
        """
        store, menu = await self._store_and_menu(store_id)
        return price_order(store, menu, wished, at, self._clock.now_ms() if now_ms is None else now_ms)

    async def _store_and_menu(self, store_id: str) -> tuple[Store, Menu]:
        row = _one(await self._database.read(sql.SELECT_STORE_AND_MENU, {"store_id": store_id}), store_id)
        return store_of(row), _menu(row[6], row[7])


def with_ids(items: Iterable[Item]) -> tuple[Item, ...]:
    """Every item and option with an id of its own. Raises ValueError for ids that stand twice."""
    replace = msgspec.structs.replace
    done = []
    for item in items:
        groups = tuple(
            replace(
                group,
                options=tuple(
                    replace(option, option_id=option.option_id or _short_id()) for option in group.options
                ),
            )
            for group in item.groups
        )
        ids = [option.option_id for group in groups for option in group.options]
        if len(set(ids)) < len(ids):
            raise ValueError(f"{item.name}: an option_id stands twice")
        done.append(replace(item, item_id=item.item_id or _short_id(), groups=groups))
    if len({item.item_id for item in done}) < len(done):
        raise ValueError("an item_id stands twice on the menu")
    return tuple(done)


def _short_id() -> str:
    return secrets.token_hex(5)


def _check(wish: NewStore) -> None:
    check_texts(wish)
    zone(wish.tz)
    check_hours(wish.hours)
    for name, text in (("name", wish.name), ("category", wish.category)):
        if not text.isprintable() or text != text.strip():
            raise ValueError(f"{name}: printable characters, without spaces at the ends")


def _columns(wish: NewStore) -> dict[str, object]:
    return {
        "document": _encode(wish).decode(),
        "search_name": folded(wish.name),
        "initials": initials(wish.name),
        "category": wish.category,
        "latitude": wish.latitude,
        "longitude": wish.longitude,
    }


def _place(store_id: str, latitude: float, longitude: float, at_ms: int) -> LivePosition:
    return LivePosition(store_id, latitude, longitude, at_ms, at_ms, kind=LIVE_KIND)


def _menu(document: str | None, version: int | None) -> Menu:
    return Menu(version or 0, _items(document) if document else ())


def _one(rows: Sequence[Row], store_id: str) -> Row:
    if not rows:
        raise LookupError(f"no store {store_id[:64]!r}")
    return rows[0]


def _expect(version: int, expected: int, what: str) -> None:
    if expected not in (_ANY, version):
        raise ChangedMeanwhile(f"{what} was changed meanwhile: it is at version {version}, not {expected}")
