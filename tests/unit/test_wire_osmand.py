"""OsmAnd and Traccar Client: query, form and JSON as the apps send them."""

import pytest

from majung.positions.check import check
from majung.positions.model import Position, Reason
from majung.settings import PositionSettings
from majung.wire import osmand
from majung.wire.fields import Unreadable
from majung.wire.identity import Sender

NOW_MS = 1_780_000_000_000
RIDER = Sender(rider_id="rider-1")
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"

TRACCAR_8 = (
    b"id=902064&timestamp=1780000000&lat=42.06288&lon=-88.23412&speed=19.4384&bearing=90.5&altitude=224.0"
    b"&accuracy=12.5&batt=87.0&charge=true"
)
TRACCAR_9_ANDROID = (
    b'{"location":{"event":"motionchange","is_moving":false,"uuid":"0e9a2473-a9a7-4c00-997b-fb97d2154e75",'
    b'"timestamp":"2021-07-21T08:06:34.444Z","odometer":0,"coords":{"latitude":-6.1148096,'
    b'"longitude":106.6837015,"accuracy":3.8,"speed":18.67,"speed_accuracy":0.26,"heading":63,'
    b'"heading_accuracy":0.28,"altitude":35.7,"altitude_accuracy":3.8},"activity":{"type":"still",'
    b'"confidence":100},"battery":{"is_charging":false,"level":0.79},"extras":{}},"device_id":"8737767034"}'
)
TRACCAR_9_IOS = (
    b'{"location":{"extras":{},"mock":true,"coords":{"speed_accuracy":-1,"speed":-1,"longitude":-122.406417,'
    b'"ellipsoidal_altitude":0,"floor":null,"heading_accuracy":-1,"latitude":37.785834000000001,"accuracy":5,'
    b'"altitude_accuracy":-1,"altitude":0,"heading":-1},"is_moving":false,"age":188,"odometer":0,'
    b'"uuid":"2FB04C65-99CF-42AB-8DD3-EBCB4B108BF8","event":"motionchange","battery":{"level":-1,'
    b'"is_charging":false},"activity":{"type":"unknown","confidence":100},'
    b'"timestamp":"2025-05-09T04:11:30.579Z"},"device_id":"658765"}'
)


def one(query: bytes = b"", body: bytes = b"", kind: str = "", sender: Sender = RIDER) -> Position:
    (position,) = osmand.decode(query, body, kind, sender, NOW_MS)
    assert isinstance(position, Position)
    return position


def bad(query: bytes = b"", body: bytes = b"", kind: str = "", sender: Sender = RIDER) -> Unreadable:
    (unreadable,) = osmand.decode(query, body, kind, sender, NOW_MS)
    assert isinstance(unreadable, Unreadable)
    return unreadable


def test_the_query_of_traccar_client_8() -> None:
    position = one(TRACCAR_8)
    assert (position.latitude, position.longitude) == (42.06288, -88.23412)
    assert position.device_time_ms == 1_780_000_000_000
    assert position.speed_mps == pytest.approx(10.0, abs=1e-4)  # 19.4384 knots
    assert position.heading_deg == 90.5
    assert position.accuracy_m == 12.5
    assert position.rider_id == "rider-1"
    assert position.session_id == "osmand:902064"
    assert position.door == "osmand"
    assert position.tags == {"battery_pct": "87.0", "charging": "true", "altitude_m": "224.0"}
    assert check(position, PositionSettings()) is None


def test_the_same_fix_as_a_form_is_the_same_position() -> None:
    assert one(body=TRACCAR_8, kind=FORM) == one(TRACCAR_8)
    assert one(b"token=abc", TRACCAR_8, FORM) == one(TRACCAR_8)


