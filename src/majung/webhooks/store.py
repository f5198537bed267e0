"""The SQL of webhooks, for SQLite and PostgreSQL alike; tables in migration `webhooks`.

Two transactions that file for the same endpoint must not pass each other: each takes its numbers first, and
with them the lock on the counter's row.
"""

_ENDPOINT = (
    "webhook_id, store_id, account, url, events, description, secret, old_secret, old_secret_until_ms, state,"
    " reason, created_at_ms, updated_at_ms, failing_since_ms, last_success_ms, last_failure_ms, last_problem"
)
SELECT_ENDPOINTS = f"SELECT {_ENDPOINT} FROM webhook_endpoint ORDER BY webhook_id"  # noqa: S608
INSERT_ENDPOINT = f"""
INSERT INTO webhook_endpoint ({_ENDPOINT})
VALUES (:webhook_id, :store_id, :account, :url, :events, :description, :secret, '', 0, 'active', '',
    :now_ms, :now_ms, 0, 0, 0, '')
"""  # noqa: S608
UPDATE_ENDPOINT = """
UPDATE webhook_endpoint SET account = :account, url = :url, events = :events, description = :description,
    secret = :secret, old_secret = :old_secret, old_secret_until_ms = :old_secret_until_ms, state = :state,
    reason = :reason, updated_at_ms = :updated_at_ms, failing_since_ms = :failing_since_ms
WHERE webhook_id = :webhook_id
"""
UPDATE_HEALTH = """
UPDATE webhook_endpoint SET failing_since_ms = :failing_since_ms, last_success_ms = :last_success_ms,
    last_failure_ms = :last_failure_ms, last_problem = :last_problem WHERE webhook_id = :webhook_id
"""
DELETE_ENDPOINT = "DELETE FROM webhook_endpoint WHERE webhook_id = ?"
DELETE_DELIVERIES_OF = "DELETE FROM webhook_delivery WHERE webhook_id = ?"
DELETE_BEHIND_OF = "DELETE FROM webhook_behind WHERE webhook_id = ?"
# Endpoints whose account is gone, or is no longer what it was when it made them.
SELECT_OUTLAWED = """
SELECT w.webhook_id FROM webhook_endpoint w WHERE w.state <> 'disabled' AND NOT EXISTS (
    SELECT 1 FROM account a WHERE a.name = w.account AND a.revoked_at_ms IS NULL
    AND (a.role = 'admin' OR (a.role = 'store' AND w.store_id <> '' AND a.store_id = w.store_id)))
"""

INSERT_AUDIT = """
INSERT INTO webhook_audit (audit_id, webhook_id, at_ms, actor, what, detail) VALUES (?, ?, ?, ?, ?, ?)
"""
SELECT_AUDIT = """
SELECT at_ms, actor, what, detail FROM webhook_audit WHERE webhook_id = ? ORDER BY audit_id DESC LIMIT ?
"""
DELETE_OLD_AUDIT = "DELETE FROM webhook_audit WHERE at_ms < ?"

# --------------------------------------------------------------------------------------- deliveries

