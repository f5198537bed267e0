"""SQL of arrivals, for SQLite and PostgreSQL alike; tables in the migration `eta`."""

# ended_at_ms 0: open. Rows of ended orders stay a while, so that an event that comes again is known.
UPSERT_ORDER = """
INSERT INTO eta_order (order_id, version, ended_at_ms, document)
VALUES (:order_id, :version, :ended_at_ms, :document)
ON CONFLICT (order_id) DO UPDATE SET version = excluded.version, ended_at_ms = excluded.ended_at_ms,
    document = excluded.document
"""
SELECT_OPEN = "SELECT document FROM eta_order WHERE ended_at_ms = 0 ORDER BY order_id"
SELECT_ENDED = """
SELECT order_id, ended_at_ms FROM eta_order WHERE ended_at_ms > 0 ORDER BY ended_at_ms DESC LIMIT :limit
"""
DELETE_ENDED = "DELETE FROM eta_order WHERE ended_at_ms > 0 AND ended_at_ms < :before_ms"

INSERT_RECORD = """
INSERT INTO eta_record (order_id, stage, predicted_ms, at_ms, earliest_ms, latest_ms, arrived_ms)
VALUES (:order_id, :stage, :predicted_ms, :at_ms, :earliest_ms, :latest_ms, :arrived_ms)
ON CONFLICT DO NOTHING
"""
CALIBRATION = """
SELECT stage, COUNT(*),
    AVG(CASE WHEN arrived_ms BETWEEN earliest_ms AND latest_ms THEN 1.0 ELSE 0.0 END),
    AVG(CASE WHEN arrived_ms < earliest_ms THEN 1.0 ELSE 0.0 END),
    AVG(CASE WHEN arrived_ms > latest_ms THEN 1.0 ELSE 0.0 END),
    AVG(arrived_ms - at_ms), AVG(ABS(arrived_ms - at_ms)), AVG(latest_ms - earliest_ms)
FROM eta_record WHERE arrived_ms >= :since_ms GROUP BY stage
"""
DELETE_RECORDS = "DELETE FROM eta_record WHERE arrived_ms < :before_ms"

UPSERT_LEARNED = """
INSERT INTO eta_learned (name, document, changed_at_ms) VALUES (:name, :document, :now_ms)
ON CONFLICT (name) DO UPDATE SET document = excluded.document, changed_at_ms = excluded.changed_at_ms
"""
SELECT_LEARNED = "SELECT name, document FROM eta_learned ORDER BY changed_at_ms, name"
DELETE_LEARNED = "DELETE FROM eta_learned WHERE changed_at_ms < :before_ms"
UPSERT_OFFSET = """
INSERT INTO eta_offset (part, next_offset) VALUES (:part, :next_offset)
ON CONFLICT (part) DO UPDATE SET next_offset = excluded.next_offset
"""
SELECT_OFFSETS = "SELECT part, next_offset FROM eta_offset"