def test_json_of_traccar_client_9_on_android_has_metres_a_second() -> None:
    position = one(body=TRACCAR_9_ANDROID, kind=JSON)
    assert (position.latitude, position.longitude) == (-6.1148096, 106.6837015)
    assert position.device_time_ms == 1626854794444
    assert position.speed_mps == 18.67
    assert position.heading_deg == 63.0
    assert position.accuracy_m == 3.8
    assert position.session_id == "osmand:8737767034"
    assert position.tags is not None
    assert position.tags["battery_pct"] == "79"
    assert position.tags["activity"] == "still"
    assert position.tags["moving"] == "false"


def test_json_of_traccar_client_9_on_ios_says_minus_one_for_unknown() -> None:
    position = one(body=TRACCAR_9_IOS, kind=JSON)
    assert (position.latitude, position.longitude) == (37.785834, -122.406417)
    assert position.speed_mps is None
    assert position.heading_deg is None
    assert position.accuracy_m == 5.0
    assert position.tags is not None
    assert position.tags["mock"] == "true"
    assert "battery_pct" not in position.tags


def test_json_is_known_by_its_look_too() -> None:
    assert one(body=TRACCAR_9_IOS, kind="text/plain") == one(body=TRACCAR_9_IOS, kind=JSON)


def test_json_with_a_backlog_as_an_array() -> None:
    location = TRACCAR_9_ANDROID[len(b'{"location":') : -len(b',"device_id":"8737767034"}')]
    other = location.replace(b"08:06:34.444", b"08:06:39.444")
    body = b'{"location":[' + location + b"," + other + b',{"coords":{}}],"device_id":"8737767034"}'
    first, second, third = osmand.decode(b"", body, JSON, RIDER, NOW_MS)
    assert first == one(body=TRACCAR_9_ANDROID, kind=JSON)
    assert isinstance(second, Position)
    assert second.device_time_ms == 1626854799444
    assert isinstance(third, Unreadable)
    assert third.reason is Reason.NO_POSITION


@pytest.mark.parametrize(
    ("query", "time_ms"),
    [
        (b"id=902064&lat=42.06288&lon=-88.23412&timestamp=2016-01-27T18%3A55%3A47Z&speed=0.0", 1453920947000),
        (b"id=902064&lat=42.06288&lon=-88.23412&timestamp=1442068686579&hdop=6.0", 1442068686579),
        (b"lat=49.60688&lon=6.15788&timestamp=2014-06-04+09%3A10%3A11&id=353861053849681", 1401873011000),
        (b"id=123456&timestamp=1377177267&location=60.0,30.0", 1377177267000),
        (b"lat=60.0&lon=30.0&speed=0.0&heading=0.0&vacc=0&hacc=0&altitude=0&deviceid=123456", NOW_MS),
    ],
)
def test_other_ways_to_write_it(query: bytes, time_ms: int) -> None:
    position = one(query)
    assert position.device_time_ms == time_ms
    assert 42 < position.latitude <= 60


def test_a_url_of_osmand_may_say_that_its_speed_is_metres_a_second() -> None:
    query = (
        b"lat=37.4979&lon=127.0276&timestamp=1780000000000&hdop=4.5&altitude=38.1&speed_mps=7.5&bearing=12.0"
    )
    position = one(query)
    assert position.speed_mps == 7.5
    assert position.tags == {"altitude_m": "38.1", "hdop": "4.5"}


def test_what_else_the_device_says_becomes_tags() -> None:
    query = (
        b"id=123456789012345&timestamp=1504763810&lat=40.7232948571&lon=-74.0061408571&bearing=7.19889788244"
        b"&speed=40&ignition=true&rpm=933&fuel=24&cell=257,02,16,2224&wifi=00-14-22-01-23-45,-80"
    )
    assert one(query).tags == {"ignition": "true", "rpm": "933", "fuel": "24"}


def test_a_gateway_names_the_rider_by_id() -> None:
    korean = "id=민수&lat=37.5&lon=127&timestamp=1780000000".encode()
    encoded = b"id=%EB%AF%BC%EC%88%98&lat=37.5&lon=127&timestamp=1780000000"
    assert one(korean, sender=Sender()).rider_id == "민수"
    assert one(encoded, sender=Sender()).rider_id == "민수"
    assert one(encoded, sender=Sender()).session_id == "osmand"
    assert one(body=TRACCAR_9_IOS, kind=JSON, sender=Sender()).rider_id == "658765"


