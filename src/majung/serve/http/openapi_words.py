"""What the description of the API says that no handler says: examples, tags, problems, raw bodies.

Tables alone; `openapi.py` puts them in their places. An example stands here as a value of its own type, so
that it cannot say what the API does not say.
"""

from typing import Any

import msgspec

from majung.addresses.model import AddressAt, Candidate, Candidates, Source
from majung.auth.model import Account, Device, Grant, NewUser, Role, TokenSet
from majung.eta.model import Calibration, Eta, LateOrders, Stage, StageCalibration
from majung.notify.model import Kind
from majung.notify.subscriptions import NewSubscription, PushKeys, Subscription
from majung.orders.model import OrderState, Precision
from majung.ports import CellLoad
from majung.positions.fence_model import Circle, Fence, NewFence
from majung.positions.fences import StoredEvent
from majung.positions.model import LivePosition, Nearby, Reason, TrackPoint
from majung.positions.quarantine import QuarantineItem
from majung.routing.model import Route, Step
from majung.serve.http import openapi_friends as of_friends
from majung.serve.http.accounts import AddDevice, AddUser, Devices, Grants, Users
from majung.serve.http.fences import EventsPage, Fences
from majung.serve.http.notify import NoticesPage, PushKey, Seen, ShownNotice, SubscriptionList, Unread
from majung.serve.http.oauth import Me, TokenError
from majung.serve.http.operations import METRICS_TYPE, Readiness
from majung.serve.http.positions import BatchGet, BatchGot, NearestGot, QuarantinePage, Track
from majung.serve.http.problems import Problem
from majung.serve.http.share import Shares, ShareWish
from majung.serve.http.webhooks import DeliveryPage, Replayed, WebhookList
from majung.share.model import About, NewShare, Share, SharedEta, SharedOrder, SharedPosition, SharedTrack
from majung.webhooks.events import TYPES as WEBHOOK_TYPES
from majung.webhooks.model import (
    Attempt,
    Delivery,
    NewWebhook,
    Replay,
    State,
    Status,
    Webhook,
    WebhookChange,
    WebhookSecret,
)

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

_AT_MS = 1_780_000_000_000  # 2026-05-28T20:26:40Z
_LIVE = LivePosition("rider-0042", 37.4979, 127.0276, _AT_MS, _AT_MS + 84, 5.0, 6.9, 92.0)
_POINT = TrackPoint(_AT_MS, 37.4979, 127.0276, 5.0, 6.9, 92.0, "a1", 1204)
_STORE = NewFence("강남역 11번 출구", circle=Circle(37.4989, 127.0283, 120.0), dwell_s=300.0)
_FENCE = Fence(
    _STORE.name,
    circle=_STORE.circle,
    dwell_s=_STORE.dwell_s,
    fence_id="f7c1d2",
    version=1,
    created_at_ms=_AT_MS,
    updated_at_ms=_AT_MS,
)
_EVENT = StoredEvent(
    17, "e51", "rider-0042", "enter", "f7c1d2", _STORE.name, _AT_MS, 37.4989, 127.0283, _AT_MS + 90
)
_SET_ASIDE = QuarantineItem(
    2816,
    _AT_MS,
    "rider-0042",
    "device:9f3b",
    "grpc",
    Reason.NULL_ISLAND,
    "(0, 0) is what a receiver without a fix reports",
    "",
)
_ETA = Eta(
    "ord-01jz0v6q3kf2m8d7s4tw",
    5,
    Stage.CARRYING,
    _AT_MS + 420_000,
    _AT_MS + 330_000,
    _AT_MS + 590_000,
    False,
    _AT_MS + 480_000,
    _AT_MS + 900_000,
    _AT_MS,
)
_CALIBRATED = StageCalibration("carrying", 812, 0.806, 0.091, 0.103, 6.2, 58.4, 214.0)
_STEP = Step("right", "테헤란로 방면으로 우회전", 318.0, 61.5, 1, "테헤란로")
_DEVICE = Device("9f3b", "rider-0042", _AT_MS, "blue scooter")
_NOTICE = ShownNotice(
    4711,
    Kind.ARRIVING,
    "ord-01jz0v6q3kf2m8d7s4",
    _AT_MS,
    read=False,
    title="라이더가 곧 도착해요",
    body="100m 안에 왔어요. 강남 국수 음식을 받을 준비를 해 주세요.",
    params={"store": "강남 국수", "within_m": 100},
)
_BROWSER_KEYS = PushKeys(
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
    "BTBZMqHH6r4Tts7J_aSIgg",
)
_BROWSER = Subscription("0b6c1f0e7c1a4d06b6a0f3a1c2d3e4f5", "https://push.example.net", "ko", _AT_MS)
_WEBHOOK = Webhook(
    "wh-01jz0v6q3kf2m8d7s4tw",
    "https://shop.example/majung",
    ("majung.order.*",),
    State.ACTIVE,
    "admin",
    _AT_MS,
    _AT_MS,
    "the shop's till",
    last_success_ms=_AT_MS + 60_000,
)
_SENT = Delivery(
    17,
    "ord-01jz0v6q3kf2m8d7s4tw:7",
    "majung.order.delivered.v1",
    "ord-01jz0v6q3kf2m8d7s4tw",
    Status.DONE,
    _AT_MS,
    _AT_MS + 20,
    1,
    '{"specversion":"1.0", …}',
    tried_at_ms=_AT_MS + 31,
    took_ms=11,
    http_status=204,
)
_GRANT = Grant("mina", "rider-0042", _AT_MS + 3_600_000)

