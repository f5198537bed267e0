"""Overland's batches, as the README of the app shows them and as iOS sends them."""

import pytest

from majung.positions.check import check
from majung.positions.model import Position, Reason
from majung.settings import PositionSettings
from majung.wire import overland
from majung.wire.fields import Unreadable
from majung.wire.identity import Sender

NOW_MS = 1_443_712_000_000
RIDER = Sender(rider_id="rider-1")

DRIVING = b"""{
      "type": "Feature",
      "geometry": {"type": "Point", "coordinates": [-122.030581, 37.331800]},
      "properties": {
        "timestamp": "2015-10-01T08:00:00-0700",
        "altitude": 0,
        "speed": 4,
        "course": 180,
        "horizontal_accuracy": 30,
        "vertical_accuracy": -1,
        "motion": ["driving","stationary"],
        "pauses": false,
        "activity": "other_navigation",
        "desired_accuracy": 100,
        "deferred": 1000,
        "significant_change": "disabled",
        "locations_in_payload": 1,
        "battery_state": "charging",
        "battery_level": 0.89,
        "device_id": "",
        "wifi": ""
      }
    }"""
UNKNOWN = (
    b'{"type":"Feature","geometry":{"type":"Point","coordinates":[127.0276,37.4979]},"properties":'
    b'{"timestamp":"2015-10-01T15:00:05Z","altitude":38,"speed":-1,"course":-1,"horizontal_accuracy":-1,'
    b'"vertical_accuracy":-1,"motion":[],"battery_state":"unknown","battery_level":-1,"device_id":"iphone",'
    b'"unique_id":"1EECC57A-21BB-4178-8B07-8FFAD85E4950","wifi":"home"}}'
)


def batch(*features: bytes, more: bytes = b"") -> bytes:
    return b'{"locations":[' + b",".join(features) + b"]" + more + b"}"


def test_a_batch() -> None:
    first, second = overland.decode(batch(DRIVING, UNKNOWN), RIDER, NOW_MS)
    assert isinstance(first, Position)
    assert (first.latitude, first.longitude) == (37.3318, -122.030581)
    assert first.device_time_ms == 1443711600000
    assert first.speed_mps == 4.0
    assert first.heading_deg == 180.0
    assert first.accuracy_m == 30.0
    assert first.session_id == "overland"
    assert first.door == "overland"
    assert first.tags == {
        "battery_pct": "89",
        "charging": "true",
        "altitude_m": "0",
        "activity": "driving,stationary",
    }
    assert check(first, PositionSettings()) is None
    assert isinstance(second, Position)
    assert second.session_id == "overland:iphone"


def test_minus_one_means_unknown() -> None:
    (position,) = overland.decode(batch(UNKNOWN), RIDER, NOW_MS)
    assert isinstance(position, Position)
    assert position.accuracy_m is None
    assert position.speed_mps is None
    assert position.heading_deg is None
    assert position.tags == {"altitude_m": "38"}
    assert check(position, PositionSettings()) is None


def test_current_is_a_position_too_and_the_same_one_when_it_comes_again() -> None:
    more = (
        b',"current":'
        + UNKNOWN
        + b',"trip":{"distance":100,"mode":"driving","current_location":'
        + UNKNOWN
        + b"}"
    )
    first, current = overland.decode(batch(DRIVING, more=more), RIDER, NOW_MS)
    (again,) = overland.decode(
        batch(UNKNOWN.replace(b'"battery_level":-1', b'"battery_level":0.5')), RIDER, NOW_MS
    )
    assert isinstance(first, Position)
    assert isinstance(current, Position)
    assert isinstance(again, Position)
    assert (current.session_id, current.seq) == (again.session_id, again.seq)


def test_a_bad_feature_does_not_take_its_neighbours_with_it() -> None:
    decoded = overland.decode(
        batch(
            DRIVING,
            b"7",
            b'{"type":"Feature"}',
            b'{"geometry":{"type":"LineString","coordinates":[[1,2],[3,4]]},"properties":{"timestamp":1}}',
            b'{"geometry":{"type":"Point","coordinates":[1]},"properties":{"timestamp":1}}',
            b'{"geometry":{"type":"Point","coordinates":[true,2]},"properties":{"timestamp":1}}',
            b'{"geometry":{"type":"Point","coordinates":[1,2]},"properties":{}}',
            b'{"geometry":{"type":"Point","coordinates":[1,2]},"properties":[]}',
            UNKNOWN,
        ),
        RIDER,
        NOW_MS,
    )
    assert isinstance(decoded[0], Position)
    assert isinstance(decoded[-1], Position)
    middle = decoded[1:-1]
    assert len(middle) == 7
    for one in middle:
        assert isinstance(one, Unreadable)
        assert one.reason is Reason.MALFORMED
        assert one.detail


def test_one_nan_does_not_cost_the_batch() -> None:
    wild = DRIVING.replace(b"-122.030581", b"NaN").replace(b'"speed": 4', b'"speed": Infinity')
    nan, good = overland.decode(batch(wild, UNKNOWN), RIDER, NOW_MS)
    assert isinstance(nan, Position)
    rejection = check(nan, PositionSettings())
    assert rejection is not None
    assert rejection.reason is Reason.NOT_A_NUMBER
    assert isinstance(good, Position)
    assert check(good, PositionSettings()) is None


def test_what_the_app_did_and_trips_are_no_fixes() -> None:
    visit = UNKNOWN.replace(b'"altitude":38', b'"action":"visit","arrival_date":"2015-10-01T15:00:00Z"')
    trip = UNKNOWN.replace(b'"altitude":38', b'"type":"trip","mode":"driving","distance":100')
    assert overland.decode(batch(visit, trip), RIDER, NOW_MS) == []
    assert overland.decode(batch(), RIDER, NOW_MS) == []


def test_an_early_version_named_its_coordinates() -> None:
    early = DRIVING.replace(b"[-122.030581, 37.331800]", b'{"latitude": 37.331800, "longitude": -122.030581}')
    assert overland.decode(batch(early), RIDER, NOW_MS) == overland.decode(batch(DRIVING), RIDER, NOW_MS)


def test_a_gateway_names_riders_by_device_id() -> None:
    korean = UNKNOWN.replace(b"iphone", "민수".encode())
    (position,) = overland.decode(batch(korean), Sender(), NOW_MS)
    assert isinstance(position, Position)
    assert position.rider_id == "민수"
    (nobody,) = overland.decode(batch(DRIVING), Sender(), NOW_MS)
    assert isinstance(nobody, Position)
    rejection = check(nobody, PositionSettings())
    assert rejection is not None
    assert rejection.reason is Reason.BAD_RIDER_ID


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"locations":7}',
        b'{"locations":{}}',
        b'{"locations":[',
        b"\x00\xff",
        b'{"locations":' * 100_000,
    ],
)
def test_what_is_no_batch_is_set_aside(body: bytes) -> None:
    (unreadable,) = overland.decode(body, RIDER, NOW_MS)
    assert isinstance(unreadable, Unreadable)
    assert unreadable.reason is Reason.MALFORMED


def test_of_two_keys_of_one_name_the_last_counts() -> None:
    twice = UNKNOWN.replace(b'"altitude":38', b'"timestamp":"2015-10-01T15:00:07Z"')
    (position,) = overland.decode(batch(twice), RIDER, NOW_MS)
    assert isinstance(position, Position)
    assert position.device_time_ms == 1443711607000
