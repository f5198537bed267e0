"""Ways along the streets of São Paulo: built from OpenStreetMap, asked in process, and a line when that fails."""

import asyncio
import importlib.util
import math
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from majung.clock import ManualClock
from majung.doctor import Verdict, findings
from majung.ports import Overloaded
from majung.positions.geodesy import destination, distance_m
from majung.routing import valhalla
from majung.routing.model import STRAIGHT, VALHALLA, NoRoute, Place
from majung.routing.service import Routing, open_routing
from majung.routing.tiles import BuildFailed, build, stage_of
from majung.routing.valhalla import ValhallaRouter
from majung.routing.ways import Ways
from majung.settings import Settings, load
from tests.conftest import leave_out
from tests.eta_kit import Story, open_city
from tests.routing_kit import LIBERDADE, SE, SEA, built_tiles, length_m


@pytest.fixture(scope="module")
def source(shared_data: Path) -> Path:
    if importlib.util.find_spec("valhalla") is None:
        leave_out("the extra [routing]")
    return shared_data / "osm" / "sao_paulo.osm.pbf"


@pytest.fixture(scope="module")
def tiles(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_tiles(source, tmp_path_factory.mktemp("tiles"))


@pytest.fixture
async def streets(tiles: Path) -> AsyncIterator[ValhallaRouter]:
    router = ValhallaRouter(tiles, "motor_scooter")
    yield router
    router.close()


async def test_a_way_follows_streets(streets: ValhallaRouter) -> None:
    route = await streets.route(SE, LIBERDADE)
    line = distance_m(*SE, *LIBERDADE)
    assert line < route.distance_m < 4 * line
    assert 2 < route.distance_m / route.duration_s < 20
    assert math.isclose(length_m(route.points), route.distance_m, rel_tol=0.02)
    for place, point in ((SE, route.points[0]), (LIBERDADE, route.points[-1])):
        assert distance_m(*place, point[1], point[0]) < 100
    assert len(route.points) > 20
    # Whatever street it goes along: a point of the way is on a street, so asking from there begins there.
    middle = route.points[len(route.points) // 2]
    again = await streets.route(Place(middle[1], middle[0]), LIBERDADE)
    assert distance_m(middle[1], middle[0], again.points[0][1], again.points[0][0]) < 20


async def test_turns_in_korean_and_english(streets: ValhallaRouter) -> None:
    korean = await streets.route(SE, LIBERDADE, "ko-KR")
    english = await streets.route(SE, LIBERDADE, "en-US")
    assert korean.steps[-1].kind == english.steps[-1].kind == "arrive"
    assert korean.steps[0].kind == "start" and "right" in {step.kind for step in korean.steps}
    assert "목적지" in korean.steps[-1].text and "destination" in english.steps[-1].text
    begins = [step.begin for step in korean.steps]
    assert begins == sorted(begins) and begins[-1] == len(korean.points) - 1
    assert math.isclose(sum(step.distance_m for step in korean.steps), korean.distance_m, rel_tol=0.02)


async def test_the_matrix_says_what_the_ways_say(streets: ValhallaRouter) -> None:
    places = [SE, LIBERDADE, Place(-23.5480, -46.6370)]
    rows = await streets.many(places, places)
    for i, start in enumerate(places):
        for j, end in enumerate(places):
            route = await streets.route(start, end)
            assert math.isclose(rows[i][j].distance_m, route.distance_m, rel_tol=0.01, abs_tol=5)
            assert math.isclose(rows[i][j].duration_s, route.duration_s, rel_tol=0.02, abs_tol=2)


async def test_off_the_streets_and_too_far_it_is_a_line_that_says_so(streets: ValhallaRouter) -> None:
    far = Place(*destination(*SE, 0, 200_000))
    for end in (SEA, far, Place(0.0, 0.0), Place(90.0, 0.0)):
        with pytest.raises(NoRoute):
            await streets.route(SE, end)
        with pytest.raises(NoRoute):
            await streets.many([SE], [end])
    routing = Routing(ManualClock(), Ways(), streets)
    assert (await routing.route(SE, LIBERDADE)).source == VALHALLA
    assert (await routing.route(SE, SEA)).source == STRAIGHT
    assert (await routing.many([SE], [SEA]))[0][0].distance_m > distance_m(*SE, *SEA)
    assert await routing.street_ways([SE], [SEA]) is None
    assert routing.asked == {VALHALLA: 1, STRAIGHT: 1}


async def test_more_than_may_wait_are_refused_and_get_a_line(streets: ValhallaRouter) -> None:
    routing = Routing(ManualClock(), Ways(), streets)
    count = valhalla.MAX_WAITING + 20
    routes = await asyncio.gather(*(routing.route(SE, LIBERDADE) for _ in range(count)))
    sources = [route.source for route in routes]
    assert sources.count(VALHALLA) == valhalla.MAX_WAITING and sources.count(STRAIGHT) == 20
    with pytest.raises(NoRoute):
        await streets.many([SE] * 21, [SE] * 21)
    assert issubclass(Overloaded, Exception)


def test_what_the_settings_ask_for(tiles: Path, tmp_path: Path) -> None:
    def opened(**flags: str) -> str:
        settings = load(tmp_path, None, {f"routing.{name}": value for name, value in flags.items()})
        routing = open_routing(settings, ManualClock())
        routing.close()
        return routing.source

    assert opened() == STRAIGHT
    with pytest.raises(ValueError, match="majung routing build"):
        opened(engine="valhalla")
    assert opened(tiles=str(tiles)) == VALHALLA
    assert opened(tiles=str(tiles), engine="straight") == STRAIGHT


def test_without_the_extra_it_says_what_to_install(
    source: Path, tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "valhalla", None)
    with pytest.raises(ValueError, match=r"majung\[routing\]"):
        ValhallaRouter(tiles, "auto")
    with pytest.raises(BuildFailed, match=r"majung\[routing\]"):
        build(source, tmp_path / "t.tar", print)
    settings = load(tmp_path, None, {"routing.tiles": str(tiles)})
    assert open_routing(settings, ManualClock()).source == STRAIGHT  # tiles alone are no reason not to start


def test_a_failed_build_changes_nothing(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "routing" / "tiles.tar"
    target.parent.mkdir()
    target.write_bytes(b"what was there")
    cut = tmp_path / "cut.osm.pbf"
    cut.write_bytes(source.read_bytes()[:200_000])
    (tmp_path / "text.pbf").write_text("hello")
    for wrong, words in (
        (tmp_path / "none.pbf", "No such file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "text.pbf", r"not an \.osm\.pbf"),
        (cut, "the build ended with"),
    ):
        with pytest.raises(BuildFailed, match=words):
            build(wrong, target, lambda stage: None, threads=1)
    assert target.read_bytes() == b"what was there"
    assert [path.name for path in target.parent.iterdir()] == ["tiles.tar"]


def test_no_room_is_said_before_the_build(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = type("usage", (), {"free": 1_000_000})
    monkeypatch.setattr("majung.routing.tiles.shutil.disk_usage", lambda folder: full)
    with pytest.raises(BuildFailed, match="make room"):
        build(source, tmp_path / "tiles.tar", print)


def test_stages_are_told_from_the_log() -> None:
    line = "2026/11/22 02:59:54.849066 \x1b[32;1m[INFO]\x1b[0m Parsing ways...\n"
    assert stage_of(line) == "reading streets"
    assert stage_of("2026/11/22 [TIMING] Parsing took 0s") == "" == stage_of("")


def test_the_doctor_says_which_router_is_used(tiles: Path, tmp_path: Path) -> None:
    def found(settings: Settings) -> tuple[Verdict, str]:
        return next((one.verdict, one.detail) for one in findings(settings) if one.what == "routes")

    assert found(load(tmp_path))[1].startswith("straight lines")
    assert found(load(tmp_path, None, {"routing.tiles": str(tiles)}))[1].startswith("along streets")
    assert found(load(tmp_path, None, {"routing.engine": "valhalla"}))[0] is Verdict.BAD


async def test_arrivals_follow_streets_where_there_are_some(tiles: Path, tmp_path: Path) -> None:
    async with open_city(tmp_path) as city:
        plain = Story(city.clock, "ord-line", LIBERDADE)
        plain.order = msgspec.structs.replace(plain.order, store_latitude=SE[0], store_longitude=SE[1])
        streets = ValhallaRouter(tiles, "motor_scooter")
        try:
            city.streets = streets
            await city.restart()
            await city.happens(plain.placed(), plain.accepted(1), plain.ready(), plain.assigned())
            await city.at(SE)
            city.clock.advance(1)
            await city.happens(plain.picked_up())
            line = await city.now("ord-line")
            await city.eta.ask_streets("ord-line")
            street = await city.now("ord-line")
            way = (await streets.route(SE, LIBERDADE)).duration_s
            straight_s = city.eta.learned.ways.estimate(SE, distance_m(*SE, *LIBERDADE), 0).duration_s
            assert (street.at_ms - line.at_ms) / 1000 == pytest.approx(way - straight_s, rel=0.1, abs=5)
            city.clock.advance(6)
            await city.at(SEA)  # off the streets: what is known of the line, and no error
            city.eta.step()
            await city.eta.ask_streets("ord-line")
            assert (await city.now("ord-line")).at_ms > street.at_ms
        finally:
            streets.close()
