"""What the description of the API says that no handler says: tags, problems, raw bodies.

Tables alone; `openapi.py` puts them in their places. The examples of bodies are in `openapi_examples.py`.
"""

from typing import Any

from majung.serve.http import openapi_friends as of_friends
from majung.serve.http.oauth import TokenError
from majung.serve.http.operations import METRICS_TYPE
from majung.serve.http.positions import Track

ABOUT = """Where is it now, and when will it be here?

* Degrees are WGS 84; `…_ms` is Unix time in milliseconds, UTC; lengths are metres, speeds metres per second,
  directions degrees clockwise from true north.
* A field that has nothing to say (its default) is left out of an answer. New fields may be added to answers;
  unknown fields in a request are refused.
* Errors are RFC 9457 problem details, `application/problem+json`. After 429 and 503 `Retry-After` says when to
  come again.
* A token goes into `Authorization: Bearer …`, or into `?access_token=…` where a browser can set no header."""

TAGS = {
    "auth": "Signing in: OAuth 2.0 (RFC 6749) and who one is.",
    "accounts": "Users, devices and grants; for administrators.",
    "stores": "Restaurants: find them, their menus, what a basket costs; for their owners: change them.",
    "orders": "Place orders, carry them on, follow them; what each may do to an order is in docs/orders.md.",
    "addresses": "Korean addresses, without a network; see docs/addresses.md.",
    "share": "Links through which one order is followed without an account; see docs/sharing.md.",
    "webhooks": "Events told to servers of others, signed; see docs/webhooks.md.",
    "dispatch": "Riders on duty, the offers that they get and answer.",
    "routing": "Ways along streets, and when an order arrives.",
    "friends": "Who of one's friends is near; each decides what each other sees; see docs/friends.md.",
    "notifications": "What one was told about orders; Web Push to browsers; see docs/notifications.md.",
    "positions": "Where riders are and were, of those that the caller may see.",
    "live": "Positions and events as they happen.",
    "fences": "Circles, polygons and near points, and what happened at them.",
    "operations": "Quarantine, cells, health, metrics and the loss ledger.",
    "phones": "Doors for phone apps as they are; see docs/phones.md.",
    "map": "What the map page starts with.",
}

SECURITY = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of POST /v1/oauth/token, a device's `mjd_…` or an account's API token.",
    },
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "For phones. User: rider or device, password: the device's token.",
    },
    "token": {
        "type": "apiKey",
        "in": "query",
        "name": "token",
        "description": "For phones that can set no header: the device's token.",
    },
}
_PHONE: list[dict[str, list[str]]] = [{"bearer": []}, {"basic": []}, {"token": []}]
SECURITY_OF: dict[str, list[dict[str, list[str]]]] = {
    "owntracks_door": _PHONE,
    "osmand_door": _PHONE,
    "overland_door": _PHONE,
    "metrics": [{}, {"bearer": []}],
}

DONE = {200: "Done.", 201: "Made.", 204: "Done; nothing to say."}
PROBLEMS = {
    400: "A parameter, the JSON or a value in it is wrong; `detail` says which.",
    401: "No credential, or one that is unknown, expired or revoked.",
    403: "The credential may not do this, or may not see this rider.",
    404: "There is no such thing, or the rider is not live.",
    409: "It conflicts with what is there; `detail` says how.",
    410: "The link is over: it expired, was taken back or used, or its order has ended.",
    412: "It was changed since the version in If-Match; read it again.",
    413: "The body is larger than `server.max_body_bytes`.",
    429: "More than `server.rate_per_s`; see Retry-After.",
    503: "Busy, draining or a part is not available; try again.",
    507: "The disk is full; nothing was accepted. Service resumes by itself.",
}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}
HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"description": "RFC 6750.", "schema": {"type": "string"}}},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
    507: _RETRY_AFTER,
}
_ORDER_WRITES = (
    "place_order",
    "accept_order",
    "set_cooking_time",
    "reject_order",
    "cancel_order",
    "fail_order",
    "ready_order",
    "pick_up_order",
    "depart_order",
    "deliver_order",
    "reassign_order",
    "unassign_order",
)
# Problems that do not follow from what an operation takes.
ALSO = {
    **of_friends.ALSO,
    **{name: {409, 507} for name in _ORDER_WRITES},
    "add_proof_photo": {400, 404, 507},
    "add_proof_signature": {404, 507},
    "add_user": {409, 507},
    "revoke_user": {409, 507},
    "set_password": {507},
    "add_device": {507},
    "revoke_device": {507},
    "put_grant": {507},
    "sign_up": {403, 409, 429, 507},
    "register_store": {404, 409, 507},
    "replace_store": {412, 507},
    "close_store": {507},
    "replace_menu": {412, 507},
    "sold_out": {507},
    "price_basket": {409},
    "remove_grant": {507},
    "get_address_at": {404},
    "create_webhook": {409, 507},
    "change_webhook": {507},
    "delete_webhook": {507},
    "rotate_webhook_secret": {507},
    "replay_webhook": {409, 507},
    "create_share": {409, 410, 507},
    "revoke_share": {507},
    "get_track_shared": {410, 429},
    "shared_events": {410, 429},
    "create_fence": {409, 507},
    "mark_notices_read": {507},
    "add_subscription": {404, 507},
    "remove_subscription": {507},
    "replace_fence": {507},
    "delete_fence": {507},
    "live_events": {404},
    "owntracks_door": {507},
    "osmand_door": {507},
    "overland_door": {507},
}

NEVER = {"get_track": {404}, "me": {403}}
RESPONSES: dict[str, Any] = {
    "readyz": {
        "503": {
            "description": "Not ready; `waiting_for` says why.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Readiness"}}},
        }
    }
}