TAKE_NUMBERS = "UPDATE webhook_counter SET value = value + ? WHERE id = 1 RETURNING value"
INSERT_DELIVERY = """
INSERT INTO webhook_delivery (number, webhook_id, event_id, type, subject, at_ms, queued_at_ms, status, attempts,
    next_at_ms, tried_at_ms, took_ms, http_status, problem, answer, body)
VALUES (?, ?, ?, ?, ?, ?, ?, 'waiting', 0, ?, 0, 0, 0, '', '', ?)
ON CONFLICT (webhook_id, event_id) DO NOTHING RETURNING number
"""
# In order within a subject: past one that was refused MAX_IN_FRONT times and no other.
SELECT_DUE = """
SELECT number, event_id, subject, queued_at_ms, attempts, body FROM webhook_delivery d
WHERE webhook_id = :webhook_id AND status = 'waiting' AND next_at_ms <= :now_ms
    AND NOT EXISTS (SELECT 1 FROM webhook_delivery e WHERE e.webhook_id = d.webhook_id
        AND e.subject = d.subject AND e.status = 'waiting' AND e.number < d.number
        AND e.next_at_ms > :now_ms AND e.attempts < :in_front)
ORDER BY number LIMIT :limit
"""
# When the next one that is not due yet will be, and whether anything waits at all.
SELECT_NEXT = """
SELECT MIN(CASE WHEN next_at_ms > :now_ms THEN next_at_ms END), COUNT(*) FROM webhook_delivery
WHERE webhook_id = :webhook_id AND status = 'waiting'
"""
COUNT = """
SELECT webhook_id, status, COUNT(*), MIN(at_ms) FROM webhook_delivery WHERE status <> 'done'
GROUP BY webhook_id, status
"""
COUNT_OF = """
SELECT webhook_id, status, COUNT(*), MIN(at_ms) FROM webhook_delivery
WHERE webhook_id = ? AND status <> 'done' GROUP BY webhook_id, status
"""
RECORD = """
UPDATE webhook_delivery SET status = :status, attempts = attempts + 1, next_at_ms = :next_at_ms,
    tried_at_ms = :now_ms, took_ms = :took_ms, http_status = :http_status, problem = :problem, answer = :answer
WHERE number = :number AND status = 'waiting' RETURNING number
"""
RELEASE = """
UPDATE webhook_delivery SET next_at_ms = :now_ms
WHERE webhook_id = :webhook_id AND status = 'waiting' AND next_at_ms > :now_ms
"""
GIVE_UP = """
UPDATE webhook_delivery SET status = 'dead', tried_at_ms = :now_ms,
    problem = CASE problem WHEN '' THEN 'never tried: the endpoint did not answer to others' ELSE problem END
WHERE status = 'waiting' AND queued_at_ms < :before_ms RETURNING webhook_id
"""
BURY = """
UPDATE webhook_delivery SET status = 'dead', tried_at_ms = :now_ms, problem = :problem
WHERE webhook_id = :webhook_id AND status = 'waiting'
"""

_DELIVERY = (
    "number, event_id, type, subject, status, at_ms, queued_at_ms, attempts, body, next_at_ms, tried_at_ms,"
    " took_ms, http_status, problem, answer"
)
SELECT_DELIVERIES = f"""
SELECT {_DELIVERY} FROM webhook_delivery
WHERE webhook_id = :webhook_id AND number < :before AND (:status = '' OR status = :status)
ORDER BY number DESC LIMIT :limit
"""  # noqa: S608
REPLAY = """
UPDATE webhook_delivery SET status = 'waiting', attempts = 0, queued_at_ms = :now_ms, next_at_ms = :now_ms
WHERE number IN (SELECT number FROM webhook_delivery WHERE webhook_id = :webhook_id AND status <> 'waiting'
    AND (:status = '' OR status = :status) AND at_ms >= :from_ms AND at_ms < :to_ms {numbers}
    ORDER BY number LIMIT :room)
RETURNING number
"""
DELETE_DONE = "DELETE FROM webhook_delivery WHERE status = 'done' AND tried_at_ms < ?"
DELETE_DEAD = "DELETE FROM webhook_delivery WHERE status = 'dead' AND tried_at_ms < ?"

# ------------------------------------------------------------------------------------------ offsets

SELECT_OFFSETS = "SELECT part, next_offset FROM webhook_offset WHERE topic = ?"
PUT_OFFSET = """
INSERT INTO webhook_offset (topic, part, next_offset) VALUES (?, ?, ?)
ON CONFLICT (topic, part) DO UPDATE SET next_offset = excluded.next_offset
"""
SELECT_BEHIND = "SELECT webhook_id, part, next_offset FROM webhook_behind WHERE topic = ?"
PUT_BEHIND = """
INSERT INTO webhook_behind (webhook_id, topic, part, next_offset) VALUES (?, ?, ?, ?)
ON CONFLICT (webhook_id, topic, part) DO UPDATE SET next_offset = excluded.next_offset
"""
DELETE_BEHIND = "DELETE FROM webhook_behind WHERE webhook_id = ? AND topic = ?"
