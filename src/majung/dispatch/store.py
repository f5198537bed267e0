"""SQL of dispatch, for SQLite and PostgreSQL alike."""

_ORDER = (
    "order_id, version, state, rider_id, store_id, store_name, store_latitude, store_longitude,"
    " latitude, longitude, address, start_at_ms, since_ms, changed_at_ms"
)
_OFFER = (
    "offer_id, order_id, rider_id, status, offered_at_ms, expires_at_ms, store_distance_m, way_m, earning_krw"
)

# A version that is not newer changes nothing and returns nothing: events may come again.
UPSERT_ORDER = f"""
INSERT INTO dispatch_order ({_ORDER})
VALUES (:order_id, :version, :state, :rider_id, :store_id, :store_name, :store_latitude, :store_longitude,
    :latitude, :longitude, :address, :start_at_ms, :since_ms, :changed_at_ms)
ON CONFLICT (order_id) DO UPDATE SET version = excluded.version, state = excluded.state,
    since_ms = CASE WHEN dispatch_order.rider_id <> '' AND excluded.rider_id = ''
        THEN excluded.changed_at_ms ELSE dispatch_order.since_ms END,
    rider_id = excluded.rider_id, start_at_ms = excluded.start_at_ms, changed_at_ms = excluded.changed_at_ms
WHERE excluded.version > dispatch_order.version RETURNING {_ORDER}
"""  # noqa: S608
SELECT_OPEN_ORDERS = f"""
SELECT {_ORDER} FROM dispatch_order WHERE state IN ('COOKING', 'READY', 'PICKED_UP', 'DELIVERING')
ORDER BY since_ms, order_id
"""  # noqa: S608

# Only for an order that still needs a rider, to a rider who is on duty; the unique indexes say the rest.
INSERT_OFFER = f"""
INSERT INTO dispatch_offer ({_OFFER}, decided_at_ms)
SELECT :offer_id, :order_id, :rider_id, :status, :offered_at_ms, :expires_at_ms, :store_distance_m, :way_m,
    :earning_krw, 0
WHERE EXISTS (SELECT 1 FROM dispatch_order WHERE order_id = :order_id AND rider_id = ''
        AND state IN ('COOKING', 'READY'))
    AND EXISTS (SELECT 1 FROM rider_duty WHERE rider_id = :rider_id AND on_duty = 1)
    AND NOT EXISTS (SELECT 1 FROM dispatch_order WHERE rider_id = :rider_id AND rider_id <> ''
        AND state IN ('COOKING', 'READY', 'PICKED_UP', 'DELIVERING'))
ON CONFLICT DO NOTHING RETURNING {_OFFER}
"""  # noqa: S608
# An assignment that did not come from an offer: an administrator's. Nothing when the rider holds something.
INSERT_HOLD = f"""
INSERT INTO dispatch_offer ({_OFFER}, decided_at_ms)
VALUES (:offer_id, :order_id, :rider_id, :status, :offered_at_ms, :expires_at_ms, :store_distance_m, :way_m,
    :earning_krw, :offered_at_ms)
ON CONFLICT DO NOTHING RETURNING {_OFFER}
"""  # noqa: S608
SELECT_OFFER = f"SELECT {_OFFER} FROM dispatch_offer WHERE offer_id = :offer_id"  # noqa: S608
SELECT_HELD = f"""
SELECT {_OFFER} FROM dispatch_offer WHERE status IN ('open', 'accepted')
"""  # noqa: S608
SELECT_HELD_BY_EITHER = f"""
SELECT {_OFFER} FROM dispatch_offer WHERE status IN ('open', 'accepted')
    AND (rider_id = :rider_id OR order_id = :order_id)
"""  # noqa: S608
SELECT_REFUSED = f"""
SELECT {_OFFER} FROM dispatch_offer WHERE status IN ('declined', 'expired', 'released') AND order_id IN
    (SELECT order_id FROM dispatch_order WHERE rider_id = '' AND state IN ('COOKING', 'READY'))
"""  # noqa: S608
ACCEPT = f"""
UPDATE dispatch_offer SET status = 'accepted', decided_at_ms = :now_ms
WHERE offer_id = :offer_id AND rider_id = :rider_id AND status = 'open' AND expires_at_ms > :now_ms
    AND EXISTS (SELECT 1 FROM dispatch_order o WHERE o.order_id = dispatch_offer.order_id AND o.rider_id = ''
        AND o.state IN ('COOKING', 'READY'))
RETURNING {_OFFER}
"""  # noqa: S608
# From one status to another, or nothing.
CHANGE = f"""
UPDATE dispatch_offer SET status = :status, decided_at_ms = :now_ms
WHERE offer_id = :offer_id AND status = :before RETURNING {_OFFER}
"""  # noqa: S608
END_OF_ORDER = f"""
UPDATE dispatch_offer SET status = CASE status WHEN 'accepted' THEN 'done' ELSE 'withdrawn' END,
    decided_at_ms = :now_ms
WHERE order_id = :order_id AND status IN ('open', 'accepted') RETURNING {_OFFER}
"""  # noqa: S608
TAKE_FROM = f"""
UPDATE dispatch_offer SET status = CASE status WHEN 'accepted' THEN 'released' ELSE 'withdrawn' END,
    decided_at_ms = :now_ms
WHERE order_id = :order_id AND rider_id <> :rider_id AND status IN ('open', 'accepted')
RETURNING {_OFFER}
"""  # noqa: S608
CONFIRM = f"""
UPDATE dispatch_offer SET status = 'accepted', decided_at_ms = :now_ms
WHERE order_id = :order_id AND rider_id = :rider_id AND status IN ('open', 'accepted')
RETURNING {_OFFER}
"""  # noqa: S608
DROP_OPEN_OF_RIDER = f"""
UPDATE dispatch_offer SET status = :status, decided_at_ms = :now_ms
WHERE rider_id = :rider_id AND status = 'open' RETURNING {_OFFER}
"""  # noqa: S608

PUT_DUTY = """
INSERT INTO rider_duty (rider_id, on_duty, changed_at_ms) VALUES (:rider_id, :on_duty, :now_ms)
ON CONFLICT (rider_id) DO UPDATE SET on_duty = excluded.on_duty, changed_at_ms = excluded.changed_at_ms
WHERE rider_duty.on_duty <> excluded.on_duty
"""
SELECT_ON_DUTY = "SELECT rider_id FROM rider_duty WHERE on_duty = 1"

DELETE_OLD_OFFERS = """
DELETE FROM dispatch_offer WHERE decided_at_ms < :before_ms AND status NOT IN ('open', 'accepted')
    AND order_id NOT IN (SELECT order_id FROM dispatch_order WHERE state IN ('COOKING', 'READY'))
"""
DELETE_OLD_ORDERS = """
DELETE FROM dispatch_order WHERE changed_at_ms < :before_ms
    AND state IN ('DELIVERED', 'REJECTED', 'CANCELLED', 'FAILED')
"""