BODIES_OF = (Track, TokenError)  # what no handler names as its answer

# Of parameters, by name, or by operation and name.
VALUES: dict[str, Any] = {
    **of_friends.VALUES,
    "rider_id": "rider-0042",
    "device_id": "9f3b",
    "webhook_id": "wh-01jz0v6q3kf2m8d7s4tw",
    "list_webhook_deliveries.status": "dead",
    "store_id": "store-01jz0v6q3kf2m8d7s4tw",
    "q": "황금",
    "category": "chicken",
    "fence_id": "f7c1d2",
    "name": "mina",
    "lat": 37.4979,
    "lon": 127.0276,
    "from": "2026-05-29T05:00:00+09:00",
    "to": "2026-05-28T21:00:00Z",
    "get_route.from": "37.4979,127.0276",
    "get_route.to": "37.499,127.0301",
    "Accept-Language": "ko",
    "reason": "null_island",
    "rider": ["rider-0042"],
    "bbox": "37.48,127.00,37.52,127.06",
    "fence": "f7c1d2",
    "Idempotency-Key": "6f9619ff-8b86-4011-b42d-00c04fc964ff",
}
DESCRIPTIONS = {
    "rider_id": "Whoever carries the device.",
    "webhook_id": "The id that registering the webhook gave.",
    "device_id": "The id of the device's credential.",
    "store_id": "The id that registering the store gave.",
    "open_only": "Only those that are open now.",
    "owner": "The account whose store it becomes.",
    "fence_id": "The id that making the fence gave.",
    "name": "The account's name.",
    "after": "The last name or id of the page before.",
    "limit": "At most so many.",
    "after_id": "`next_after_id` of the page before: what was recorded after it, oldest first.",
    "offer_id": "The id that the offer carries.",
    "subscription_id": "The id that subscribing answered.",
    "lat": "Degrees, WGS 84.",
    "lon": "Degrees, WGS 84.",
    "radius_m": "How far around, in metres, straight line.",
    "order_id": "The id that placing the order answered.",
    "customer": "The customer, as an order names it.",
    "before": "`next_before` of the page before.",
    "before_id": "`next_before_id` of the page before.",
    "rider": "A rider to watch; may be repeated.",
    "bbox": "An area to watch: south,west,north,east in degrees.",
    "fence": "A fence to watch.",
}

_TOLD = [{"_type": "location", "tid": "b7k2", "lat": 37.4985, "lon": 127.028, "tst": 1780000000, "acc": 12}]
_TEXT = {"type": "string"}
_TRACK = "A file; see docs/api.md."
CONTENT: dict[str, dict[str, Any]] = {
    **of_friends.CONTENT,
    "get_proof": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    "get_track": {
        "application/json": {"schema": {"$ref": "#/components/schemas/Track"}},
        "application/geo+json": {"schema": {"type": "object", "description": "RFC 7946, a Point for each."}},
        "application/gpx+xml": {"schema": {**_TEXT, "description": "GPX 1.1."}},
        "text/csv": {"schema": {**_TEXT, "description": "RFC 4180 with a header."}},
    },
    "live_events": {"text/event-stream": {"schema": _TEXT}},
    "shared_events": {"text/event-stream": {"schema": _TEXT}},
    "healthz": {"text/plain": {"schema": _TEXT, "example": "ok"}},
    "metrics": {METRICS_TYPE: {"schema": {**_TEXT, "description": "Prometheus' text format."}}},
    "osmand_door": {"text/plain": {"schema": {**_TEXT, "description": "Empty."}}},
    "owntracks_door": {"application/json": {"schema": {"type": "array"}, "example": _TOLD}},
    "overland_door": {"application/json": {"schema": {"type": "object"}, "example": {"result": "ok"}}},
}

_OWNTRACKS = {"_type": "location", "tid": "01", "lat": 37.4979, "lon": 127.0276, "tst": 1780000000, "acc": 5}
_OVERLAND = {
    "locations": [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [127.0276, 37.4979]},
            "properties": {"timestamp": "2026-05-28T20:26:40Z", "horizontal_accuracy": 5, "speed": 7},
        }
    ]
}
_TRACCAR = {
    "device_id": "rider-0042",
    "location": {
        "timestamp": "2026-05-28T20:26:40.000Z",
        "coords": {"latitude": 37.4979, "longitude": 127.0276, "accuracy": 5, "speed": 7, "heading": 92},
    },
}
# Bodies that a handler reads itself. What cannot be read is set aside and acknowledged, so no schema binds.
REQUESTS: dict[str, dict[str, Any]] = {
    "owntracks_door": {"content": {"application/json": {"schema": {}, "example": _OWNTRACKS}}},
    "osmand_door": {"content": {"application/json": {"schema": {}, "example": _TRACCAR}}},
    "add_proof_photo": {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}},
    "overland_door": {"content": {"application/json": {"schema": {}, "example": _OVERLAND}}},
}


def _query(name: str, example: Any, description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": _TEXT, "example": example, "description": description}


PARAMETERS: dict[str, list[dict[str, Any]]] = {
    "osmand_door": [
        _query("id", "mjd_…", "The device's token; of a gateway: the rider."),
        _query("lat", "37.4979", "Latitude, degrees."),
        _query("lon", "127.0276", "Longitude, degrees."),
        _query("timestamp", "1780000000", "Seconds, milliseconds or ISO 8601; default: now."),
        _query("accuracy", "5", "Metres."),
        _query("speed", "13.6", "Knots; `speed_mps` is metres per second."),
        _query("bearing", "92", "Degrees."),
    ],
}
