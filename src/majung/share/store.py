"""Share links in the database."""

from majung.ports import Row
from majung.share.model import Share

INSERT = """
INSERT INTO share (share_id, token_sha256, order_id, made_by, created_at_ms, expires_at_ms)
VALUES (:share_id, :token_sha256, :order_id, :made_by, :now_ms, :expires_at_ms)
"""
SELECT_BY_DIGEST = """
SELECT share_id, order_id, created_at_ms, expires_at_ms, revoked_at_ms FROM share
WHERE token_sha256 = :token_sha256
"""
SELECT_OF_ORDER = """
SELECT share_id, order_id, created_at_ms, expires_at_ms, revoked_at_ms FROM share
WHERE order_id = :order_id ORDER BY created_at_ms, share_id LIMIT 1000
"""
COUNT_OF_ORDER = """
SELECT COUNT(*), COALESCE(SUM(CASE WHEN revoked_at_ms IS NULL AND expires_at_ms > :now_ms THEN 1 ELSE 0 END), 0)
FROM share WHERE order_id = :order_id
"""
REVOKE = """
UPDATE share SET revoked_at_ms = :now_ms
WHERE share_id = :share_id AND order_id = :order_id AND revoked_at_ms IS NULL
"""
SELECT_REVOKED_SINCE = """
SELECT share_id FROM share WHERE revoked_at_ms >= :since_ms ORDER BY revoked_at_ms DESC LIMIT 10000
"""
DELETE_OLD = "DELETE FROM share WHERE expires_at_ms < :before_ms"


def share_of(row: Row) -> Share:
    """A row of any of the selects."""
    share_id, order_id, created_at_ms, expires_at_ms, revoked_at_ms = row
    return Share(share_id, order_id, created_at_ms, expires_at_ms, revoked_at_ms)
