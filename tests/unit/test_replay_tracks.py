import gzip
import math
import os
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from majung.simulate.tracks import Options, Recording, Track, load
from majung.simulate.tracks.values import time_ms

SHARED = Path(
    os.environ.get("MAJUNG_SHARED_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data")
)


def ms(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type,misc]


def read(path: Path, name: str, text: str, options: Options | None = None) -> Recording:
    file = path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return load(file, options)


def rows(track: Track) -> list[tuple[int, float, float]]:
    return list(zip(track.time_ms, track.latitude, track.longitude, strict=True))


@pytest.mark.parametrize(
    "word",
    [
        "2026-01-26 15:57:02",
        "2026-01-26T15:57:02Z",
        "2026-01-26T16:57:02+01:00",
        "2026/01/26 15:57:02",
        "2026-01-26 15:57:02 UTC",
        "2026-01-26 15:57:02 GMT",
        "1769443022",
        "1769443022.0",
        "1769443022000",
        "1769443022000000",
        "1769443022000000000",
        1769443022,
    ],
)
def test_times_in_the_forms_that_files_have(word: object) -> None:
    assert time_ms(word, UTC) == ms(2026, 1, 26, 15, 57, 2)


def test_fractions_of_a_second_are_kept() -> None:
    assert time_ms("2026-01-26T15:57:02.123Z") == ms(2026, 1, 26, 15, 57, 2) + 123
    assert time_ms("1769443022.5") == ms(2026, 1, 26, 15, 57, 2) + 500


def test_a_time_without_an_offset_is_in_the_time_zone_asked_for() -> None:
    seoul = ZoneInfo("Asia/Seoul")
    assert time_ms("2026-01-27 00:57:02", seoul) == ms(2026, 1, 26, 15, 57, 2)
    assert time_ms("2026-01-26 15:57:02 GMT", seoul) == ms(2026, 1, 26, 15, 57, 2)


@pytest.mark.parametrize("word", ["", "yesterday", "26.01.2026", "2026-13-01 00:00:00", None, "nan", "inf"])
def test_what_is_no_time(word: object) -> None:
    with pytest.raises(ValueError, match="time"):
        time_ms(word)


def test_csv_columns_are_found_by_name(tmp_path: Path) -> None:
    text = "Time;Lng;Lat;Speed_kmh;Bearing;Accuracy\n2026-01-26 15:57:02;127.0;37.5;36;;8\n"
    [track] = read(tmp_path, "ride.csv", text).tracks
    assert track.rider_id == "ride"
    assert rows(track) == [(ms(2026, 1, 26, 15, 57, 2), 37.5, 127.0)]
    assert track.speed_mps[0] == pytest.approx(10.0)
    assert math.isnan(track.heading_deg[0])
    assert track.accuracy_m[0] == 8.0


def test_the_vehicle_wins_over_the_number_of_the_row(tmp_path: Path) -> None:
    text = "id,vehicle_id,timestamp,latitude,longitude\n1,a,1769443022,1,2\n2,b,1769443023,3,4\n3,a,1769443024,5,6\n"
    tracks = read(tmp_path, "bus.csv", text).tracks
    assert [(track.rider_id, list(track.latitude)) for track in tracks] == [("a", [1, 5]), ("b", [3])]


def test_a_column_of_choice_names_the_rider(tmp_path: Path) -> None:
    text = "id,vehicle_id,plate,timestamp,lat,lon\n1,a,X 1,1769443022,1,2\n"
    [track] = read(tmp_path, "bus.csv", text, Options(id_column="plate")).tracks
    assert track.rider_id == "X 1"
    [track] = read(tmp_path, "bus.csv", text, Options(rider_id="me")).tracks
    assert track.rider_id == "me"


def test_an_id_that_numbers_the_rows_is_no_rider(tmp_path: Path) -> None:
    header = "id,timestamp,lat,lon\n"
    numbered = header + "1,1769443022,1,2\n2,1769443023,1,2\n"
    [track] = read(tmp_path, "ride.csv", numbered).tracks
    assert (track.rider_id, len(track)) == ("ride", 2)
    assert [
        track.rider_id for track in read(tmp_path, "a.csv", numbered, Options(id_column="id")).tracks
    ] == ["1", "2"]
    shared = header + "7,1769443022,1,2\n8,1769443023,1,2\n7,1769443024,1,2\n"
    assert [track.rider_id for track in read(tmp_path, "b.csv", shared).tracks] == ["7", "8"]


def test_date_and_time_in_two_columns(tmp_path: Path) -> None:
    [track] = read(tmp_path, "a.csv", "date,time,lat,lon\n2026-01-26,15:57:02,1,2\n").tracks
    assert track.time_ms[0] == ms(2026, 1, 26, 15, 57, 2)


