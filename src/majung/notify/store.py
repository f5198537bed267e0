"""SQL of notices, push subscriptions and the push queue, for SQLite and PostgreSQL alike.

Notices get their number from a counter row that each transaction raises: its lock makes the order of the
numbers the order of the commits, so that a reader who continues after the last one it saw misses none.
"""

TAKE_NUMBERS = "UPDATE notice_counter SET value = value + :count WHERE id = 1 RETURNING value"
INSERT_NOTICE = """
INSERT INTO notice (id, recipient, order_id, kind, cause, params, at_ms)
VALUES (:id, :recipient, :order_id, :kind, :cause, :params, :at_ms)
ON CONFLICT (recipient, order_id, kind, cause) DO NOTHING RETURNING id
"""
_NOTICE = """id, recipient, kind, order_id, at_ms, params,
 id <= COALESCE((SELECT up_to FROM notice_read r WHERE r.recipient = notice.recipient), 0)"""
SELECT_AFTER = f"""
SELECT {_NOTICE} FROM notice WHERE recipient = :recipient AND id > :id ORDER BY id LIMIT :limit
"""  # noqa: S608
SELECT_BEFORE = f"""
SELECT {_NOTICE} FROM notice WHERE recipient = :recipient AND id < :id ORDER BY id DESC LIMIT :limit
"""  # noqa: S608
# No further than :most: nobody reads on after "99+".
COUNT_UNREAD = """
SELECT COUNT(*) FROM (SELECT 1 FROM notice WHERE recipient = :recipient
 AND id > COALESCE((SELECT up_to FROM notice_read WHERE recipient = :recipient), 0) LIMIT :most) AS unread
"""
# Never past what there is, else what comes later would have been read already.
MARK_READ = """
INSERT INTO notice_read (recipient, up_to)
SELECT :recipient, MAX(id) FROM notice WHERE recipient = :recipient AND id <= :up_to HAVING MAX(id) IS NOT NULL
ON CONFLICT (recipient) DO UPDATE SET up_to = excluded.up_to WHERE excluded.up_to > notice_read.up_to
"""
# Ids and times go up together, nearly; the oldest are looked at :chunk at a time, and there is no index on time.
DELETE_OLD = """
DELETE FROM notice WHERE at_ms < :before_ms AND id IN (SELECT id FROM notice ORDER BY id LIMIT :chunk)
RETURNING id
"""
DELETE_EXCESS = "DELETE FROM notice WHERE id <= (SELECT value FROM notice_counter WHERE id = 1) - :keep"

# ---------------------------------------------------------------------- orders that somebody carries

_ORDER = """order_id, version, state, rider_id, customer, store_id, store_name, store_latitude,
 store_longitude, latitude, longitude, precision, since_ms, changed_at_ms, store_told_ms, home_told_ms"""
SELECT_ORDER = f"SELECT {_ORDER} FROM notify_order WHERE order_id = :order_id"  # noqa: S608
SELECT_CARRIED = f"""
SELECT {_ORDER} FROM notify_order
WHERE rider_id <> '' AND state IN ('COOKING', 'READY', 'PICKED_UP', 'DELIVERING')
"""  # noqa: S608
PUT_ORDER = f"""
INSERT INTO notify_order ({_ORDER})
VALUES (:order_id, :version, :state, :rider_id, :customer, :store_id, :store_name, :store_latitude,
 :store_longitude, :latitude, :longitude, :precision, :since_ms, :changed_at_ms, :store_told_ms, :home_told_ms)
ON CONFLICT (order_id) DO UPDATE SET version = excluded.version, state = excluded.state,
 rider_id = excluded.rider_id, since_ms = excluded.since_ms, changed_at_ms = excluded.changed_at_ms,
 store_told_ms = excluded.store_told_ms, home_told_ms = excluded.home_told_ms
"""  # noqa: S608
TELL_HOME = f"""
UPDATE notify_order SET home_told_ms = :now_ms
WHERE order_id = :order_id AND rider_id = :rider_id AND home_told_ms = 0
 AND state IN ('PICKED_UP', 'DELIVERING') RETURNING {_ORDER}
"""  # noqa: S608
TELL_STORE = f"""
UPDATE notify_order SET store_told_ms = :now_ms
WHERE order_id = :order_id AND rider_id = :rider_id AND store_told_ms = 0
 AND state IN ('COOKING', 'READY') RETURNING {_ORDER}
"""  # noqa: S608
DELETE_ORDERS = """
DELETE FROM notify_order WHERE changed_at_ms < :before_ms
 AND (rider_id = '' OR state IN ('DELIVERED', 'REJECTED', 'CANCELLED', 'FAILED'))
"""

