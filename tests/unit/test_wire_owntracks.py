"""OwnTracks payloads as its apps post them."""

import pytest

from majung.positions.check import check
from majung.positions.model import Position, Reason
from majung.settings import PositionSettings
from majung.wire import owntracks
from majung.wire.fields import Unreadable
from majung.wire.identity import Sender

NOW_MS = 1_616_986_000_000
RIDER = Sender(rider_id="rider-1")

ANDROID = (
    b'{"_type":"location","_id":"c5bf0e62","BSSID":"00:14:22:01:23:45","SSID":"home","acc":22,"alt":257,'
    b'"batt":93,"bs":1,"cog":270,"conn":"m","created_at":1616985986,"inregions":["Home"],"lat":37.4979,'
    b'"lon":127.0276,"m":1,"t":"p","tid":"5","topic":"owntracks/jane/phone","tst":1616985985,"vac":3,"vel":36}'
)
IOS = (
    b'{"t":"u","tst":1495968123,"acc":5,"_type":"location","alt":0,"lon":-122.0312186,"vel":0,'
    b'"lat":37.33233141,"_cp":true,"conn":"w","tid":"32"}'
)


def one(body: bytes, sender: Sender = RIDER) -> Position:
    (position,) = owntracks.decode(body, sender, NOW_MS)
    assert isinstance(position, Position)
    return position


def bad(body: bytes, sender: Sender = RIDER) -> Unreadable:
    (unreadable,) = owntracks.decode(body, sender, NOW_MS)
    assert isinstance(unreadable, Unreadable)
    return unreadable


def test_a_location_of_the_android_app() -> None:
    position = one(ANDROID)
    assert (position.latitude, position.longitude) == (37.4979, 127.0276)
    assert position.device_time_ms == 1616985985000
    assert position.received_at_ms == NOW_MS
    assert position.accuracy_m == 22.0
    assert position.speed_mps == pytest.approx(10.0)  # 36 km/h
    assert position.heading_deg == 270.0
    assert position.rider_id == "rider-1"
    assert position.session_id == "owntracks:phone"
    assert position.door == "owntracks"
    assert position.tags == {
        "battery_pct": "93",
        "charging": "false",
        "altitude_m": "257",
        "trigger": "p",
        "network": "mobile",
        "tracker_id": "5",
    }
    assert check(position, PositionSettings()) is None


def test_a_location_of_the_ios_app() -> None:
    position = one(IOS, Sender(rider_id="rider-1", device="FFA4E773"))
    assert (position.latitude, position.longitude) == (37.33233141, -122.0312186)
    assert position.speed_mps == 0.0
    assert position.heading_deg is None
    assert position.session_id == "owntracks:FFA4E773"


def test_a_minimal_location_with_numbers_in_strings() -> None:
    position = one(b'{"_type":"location","lat":"38.424430","lon":"-82.438547","tst":"1616985985"}')
    assert (position.latitude, position.longitude) == (38.42443, -82.438547)
    assert position.session_id == "owntracks"
    assert position.tags is None


def test_a_resend_is_the_same_position() -> None:
    first, again = one(ANDROID), one(ANDROID.replace(b'"created_at":1616985986', b'"created_at":1616986999'))
    assert first.seq == again.seq
    assert first.session_id == again.session_id


def test_a_gateway_names_riders_by_topic_and_header() -> None:
    assert one(ANDROID, Sender(user="header-user")).rider_id == "jane"
    korean = '{"_type":"location","lat":1.5,"lon":2,"tst":3,"topic":"owntracks/민수/전화"}'.encode()
    assert one(korean, Sender()).rider_id == "민수"
    assert one(korean, Sender()).session_id == "owntracks:전화"
    own_base = (
        b'{"_type":"location","lat":1.5,"lon":2,"tst":3,"topic":"abc@xyz.com/owntracks/kaushalya/pixel"}'
    )
    assert one(own_base, Sender()).rider_id == "kaushalya"
    assert one(IOS, Sender(user="jane", device="phone")).rider_id == "jane"