def test_rows_that_cannot_be_read_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    text = (
        "rider_id,time,lat,lon\n"
        "a,2026-01-26 15:57:02,37.5,127.0\n"
        "a,never,37.5,127.0\n"
        "a,2026-01-26 15:57:03,north,127.0\n"
        "a,2026-01-26 15:57:04\n"
        ",2026-01-26 15:57:05,37.5,127.0\n"
        "\n"
        "a,2026-01-26 15:57:06,nan,200\n"
    )
    recording = read(tmp_path, "a.csv", text)
    assert [(row.line, row.file) for row in recording.unreadable] == [
        (line, "a.csv") for line in (3, 4, 5, 6)
    ]
    assert "never" in recording.unreadable[0].why
    [track] = recording.tracks
    assert len(track) == 2  # a place off the Earth is for the server to judge
    assert track.longitude[1] == 200


def test_a_byte_order_mark_and_bad_bytes_spoil_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b"\xef\xbb\xbflat,lon,time\n1,2,1769443022\n\xff\xfe,2,1769443022\n3,4,1769443023\n")
    recording = load(file)
    assert list(recording.tracks[0].latitude) == [1, 3]
    assert [row.line for row in recording.unreadable] == [3]


def test_a_file_without_a_place_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.csv: no column for the latitude"):
        read(tmp_path, "a.csv", "time,height\n1,2\n")
    with pytest.raises(ValueError, match=r"a\.csv: no column 'plate'"):
        read(tmp_path, "a.csv", "time,lat,lon\n1,2,3\n", Options(id_column="plate"))
    with pytest.raises(ValueError, match=r"\.xlsx"):
        read(tmp_path, "a.xlsx", "")


