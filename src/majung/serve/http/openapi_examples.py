"""An example for every body of the API, as a value of its own type: it cannot say what the API does not say.

Those of friends are in `openapi_friends.py`; `openapi_words.py` has all other words.
"""

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
from majung.serve.http.operations import Readiness
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