# --------------------------------------------------------------------------------------------- push

INSERT_KEY = """
INSERT INTO push_key (id, private_jwk, created_at_ms) VALUES (1, :private_jwk, :now_ms)
ON CONFLICT (id) DO NOTHING
"""
SELECT_KEY = "SELECT private_jwk FROM push_key WHERE id = 1"

SELECT_SUBSCRIPTION = """
SELECT account_name, p256dh, auth FROM push_subscription WHERE subscription_id = :subscription_id
"""
PUT_SUBSCRIPTION = """
INSERT INTO push_subscription (subscription_id, account_name, recipient, endpoint, origin, p256dh, auth,
 language, created_at_ms, seen_at_ms)
VALUES (:subscription_id, :account_name, :recipient, :endpoint, :origin, :p256dh, :auth, :language, :now_ms,
 :now_ms)
ON CONFLICT (subscription_id) DO UPDATE SET account_name = excluded.account_name,
 recipient = excluded.recipient, p256dh = excluded.p256dh, auth = excluded.auth,
 language = excluded.language, seen_at_ms = excluded.seen_at_ms
"""
SELECT_OWN = """
SELECT subscription_id, origin, language, created_at_ms FROM push_subscription
WHERE account_name = :account_name ORDER BY created_at_ms, subscription_id
"""
# :account_name :keep: the ones beyond so many, longest unseen first
SELECT_SURPLUS = """
SELECT subscription_id FROM push_subscription WHERE account_name = :account_name
ORDER BY seen_at_ms DESC, subscription_id LIMIT 1000 OFFSET :keep
"""
DELETE_OWN = """
DELETE FROM push_subscription WHERE subscription_id = :subscription_id AND account_name = :account_name
RETURNING subscription_id
"""
DELETE_SUBSCRIPTION = "DELETE FROM push_subscription WHERE subscription_id = :subscription_id"
DROP_QUEUE = "DELETE FROM push_queue WHERE subscription_id = :subscription_id"
ANY_SUBSCRIPTION = "SELECT 1 FROM push_subscription LIMIT 1"
# An account that was revoked is told nothing any more.
ENQUEUE = """
INSERT INTO push_queue (notice_id, subscription_id, origin, due_at_ms, expires_at_ms)
SELECT :notice_id, s.subscription_id, s.origin, :now_ms, :expires_at_ms FROM push_subscription s
JOIN account a ON a.name = s.account_name AND a.revoked_at_ms IS NULL
WHERE s.recipient = :recipient RETURNING subscription_id
"""
# One step of a skip scan: the next origin after the last one.
NEXT_ORIGIN = "SELECT MIN(origin) FROM push_queue WHERE origin > :origin"
SELECT_DUE = """
SELECT q.notice_id, q.subscription_id, q.expires_at_ms, q.tries, s.endpoint, s.p256dh, s.auth, s.language,
 n.kind, n.order_id, n.recipient, n.at_ms, n.params
FROM push_queue q
LEFT JOIN push_subscription s ON s.subscription_id = q.subscription_id
LEFT JOIN notice n ON n.id = q.notice_id
WHERE q.origin = :origin AND q.due_at_ms <= :now_ms ORDER BY q.due_at_ms, q.notice_id LIMIT :limit
"""
NEXT_DUE = "SELECT MIN(due_at_ms) FROM push_queue WHERE origin = :origin AND due_at_ms > :now_ms"
DONE = "DELETE FROM push_queue WHERE notice_id = ? AND subscription_id = ?"
AGAIN = """
UPDATE push_queue SET due_at_ms = :due_at_ms, tries = tries + 1
WHERE notice_id = :notice_id AND subscription_id = :subscription_id
"""
DELETE_EXPIRED = "DELETE FROM push_queue WHERE expires_at_ms <= :now_ms"
COUNT_QUEUE = "SELECT COUNT(*) FROM push_queue"