def test_a_compressed_file_that_was_cut_gives_what_it_has(tmp_path: Path) -> None:
    text = "lat,lon,time\n" + "".join(f"{n / 1000},2,{1769443022 + n}\n" for n in range(5000))
    whole = gzip.compress(text.encode())
    file = tmp_path / "a.csv.gz"
    file.write_bytes(whole)
    assert len(load(file).tracks[0]) == 5000
    file.write_bytes(whole[: len(whole) // 2])
    recording = load(file)
    assert 0 < len(recording.tracks[0]) < 5000
    assert "broken" in recording.unreadable[-1].why


GPX = """<?xml version="1.0" encoding="UTF-8"?>
<gpx version="1.1" creator="x" xmlns="http://www.topografix.com/GPX/1/1"
     xmlns:gpxtpx="http://www.garmin.com/xmlschemas/TrackPointExtension/v2">
 <wpt lat="1" lon="1"><time>2026-01-26T15:57:00Z</time></wpt>
 <trk><name>x</name><trkseg>
  <trkpt lat="37.5" lon="127.0"><ele>30</ele><time>2026-01-26T15:57:02Z</time>
   <extensions><gpxtpx:TrackPointExtension><gpxtpx:speed>5.5</gpxtpx:speed><gpxtpx:course>90</gpxtpx:course>
   </gpxtpx:TrackPointExtension></extensions></trkpt>
  <trkpt lat="37.6" lon="127.1"></trkpt>
  <trkpt lat="37.7" lon="127.2"><time>2026-01-26T15:57:04Z</time></trkpt>
 </trkseg></trk></gpx>
"""


def test_gpx(tmp_path: Path) -> None:
    recording = read(tmp_path, "ride.gpx", GPX)
    [track] = recording.tracks
    assert track.rider_id == "ride"
    assert rows(track) == [
        (ms(2026, 1, 26, 15, 57, 2), 37.5, 127.0),
        (ms(2026, 1, 26, 15, 57, 4), 37.7, 127.2),
    ]
    assert (track.speed_mps[0], track.heading_deg[0]) == (5.5, 90.0)
    assert [(row.line, row.why) for row in recording.unreadable] == [(9, "there is no time")]


def test_gpx_that_breaks_off_gives_what_it_has(tmp_path: Path) -> None:
    recording = read(tmp_path, "ride.gpx", GPX[: GPX.index('<trkpt lat="37.7"')])
    assert len(recording.tracks[0]) == 1
    assert "broken" in recording.unreadable[-1].why


def test_gpx_with_entities_of_its_own_is_not_expanded(tmp_path: Path) -> None:
    bomb = '<?xml version="1.0"?><!DOCTYPE gpx [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><gpx>&b;</gpx>'
    recording = read(tmp_path, "bomb.gpx", bomb)
    assert recording.tracks == []
    assert "entities" in recording.unreadable[0].why


def test_geojson_points_and_lines(tmp_path: Path) -> None:
    text = """{"type": "FeatureCollection", "features": [
      {"type": "Feature", "properties": {"Time": "2026-01-26T15:57:02Z", "vehicle_id": 7, "speed": 3},
       "geometry": {"type": "Point", "coordinates": [127.0, 37.5, 12]}},
      {"type": "Feature", "properties": {"coordTimes": ["2026-01-26T15:57:03Z", "2026-01-26T15:57:04Z"],
       "time": "2020-01-01T00:00:00Z"},
       "geometry": {"type": "LineString", "coordinates": [[127.1, 37.6], [127.2, 37.7], [127.3, 37.8]]}},
      {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": []}},
      {"type": "Feature", "properties": {"coordinateProperties": {"times": [[1769443025]]}},
       "geometry": {"type": "MultiLineString", "coordinates": [[[127.4, 37.9]]]}}
    ]}"""
    recording = read(tmp_path, "map.geojson", text)
    assert [(track.rider_id, rows(track)) for track in recording.tracks] == [
        ("7", [(ms(2026, 1, 26, 15, 57, 2), 37.5, 127.0)]),
        (
            "map",
            [
                (ms(2026, 1, 26, 15, 57, 3), 37.6, 127.1),
                (ms(2026, 1, 26, 15, 57, 4), 37.7, 127.2),
                (ms(2026, 1, 26, 15, 57, 5), 37.9, 127.4),
            ],
        ),
    ]
    assert recording.tracks[0].speed_mps[0] == 3.0
    assert [(row.line, row.why) for row in recording.unreadable] == [
        (4, "there is no time"),
        (5, "no Point or LineString with coordinates"),
    ]


@pytest.mark.parametrize("text", ["[1, 2]", "{", '{"type": "FeatureCollection", "features": 3}'])
def test_what_is_no_geojson_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match="no GeoJSON"):
        read(tmp_path, "a.geojson", text)


@pytest.mark.parametrize(
    "feature",
    ["3", "null", '{"geometry": 3}', '{"geometry": {"type": "LineString"}}', '{"properties": [1]}'],
)
def test_odd_features_are_unreadable_not_fatal(tmp_path: Path, feature: str) -> None:
    recording = read(tmp_path, "a.geojson", f'{{"type": "FeatureCollection", "features": [{feature}]}}')
    assert recording.tracks == []
    assert len(recording.unreadable) == 1


def test_geolife_plt(tmp_path: Path) -> None:
    header = (
        "Geolife trajectory\nWGS 84\nAltitude is in Feet\nReserved 3\n0,2,255,My Track,0,0,2,8421376\n0\n"
    )
    text = header + "39.984702,116.318417,0,492,39744.1201851852,2008-10-23,02:53:04\n39.9,116.3,0\n"
    recording = read(tmp_path, "001/Trajectory/20081023025304.plt", text)
    [track] = recording.tracks
    assert track.rider_id == "001"
    assert rows(track) == [(ms(2008, 10, 23, 2, 53, 4), 39.984702, 116.318417)]
    assert [row.line for row in recording.unreadable] == [8]


def test_owntracks_recorder(tmp_path: Path) -> None:
    text = (
        '2026-01-26T15:57:02Z\t*                 \t{"_type":"location","lat":37.5,"lon":127.0,'
        '"tst":1769443022,"vel":36,"cog":90,"acc":12}\n'
        '2026-01-26T15:57:03Z\tlwt               \t{"_type":"lwt","tst":1769443023}\n'
        '2026-01-26T15:57:04Z\t*                 \t{"_type":"encrypted","data":"xx"}\n'
        "what is this\n"
    )
    recording = read(tmp_path, "rec/jane/phone/2026-01.rec", text)
    [track] = recording.tracks
    assert track.rider_id == "jane-phone"
    assert rows(track) == [(ms(2026, 1, 26, 15, 57, 2), 37.5, 127.0)]
    assert (track.speed_mps[0], track.heading_deg[0], track.accuracy_m[0]) == (10.0, 90.0, 12.0)
    assert [(row.line, row.why) for row in recording.unreadable] == [
        (3, "no position in a encrypted"),
        (4, "not a line of the recorder"),
    ]


def test_the_fingerprint_is_of_the_content_not_of_the_name(tmp_path: Path) -> None:
    text = "uid,lat,lon,time\na,1,2,1769443022\na,1,2,1769443023\n"
    one, two = read(tmp_path, "a.csv", text), read(tmp_path, "b.csv", text)
    other = read(tmp_path, "c.csv", text.replace("443023", "443024"))
    renamed = read(tmp_path, "d.csv", text, Options(rider_id="b"))
    prints = [recording.tracks[0].fingerprint() for recording in (one, two, other, renamed)]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


@pytest.mark.shared_data
def test_the_recorded_people_are_read_completely() -> None:
    recording = load(SHARED / "geolife" / "geolife_sample.txt.gz")
    assert [(track.rider_id, len(track)) for track in recording.tracks] == [
        ("001", 108_607),
        ("005", 109_046),
    ]
    assert recording.unreadable == []
    first = rows(recording.tracks[0])[0]
    assert first == (ms(2008, 10, 23, 5, 53, 5), 39.984094, 116.319236)


@pytest.mark.shared_data
def test_the_recorded_buses_are_read_completely() -> None:
    recording = load(SHARED / "liverpool_bus" / "route14_outbound.csv")
    assert len(recording.tracks) == 8
    assert sum(map(len, recording.tracks)) == 1_533
    assert recording.unreadable == []
    bus = recording.tracks[0]
    assert bus.rider_id == "4716"
    assert math.isnan(bus.heading_deg[0])
    assert bus.heading_deg[1] == 53.0