def test_the_device_id_may_be_the_credential_and_is_then_kept_nowhere() -> None:
    token = "mjd_abcdefghjkmn_secret"
    sender = Sender(rider_id="rider-1", secret=token)
    query = f"id={token}&lat=37.5&lon=127&timestamp=1780000000&url=x{token}x".encode()
    assert osmand.device_id(osmand.parse_params(query)) == token
    position = one(query, sender=sender)
    assert token not in repr(position)
    assert position.session_id == "osmand"
    unreadable = bad(query.replace(b"lat=37.5", b"lat=north"), sender=sender)
    assert token.encode() not in unreadable.payload
    assert b"lat=north" in unreadable.payload
    body = TRACCAR_9_IOS.replace(b"658765", token.encode())
    assert osmand.device_id({}, body, JSON) == token
    assert token not in repr(one(body=body, kind=JSON, sender=sender))
    broken = bad(body=body[:-1], kind=JSON, sender=sender)
    assert token.encode() not in broken.payload
    assert b"?token" not in bad(b"token=foreign", sender=sender).payload
    assert b"foreign" not in bad(b"token=foreign", sender=sender).payload


@pytest.mark.parametrize("valid", [b"false", b"0", b"False"])
def test_a_fix_that_the_device_calls_invalid_is_set_aside(valid: bytes) -> None:
    unreadable = bad(TRACCAR_8 + b"&valid=" + valid)
    assert unreadable.reason is Reason.NO_POSITION
    assert isinstance(one(TRACCAR_8 + b"&valid=true"), Position)


@pytest.mark.parametrize(
    ("query", "reason", "word"),
    [
        (b"", Reason.NO_POSITION, "missing"),
        (b"id=123456&timestamp=1377177267&cell=257,02,16,2224", Reason.NO_POSITION, "missing"),
        (b"id=1&lat=&lon=", Reason.NO_POSITION, "missing"),
        (b"id=1&lat=north&lon=1", Reason.MALFORMED, "north"),
        (b"id=1&location=a,b", Reason.MALFORMED, "number"),
        (b"id=1&lat=1&lon=2&timestamp=soon", Reason.MALFORMED, "time"),
        (b"id=1&lat=1&lon=2&timestamp=99999999999999999999", Reason.MALFORMED, "range"),
        (b"&".join(b"a=%d" % i for i in range(10_000)), Reason.NO_POSITION, "missing"),
        (b"\xff\xfe\x00%%%", Reason.NO_POSITION, "missing"),
    ],
)
def test_what_cannot_be_read_is_set_aside_with_a_reason(query: bytes, reason: Reason, word: str) -> None:
    unreadable = bad(query)
    assert unreadable.reason is reason
    assert word in unreadable.detail


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[" * 100_000,
        b'{"location":7}',
        b'{"location":{"coords":7}}',
        b'{"location":{"coords":{"latitude":"x","longitude":1}}}',
        b'{"location":{"coords":{"latitude":1.5,"longitude":1},"timestamp":{}}}',
        b"[7]",
    ],
)
def test_json_that_cannot_be_read_is_set_aside(body: bytes) -> None:
    bad(body=body, kind=JSON)


def test_nan_in_a_query_is_left_to_the_check() -> None:
    rejection = check(one(b"id=1&lat=NaN&lon=Infinity&timestamp=1780000000"), PositionSettings())
    assert rejection is not None
    assert rejection.reason is Reason.NOT_A_NUMBER


def test_an_id_of_a_million_characters() -> None:
    query = b"id=" + b"x" * 1_000_000 + b"&lat=37.5&lon=127&timestamp=1780000000"
    assert check(one(query), PositionSettings()) is None
    rejection = check(one(query, sender=Sender()), PositionSettings())
    assert rejection is not None
    assert rejection.reason is Reason.BAD_RIDER_ID
