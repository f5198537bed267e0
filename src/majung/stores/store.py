"""The SQL of stores and menus, for SQLite and PostgreSQL alike; tables in migration `0005_stores`."""

_STORE = "s.document, s.store_id, s.version, s.created_at_ms, s.updated_at_ms, s.closed_until_ms"

INSERT_STORE = """
INSERT INTO store (store_id, document, search_name, initials, category, latitude, longitude, version,
    closed_until_ms, created_at_ms, updated_at_ms)
VALUES (:store_id, :document, :search_name, :initials, :category, :latitude, :longitude, 1, 0, :now_ms, :now_ms)
"""
# :expected -1 for whatever version there is
UPDATE_STORE = """
UPDATE store SET document = :document, search_name = :search_name, initials = :initials, category = :category,
    latitude = :latitude, longitude = :longitude, version = version + 1, updated_at_ms = :now_ms
WHERE store_id = :store_id AND (:expected = -1 OR version = :expected)
"""
CLOSE_STORE = """
UPDATE store SET closed_until_ms = :closed_until_ms, version = version + 1, updated_at_ms = :now_ms
WHERE store_id = :store_id
"""
SELECT_STORE = f"SELECT {_STORE} FROM store s WHERE s.store_id = :store_id"  # noqa: S608
SELECT_STORE_AND_MENU = (
    f"SELECT {_STORE}, m.document, m.version FROM store s"  # noqa: S608
    " LEFT JOIN menu m ON m.store_id = s.store_id WHERE s.store_id = :store_id"
)
# {ids} stands for placeholders only, never for values.
SELECT_STORES = f"SELECT {_STORE} FROM store s WHERE s.store_id IN ({{ids}})"  # noqa: S608
SELECT_PLACES = """
SELECT store_id, latitude, longitude, updated_at_ms FROM store
WHERE store_id > :after ORDER BY store_id LIMIT :limit
"""

# Empty text finds everything, as does the whole globe. :name_like and :initials_like are patterns.
_FOUND = r"""
FROM store s WHERE s.latitude BETWEEN :south AND :north
    AND (s.longitude BETWEEN :west AND :east OR (:west > :east AND (s.longitude >= :west OR s.longitude <= :east)))
    AND (:category = '' OR s.category = :category)
    AND (:name_like = '' OR s.search_name LIKE :name_like ESCAPE '\'
        OR (:initials_like <> '' AND s.initials LIKE :initials_like ESCAPE '\'))
"""
SEARCH_PLACES = f"SELECT s.store_id, s.latitude, s.longitude {_FOUND} LIMIT :limit"
SEARCH_NAMES = f"SELECT s.store_id {_FOUND} ORDER BY s.search_name, s.store_id LIMIT :limit"
SELECT_CATEGORIES = (
    "SELECT category, COUNT(*) FROM store GROUP BY category ORDER BY COUNT(*) DESC, category LIMIT 200"
)

SELECT_MENU = "SELECT document, version FROM menu WHERE store_id = :store_id"
PUT_MENU = """
INSERT INTO menu (store_id, document, version, updated_at_ms) VALUES (:store_id, :document, 1, :now_ms)
ON CONFLICT (store_id) DO UPDATE SET document = excluded.document, version = menu.version + 1,
    updated_at_ms = excluded.updated_at_ms
"""
