"""SQL of fences and events, for SQLite and PostgreSQL alike.

Events get their number from a counter row that each transaction raises: its lock makes the order of the
numbers the order of the commits, so that a reader who continues after the last number it saw misses none.
An AUTOINCREMENT or a sequence would not promise that.
"""

INSERT_FENCE = """
INSERT INTO fence (fence_id, document, version, created_at_ms, updated_at_ms, made_by, request_key)
VALUES (:fence_id, :document, :version, :created_at_ms, :updated_at_ms, :made_by, :request_key)
"""
SELECT_FENCES = """
SELECT fence_id, document, version, created_at_ms, updated_at_ms FROM fence ORDER BY created_at_ms, fence_id
"""
SELECT_FENCE = """
SELECT fence_id, document, version, created_at_ms, updated_at_ms FROM fence WHERE fence_id = :fence_id
"""
SELECT_BY_REQUEST = """
SELECT fence_id, document, version, created_at_ms, updated_at_ms FROM fence
WHERE made_by = :made_by AND request_key = :request_key
"""
COUNT_FENCES = "SELECT COUNT(*) FROM fence"
UPDATE_FENCE = """
UPDATE fence SET document = :document, version = version + 1, updated_at_ms = :updated_at_ms
WHERE fence_id = :fence_id RETURNING fence_id, document, version, created_at_ms, updated_at_ms
"""
DELETE_FENCE = "DELETE FROM fence WHERE fence_id = :fence_id RETURNING fence_id"

TAKE_NUMBERS = "UPDATE rider_event_counter SET value = value + :count WHERE id = 1 RETURNING value"
INSERT_EVENT = """
INSERT INTO rider_event
  (id, event_id, rider_id, kind, fence_id, fence_name, at_ms, latitude, longitude, recorded_at_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (event_id) DO NOTHING
"""
_EVENT = "id, event_id, rider_id, kind, fence_id, fence_name, at_ms, latitude, longitude, recorded_at_ms"
# {riders} stands for "" or "AND rider_id IN (:r0, :r1, ...)": placeholders only, never values.
SELECT_EVENTS_AFTER = (
    f"SELECT {_EVENT} FROM rider_event"  # noqa: S608
    " WHERE id > :id AND (CAST(:fence_id AS TEXT) IS NULL OR fence_id = :fence_id) {riders} ORDER BY id LIMIT :limit"
)
SELECT_EVENTS_BEFORE = (
    f"SELECT {_EVENT} FROM rider_event"  # noqa: S608
    " WHERE id < :id AND (CAST(:fence_id AS TEXT) IS NULL OR fence_id = :fence_id) {riders}"
    " ORDER BY id DESC LIMIT :limit"
)
DELETE_OLD_EVENTS = "DELETE FROM rider_event WHERE recorded_at_ms < :before_ms"
DELETE_EXCESS_EVENTS = """
DELETE FROM rider_event WHERE id <= (SELECT id FROM rider_event ORDER BY id DESC LIMIT 1 OFFSET :keep)
"""