@pytest.mark.parametrize(
    "body",
    [
        b'{"_type":"transition","wtst":1425042603,"lat":12.34,"lon":44.5,"tst":1427634603,"acc":130,"tid":"JP",'
        b'"event":"enter","desc":"my Indian restaurant","t":"b"}',
        b'{"_type":"waypoint","desc":"Home","lat":37.5,"lon":127.0,"rad":50,"tst":1616985985}',
        b'{"_type":"waypoints","waypoints":[{"_type":"waypoint","desc":"Home","tst":1}]}',
        b'{"_type":"lwt","tst":1616985985}',
        b'{"_type":"cmd","action":"reportLocation"}',
        b'{"_type":"steps","tst":1400455130,"steps":1234,"from":1400455130,"to":1400458000}',
        b'{"_type":"card","name":"Jane","face":"iVBORw0KGgo="}',
        b'{"_type":"status","iOS":{"version":"18.1.1"}}',
        b'{"_type":"beacon","tst":1,"uuid":"x"}',
        b'{"_type":"configuration","waypoints":[]}',
        b'{"_type":"dump"}',
        b"",
        b"  \n",
        b"[]",
    ],
)
def test_what_is_not_a_position_is_no_mistake(body: bytes) -> None:
    assert owntracks.decode(body, RIDER, NOW_MS) == []


def test_an_encrypted_payload_is_set_aside_with_what_to_do() -> None:
    unreadable = bad(b'{"_type":"encrypted","data":"ssdfkjhsdkflgjh ewriutydkfjgvbdksfjghdkfjghdf==="}')
    assert unreadable.reason is Reason.NO_POSITION
    assert "encryption" in unreadable.detail


def test_an_array_keeps_the_good_ones() -> None:
    decoded = owntracks.decode(b"[" + ANDROID + b',{"_type":"lwt"},7,' + IOS + b"]", RIDER, NOW_MS)
    assert [type(one) for one in decoded] == [Position, Unreadable, Position]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b'{"_type":"location","lat":37.5,"tst":1}', "missing"),
        (b'{"_type":"location","lat":null,"lon":1,"tst":1}', "missing"),
        (b'{"_type":"location","lat":true,"lon":1,"tst":1}', "number"),
        (b'{"_type":"location","lat":[1],"lon":1,"tst":1}', "number"),
        (b'{"_type":"location","lat":37.5,"lon":127}', "number"),
        (b'{"_type":"location","lat":37.5,"lon":127,"tst":"soon"}', "time"),
        (b'{"_type":"location","lat":37.5,"lon":127,"tst":1e300}', "range"),
        (b'{"lat":37.5,"lon":127,"tst":1}', "_type"),
        (b'{"_type":7}', "_type"),
        (b'"location"', "_type"),
        (b"\x00\x01\x02", "JSON"),
        (b'{"_type":"location",', "JSON"),
        (b"[" * 100_000, "deep"),
    ],
)
def test_what_cannot_be_read_is_set_aside_with_a_reason(body: bytes, word: str) -> None:
    unreadable = bad(body)
    assert unreadable.reason is Reason.MALFORMED
    assert word in unreadable.detail


def test_a_latitude_of_nan_is_left_to_the_check() -> None:
    position = one(b'{"_type":"location","lat":NaN,"lon":127,"tst":1616985985,"acc":Infinity,"vel":-1}')
    assert position.accuracy_m is None
    assert position.speed_mps is None
    rejection = check(position, PositionSettings())
    assert rejection is not None
    assert rejection.reason is Reason.NOT_A_NUMBER


def test_names_of_a_million_characters() -> None:
    name = "x" * 1_000_000
    names = f'"tid":"{name}","topic":"owntracks/{name}/{name}"'
    body = f'{{"_type":"location","lat":1.5,"lon":2,"tst":1616985985,{names}}}'
    position = one(body.encode())
    assert len(position.session_id) < 64
    assert check(position, PositionSettings()) is None
    named = one(body.encode(), Sender())
    rejection = check(named, PositionSettings())
    assert rejection is not None
    assert rejection.reason is Reason.BAD_RIDER_ID
