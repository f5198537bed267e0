"""Tables and SQL of the views, in `views.db`: a second file, which may be deleted at any time.

There is no chain of migrations: a view is not changed but made again. `SCHEMA` names the shape; a file of
another shape is emptied and rebuilt at the next start.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from majung.orders.model import FINAL, Order, OrderEvent
from majung.orders.view_policy import Part, Scope
from majung.ports import Database, Row, Transaction

SCHEMA = "1"
_IN_ONE_QUERY = 500

TABLES = (
    """CREATE TABLE IF NOT EXISTS order_view (order_id TEXT PRIMARY KEY, version INTEGER NOT NULL,
    state TEXT NOT NULL, open INTEGER NOT NULL, customer TEXT NOT NULL, store_id TEXT NOT NULL,
    rider_id TEXT NOT NULL, changed_at_ms BIGINT NOT NULL, words TEXT NOT NULL, body TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS order_view_customer ON order_view (customer, order_id)",
    "CREATE INDEX IF NOT EXISTS order_view_store ON order_view (store_id, order_id)",
    "CREATE INDEX IF NOT EXISTS order_view_rider ON order_view (rider_id, order_id) WHERE rider_id <> ''",
    "CREATE INDEX IF NOT EXISTS order_view_board ON order_view (store_id, order_id) WHERE open = 1",
    "CREATE INDEX IF NOT EXISTS order_view_job ON order_view (rider_id, order_id) WHERE open = 1",
    "CREATE INDEX IF NOT EXISTS order_view_mine ON order_view (customer, order_id) WHERE open = 1",
    "CREATE INDEX IF NOT EXISTS order_view_open ON order_view (order_id) WHERE open = 1",
    "CREATE INDEX IF NOT EXISTS order_view_state ON order_view (state, order_id)",
    """CREATE TABLE IF NOT EXISTS order_trail (order_id TEXT NOT NULL, version INTEGER NOT NULL,
    body TEXT NOT NULL, PRIMARY KEY (order_id, version))""",
    "CREATE TABLE IF NOT EXISTS view_offset (part INTEGER PRIMARY KEY, next_offset BIGINT NOT NULL)",
)
META = "CREATE TABLE IF NOT EXISTS view_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)"
NAMES = ("order_view", "order_trail", "view_offset")