_CANDIDATE = Candidate(
    "서울특별시 강남구 테헤란로 152 (역삼동)", 37.50011, 127.03852, Precision.DONG, 1340.0, "06236"
)
_SHARE = Share("k7m2p9xw4dhq", "o-01jz0v6q3kf2m8d7s4", _AT_MS, _AT_MS + 7_200_000)
_SHARED_ORDER = SharedOrder(
    version=6,
    state=OrderState.DELIVERING,
    store_name="강남 국수",
    store_latitude=37.4979,
    store_longitude=127.0276,
    destination=About(37.5025, 127.0375, 400.0),
    placed_at_ms=_AT_MS,
    accepted_at_ms=_AT_MS + 20_000,
    cooking_minutes=12,
    ready_at_ms=_AT_MS + 700_000,
    picked_up_at_ms=_AT_MS + 760_000,
    departed_at_ms=_AT_MS + 770_000,
    ended_at_ms=0,
)
_SHARED = SharedTrack(
    _SHARED_ORDER,
    SharedPosition(_AT_MS + 900_000, 37.4993, 127.0321, 64.0),
    SharedEta(_AT_MS + 1_080_000, _AT_MS + 990_000, _AT_MS + 1_230_000),
    _AT_MS + 7_200_000,
)

EXAMPLES: dict[str, msgspec.Struct] = of_friends.EXAMPLES | {
    type(example).__name__: example
    for example in (
        Account("mina", Role.VIEWER, _AT_MS),
        Attempt(True, 204, 11),
        _SENT,
        DeliveryPage([_SENT], None),
        NewWebhook(_WEBHOOK.url, _WEBHOOK.events, _WEBHOOK.description),
        Replay(status=Status.DEAD),
        Replayed(12),
        _WEBHOOK,
        WebhookChange(active=False),
        WebhookList([_WEBHOOK], list(WEBHOOK_TYPES)),
        WebhookSecret(_WEBHOOK, "whsec_…"),
        AddDevice("rider-0042", "blue scooter"),
        AddUser("mina", Role.VIEWER),
        BatchGet(["rider-0042", "rider-0043"]),
        BatchGot([_LIVE], ["rider-0043"]),
        CellLoad("wydm6v8", 37, 4.25),
        _DEVICE,
        Devices([_DEVICE]),
        _EVENT,
        EventsPage([_EVENT], 17, None),
        _FENCE,
        Fences([_FENCE]),
        _GRANT,
        Grants([_GRANT]),
        _LIVE,
        Me("viewer:mina", Role.VIEWER, expires_at_ms=_AT_MS + 3_600_000, riders=["rider-0042"]),
        Nearby("rider-0042", 81.4, _LIVE),
        NearestGot([Nearby("rider-0042", 81.4, _LIVE)]),
        NewShare("k7m2p9xw4dhq", "Zk3v…", "/track/Zk3v…", "https://ex.am/track/Zk3v…", _AT_MS + 7_200_000),
        AddressAt(
            "서울특별시 강남구 역삼동", "서울특별시", "강남구", "역삼동", Precision.DONG, Source.STREETS
        ),
        _CANDIDATE,
        Candidates([_CANDIDATE], Source.STREETS),
        _SHARE,
        Shares([_SHARE]),
        ShareWish("2h"),
        _SHARED,
        _STORE,
        NewSubscription("https://push.example.net/p/4c1f", _BROWSER_KEYS),
        _NOTICE,
        NoticesPage([_NOTICE], 1),
        PushKey(_BROWSER_KEYS.p256dh),
        _BROWSER_KEYS,
        Seen(4711),
        _BROWSER,
        SubscriptionList([_BROWSER]),
        Unread(0),
        NewUser("mina", Role.VIEWER, "k7m2p-9xw4d-hq3fv-t6n8c"),
        Problem("not-found", "Not found", 404, "no live position of rider 'rider-0042'"),
        QuarantinePage([_SET_ASIDE], {"null_island": 1}, None),
        _SET_ASIDE,
        Readiness(True, [], []),
        _ETA,
        LateOrders([_ETA], 1, 37),
        _CALIBRATED,
        Calibration(_AT_MS - 604_800_000, 0.8, [_CALIBRATED]),
        _STEP,
        Route(
            512.4, 96.1, ((127.0276, 37.4979), (127.0283, 37.4989), (127.0301, 37.499)), "valhalla", (_STEP,)
        ),
        TokenError("invalid_grant", "the name or the password is wrong"),
        TokenSet("eyJhbGciOiJFUzI1NiIs…", 3600, "Bearer", "mjr_…"),
        Track("rider-0042", [_POINT]),
        _POINT,
        Users([Account("mina", Role.VIEWER, _AT_MS)]),
    )
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
