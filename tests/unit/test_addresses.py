"""Addresses: what is typed is understood, and no place is claimed to be known better than it is."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from majung.addresses import streets
from majung.addresses.boundaries import Boundaries
from majung.addresses.model import Source
from majung.addresses.places import Places, read_table, short_province
from majung.addresses.query import loosened, parse, unglued
from majung.addresses.search import Near, Search
from majung.addresses.service import AddressService
from majung.addresses.streets import Streets, build
from majung.auth.limits import RateLimited
from majung.clock import ManualClock
from majung.orders.model import Precision
from majung.positions.geodesy import distance_m
from majung.settings import AddressSettings

GANGNAM = Near(37.4979, 127.0276)
BUSAN = Near(35.1587, 129.1604)
# In the shape of the real list: postcode → province → district → "road number|neighbourhood".
LIST = {
    "06236": {
        "서울특별시": {"강남구": ["테헤란로 152|역삼동", "테헤란로 156|역삼동", "테헤란로4길 6|역삼동"]}
    },
    "06164": {"서울특별시": {"강남구": ["테헤란로 521|삼성동"]}},
    "06232": {"서울특별시": {"강남구": ["강남대로 396|역삼동"]}},
    "06621": {"서울특별시": {"서초구": ["강남대로 465|서초동"]}},
    "04524": {"서울특별시": {"중구": ["세종대로 110|태평로1가"]}},
    "12791": {"경기도": {"광주시": ["중앙로 10|쌍령동"]}},
    "48094": {"부산광역시": {"해운대구": ["중앙로 10|우동", "해운대해변로 264|중동"]}},
    "25458": {"강원도": {"강릉시": ["주문로 10|주문진읍 교항리"]}},
    "30151": {"세종특별자치시": {"": ["한누리대로 2130|보람동"]}},
    "22850": {"인천광역시": {"미추홀구": ["용현로 1|없는동"]}},
}


@pytest.fixture(scope="module")
def boundaries() -> Boundaries:
    return Boundaries()


@pytest.fixture(scope="module")
def places(boundaries: Boundaries) -> Places:
    return Places(boundaries.places)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("addresses")
    (folder / "list.json").write_text(json.dumps(LIST, ensure_ascii=False, indent=4), encoding="utf-8")
    table = read_table()
    assert table is not None
    assert build(folder / "addresses.db", folder / "list.json", Places(table)) == 11
    return folder / "addresses.db"


@pytest.fixture(scope="module")
def search(places: Places, index: Path) -> Search:
    return Search(places, Streets(index))


@pytest.mark.parametrize(
    ("typed", "words", "road", "number", "lot"),
    [
        ("테헤란로 152", (), "테헤란로", "152", ""),
        ("서울 강남구 테헤란로152, 3층 302호", ("서울", "강남구"), "테헤란로", "152", ""),
        ("테헤란로 4길 12-3", (), "테헤란로4길", "12-3", ""),
        ("테헤란로4길", (), "테헤란로4길", "", ""),
        ("강남구 역삼동 858", ("강남구", "역삼동"), "역삼동", "", "858"),
        ("강남구 역삼", ("강남구", "역삼"), "역삼", "", ""),
        ("테헤란로 １５２", (), "테헤란로", "152", ""),
        ("테헤란로 빌딩 7", (), "테헤란로", "", ""),
        (
            "\u1110\u1166\u1112\u1166\u1105\u1161\u11ab\u1105\u1169 152",
            (),
            "테헤란로",
            "152",
            "",
        ),  # as macOS writes
        ("로 1", ("로",), "로", "", "1"),
        ("", (), "", "", ""),
    ],
)
def test_what_is_meant(typed: str, words: tuple[str, ...], road: str, number: str, lot: str) -> None:
    wish = parse(typed)
    assert (wish.words, wish.road, wish.number, wish.lot) == (words, road, number, lot)


def test_names_that_stick_together(places: Places) -> None:
    def is_place(name: str) -> bool:
        return name in ("서울", "강남구", "동구")

    assert unglued("서울강남구역삼동", is_place) == "서울 강남구 역삼동"
    assert unglued("역삼동", is_place) is None
    assert (loosened("강남역"), loosened("역"), loosened("역삼동")) == ("강남", None, None)
    assert [short_province(name) for name in ("서울특별시", "경상북도", "강원특별자치도", "경기도")] == [
        "서울", "경북", "강원", "경기",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "text", "precision"),
    [
        ("테헤란로 152", "서울특별시 강남구 테헤란로 152 (역삼동)", "dong"),
        ("서울 강남구 테헤란로152", "서울특별시 강남구 테헤란로 152 (역삼동)", "dong"),
        ("강남구테헤란로152", "서울특별시 강남구 테헤란로 152 (역삼동)", "dong"),
        ("역삼동 테헤란로 152", "서울특별시 강남구 테헤란로 152 (역삼동)", "dong"),
        ("테헤란로 4길 6", "서울특별시 강남구 테헤란로4길 6 (역삼동)", "dong"),
        ("테헤란로 15", "서울특별시 강남구 테헤란로 152 (역삼동)", "dong"),
        ("테헤란로 9999", "서울특별시 강남구 테헤란로", "district"),
        ("테헤란", "서울특별시 강남구 테헤란로", "district"),
        ("ㅌㅎㄹㄹ", "서울특별시 강남구 테헤란로", "district"),
        ("강남대로 465", "서울특별시 서초구 강남대로 465 (서초동)", "dong"),
        ("역삼동", "서울특별시 강남구 역삼동", "dong"),
        ("역삼1동", "서울특별시 강남구 역삼동", "dong"),
        ("서울강남구역삼동", "서울특별시 강남구 역삼동", "dong"),
        ("역삼동 858", "서울특별시 강남구 역삼동 858", "dong"),
        ("강남역", "서울특별시 강남구", "district"),
        ("ㅇㅅㄷ", "서울특별시 강남구 역삼동", "dong"),
        ("서울", "서울특별시", "district"),
        ("강릉 주문로 10", "강원도 강릉시 주문로 10 (주문진읍 교항리)", "dong"),
        ("세종 한누리대로 2130", "세종특별자치시 한누리대로 2130 (보람동)", "dong"),
        ("용현로 1", "인천광역시 미추홀구 용현로 1 (없는동)", "district"),
    ],
)
def test_the_likeliest_comes_first(search: Search, typed: str, text: str, precision: str) -> None:
    first = search.find(typed, GANGNAM, 5)[0]
    assert (first.text, first.precision) == (text, precision)


def test_what_is_near_is_likelier(search: Search) -> None:
    assert search.find("중앙로 10", GANGNAM, 5)[0].text.startswith("경기도 광주시")
    assert search.find("중앙로 10", BUSAN, 5)[0].text.startswith("부산광역시 해운대구")
    assert search.find("부산 중앙로 10", GANGNAM, 5)[0].text.startswith("부산광역시 해운대구")
    assert search.find("신사동", Near(37.59, 126.91), 5)[0].text == "서울특별시 은평구 신사동"
    assert search.find("신사동", Near(37.52, 127.03), 5)[0].text == "서울특별시 강남구 신사동"


@pytest.mark.parametrize(
    ("typed", "latitude", "longitude"),
    [
        ("테헤란로 152", 37.50008, 127.03643),
        ("테헤란로 521", 37.50841, 127.06051),
        ("강남대로 396", 37.49794, 127.02761),
        ("세종대로 110", 37.56629, 126.97796),
        ("해운대해변로 264", 35.15870, 129.16040),
        ("한누리대로 2130", 36.48000, 127.28900),
        ("테헤란로", 37.50841, 127.06051),
    ],
)
def test_the_true_place_is_within_the_precision(
    search: Search, typed: str, latitude: float, longitude: float
) -> None:
    found = search.find(typed, GANGNAM, 1)[0]
    away_m = distance_m(latitude, longitude, found.latitude, found.longitude)
    assert away_m <= found.precision_m
    assert found.precision in (Precision.DONG, Precision.DISTRICT), (
        "nothing here knows where a building stands"
    )


@pytest.mark.parametrize(
    "typed", ["", "   ", "Champs-Élysées 5", "東京都", "😀", "'; DROP TABLE street; --", "%", "0" * 100]
)
def test_what_nobody_here_knows(search: Search, typed: str) -> None:
    assert search.find(typed, GANGNAM, 5) == []


@settings(max_examples=150, deadline=None)
@given(
    st.text(max_size=120) | st.text("강남역삼동테헤란로길서울구ㄱㅅ 0123456789-", max_size=40),
    st.integers(1, 20),
)
def test_no_text_is_too_much(search: Search, typed: str, limit: int) -> None:
    found = search.find(typed, GANGNAM, limit)
    assert len(found) <= limit
    assert len({one.text for one in found}) == len(found)


@pytest.mark.parametrize(
    ("latitude", "longitude", "text"),
    [
        (37.5000, 127.0365, "서울특별시 강남구 역삼동"),
        (37.5663, 126.9779, "서울특별시 중구 태평로1가"),
        (33.4587, 126.9427, "제주특별자치도 서귀포시 성산읍 성산리"),
        (37.2400, 131.8660, "경상북도 울릉군 울릉읍 독도리"),
        (36.4800, 127.2890, "세종특별자치시 보람동"),
        (35.6762, 139.6503, None),
        (37.0, 125.5, None),
        (-90.0, 180.0, None),
    ],
)
def test_the_words_for_a_place(
    boundaries: Boundaries, places: Places, latitude: float, longitude: float, text: str | None
) -> None:
    code = boundaries.containing(latitude, longitude)
    assert (places.text(code) if code else None) == text


def test_names_that_changed_are_found(places: Places) -> None:
    found = places.named("강원도", "강릉시", "주문진읍 교항리")
    assert found is not None and places.text(found.code).startswith("강원특별자치도")
    moved = places.named("충청북도", "청주시 서원구", "성화동")
    assert moved is not None and moved.name == "성화동", "the only one of that name in the province"
    town = places.named("부산광역시", "기장군", "일광면 삼성리")
    assert town is not None and "기장군" in places.text(town.code)
    assert places.named("평안도", "평양시", "없는동") is None


def test_a_half_made_index_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = tmp_path / "list.json"
    listed.write_text(json.dumps(LIST, ensure_ascii=False, indent=4), encoding="utf-8")
    monkeypatch.setattr(streets, "source", lambda: listed)
    file = tmp_path / "addresses.db"
    assert not streets.is_ready(file)
    file.write_bytes(b"not a database")
    assert not streets.is_ready(file)
    build(file, listed, Places(read_table() or []))
    assert streets.is_ready(file)
    listed.write_text("{}")
    assert not streets.is_ready(file), "another list is installed"
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith("addresses.db.")] == []


class TestWithoutTheExtra:
    @pytest.fixture
    async def service(self, tmp_path: Path) -> AsyncIterator[AddressService]:
        settings = AddressSettings.model_validate({"extra": False, "per_s": 5})
        service = AddressService(tmp_path, ManualClock(), settings)
        yield service
        await service.close()

    async def test_neighbourhoods_are_known_all_the_same(self, service: AddressService) -> None:
        answer = await service.find("a", "역삼동", GANGNAM, 5)
        assert answer.source == Source.NEIGHBOURHOODS
        assert [one.text for one in answer.candidates] == ["서울특별시 강남구 역삼동"]
        assert (await service.find("a", "테헤란로 152", GANGNAM, 5)).candidates == []

    async def test_a_place_is_told_as_its_district(self, service: AddressService) -> None:
        told = await service.at("a", 37.5000, 127.0365)
        assert (told.text, told.neighbourhood, told.precision) == ("서울특별시 강남구", "", "district")
        with pytest.raises(LookupError):
            await service.at("a", 48.85, 2.35)

    async def test_nobody_asks_all_the_time(self, service: AddressService) -> None:
        with pytest.raises(RateLimited):
            await asyncio.gather(*(service.find("a", "역삼", GANGNAM, 1) for _ in range(16)))
        assert (await service.find("b", "역삼", GANGNAM, 1)).candidates