UPSERT = """
INSERT INTO order_view (order_id, version, state, open, customer, store_id, rider_id, changed_at_ms, words, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (order_id) DO UPDATE SET version = excluded.version, state = excluded.state, open = excluded.open,
    customer = excluded.customer, store_id = excluded.store_id, rider_id = excluded.rider_id,
    changed_at_ms = excluded.changed_at_ms, words = excluded.words, body = excluded.body
WHERE excluded.version > order_view.version
"""
INSERT_TRAIL = "INSERT INTO order_trail (order_id, version, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
UPSERT_OFFSET = """
INSERT INTO view_offset (part, next_offset) VALUES (?, ?)
ON CONFLICT (part) DO UPDATE SET next_offset = excluded.next_offset
"""
UPSERT_META = """
INSERT INTO view_meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
SELECT = "SELECT body FROM order_view"
NEWEST_FIRST = "ORDER BY order_id DESC LIMIT :limit"  # ids begin with the time of the placing
SELECT_ONE = "SELECT body FROM order_view WHERE order_id = ?"
SELECT_VERSION = "SELECT version FROM order_view WHERE order_id = ?"
SELECT_TRAIL = "SELECT body FROM order_trail WHERE order_id = ? ORDER BY version"

# One condition for each filter that is given: `:x IS NULL OR …` would keep SQLite from its indexes.
FILTERS = {
    "customer": "customer = :customer",
    "store_id": "store_id = :store_id",
    "rider_id": "rider_id = :rider_id AND rider_id <> ''",
    "state": "state = :state",
    "open": "open = 1",  # a literal: only so does SQLite use the small index of open orders
    "ended": "open = 0",
    "before": "order_id < :before",
    "unchanged_since_ms": "open = 1 AND changed_at_ms <= :unchanged_since_ms",
    "text": """order_id IN (SELECT order_id FROM (SELECT order_id, words FROM order_view
        ORDER BY order_id DESC LIMIT 50000) WHERE words LIKE :text ESCAPE '!')""",
}
_OF_PART = {
    Part.ALL: "open = 1",
    Part.CUSTOMER: "customer = :id AND open = 1",
    Part.STORE: "store_id = :id AND open = 1",
    Part.RIDER: "rider_id = :id AND open = 1",
    Part.ORDER: "order_id = :id AND open = 1",
}

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Order).decode
_decode_event = msgspec.json.Decoder(OrderEvent).decode


class Filed(NamedTuple):
    """An event that was news, and who was the rider before it."""

    event: OrderEvent
    was_rider_id: str


class Kept(NamedTuple):
    """What a start finds: the offsets that the rows belong to, and whether the views were ever complete."""

    offsets: dict[int, int]
    complete: bool


def prepare(tx: Transaction) -> Kept:
    """Make the tables, or make them again when they have another shape."""
    tx.execute(META)
    meta: dict[str, str] = dict(tx.execute("SELECT name, value FROM view_meta"))
    if meta.get("schema") != SCHEMA:
        for name in NAMES:
            tx.execute(f"DROP TABLE IF EXISTS {name}")
        tx.execute("DELETE FROM view_meta")
        tx.execute(UPSERT_META, ("schema", SCHEMA))
        meta = {}
    for table in TABLES:
        tx.execute(table)
    offsets = {int(part): int(offset) for part, offset in tx.execute("SELECT * FROM view_offset")}
    return Kept(offsets, meta.get("complete") == "yes")


def clear(tx: Transaction) -> None:
    """Empty the views; until `mark_complete` a start begins again."""
    for name in NAMES:
        tx.execute(f"DELETE FROM {name}")  # noqa: S608
    tx.execute("DELETE FROM view_meta WHERE name = 'complete'")


def mark_complete(tx: Transaction, offsets: Mapping[int, int]) -> None:
    """Everything up to these offsets is in."""
    tx.execute_many(UPSERT_OFFSET, list(offsets.items()))
    tx.execute(UPSERT_META, ("complete", "yes"))


def file(tx: Transaction, events: Sequence[OrderEvent], offsets: Mapping[int, int]) -> list[Filed]:
    """Put events in, and the offsets they came from, in the same transaction; gives those that were news.

    Whatever has been seen, or is older than what is shown, changes nothing but the trail (which lacks none).
    """
    known = _known(tx, {event.order_id for event in events})
    filed: list[Filed] = []
    newest: dict[str, Order] = {}
    for event in events:
        version, rider_id = known.get(event.order_id, (0, ""))
        if event.version > version:
            filed.append(Filed(event, rider_id))
            newest[event.order_id] = event.order
            known[event.order_id] = (event.version, event.order.rider_id)
    tx.execute_many(INSERT_TRAIL, [(e.order_id, e.version, _encode(e).decode()) for e in events])
    tx.execute_many(UPSERT, [_row(order) for order in newest.values()])
    tx.execute_many(UPSERT_OFFSET, list(offsets.items()))
    return filed


def _known(tx: Transaction, ids: set[str]) -> dict[str, tuple[int, str]]:
    known: dict[str, tuple[int, str]] = {}
    wanted = sorted(ids)
    for start in range(0, len(wanted), _IN_ONE_QUERY):
        part = wanted[start : start + _IN_ONE_QUERY]
        marks = ",".join("?" * len(part))
        sql = f"SELECT order_id, version, rider_id FROM order_view WHERE order_id IN ({marks})"  # noqa: S608
        for row in tx.execute(sql, part):
            known[str(row[0])] = (int(row[1]), str(row[2]))
    return known


def _row(order: Order) -> Row:
    names = (order.order_id, order.customer, order.store_name, order.rider_id, order.address.text, order.note)
    words = " ".join((*names, *(line.name for line in order.lines))).casefold()
    is_open = int(order.state not in FINAL)
    return (
        order.order_id,
        order.version,
        str(order.state),
        is_open,
        order.customer,
        order.store_id,
        order.rider_id,
        order.changed_at_ms,
        words,
        _encode(order).decode(),
    )


def orders(rows: Iterable[Row]) -> list[Order]:
    """Rows of `body`."""
    return [_decode(row[0]) for row in rows]


async def read_one(database: Database, order_id: str) -> Order | None:
    """By its primary key."""
    rows = await database.read(SELECT_ONE, (order_id,))
    return _decode(rows[0][0]) if rows else None


async def read_trail(database: Database, order_id: str) -> list[OrderEvent]:
    """Every event of an order, by version."""
    return [_decode_event(row[0]) for row in await database.read(SELECT_TRAIL, (order_id,))]


async def read_open(database: Database, scope: Scope, limit: int) -> list[Order]:
    """The newest `limit` open orders of a scope, newest first."""
    sql = f"{SELECT} WHERE {_OF_PART[scope.part]} {NEWEST_FIRST}"
    return orders(await database.read(sql, {"id": scope.id, "limit": limit}))


async def read_page(database: Database, filters: Mapping[str, object], limit: int) -> list[Order]:
    """Orders that match all `filters` (names of `FILTERS`; None: not asked for), newest first."""
    given = {name: value for name, value in filters.items() if value is not None}
    where = " AND ".join(FILTERS[name] for name in given)
    if "text" in given:
        given["text"] = f"%{_literal(str(given['text']).casefold())}%"
    sql = f"{SELECT} {'WHERE ' + where if where else ''} {NEWEST_FIRST}"
    return orders(await database.read(sql, {**given, "limit": limit}))


def _literal(text: str) -> str:
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
