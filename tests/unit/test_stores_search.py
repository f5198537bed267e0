"""Names as people type them, and searches of a database with thousands of stores against a plain list."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majung.backends.embedded.livestore import EmbeddedLiveStore
from majung.positions.geodesy import destination, distance_m
from majung.settings import CellSettings
from majung.stores.model import LIVE_KIND, NewStore, Store, Weekday
from majung.stores.names import are_initials, folded, initials, like
from majung.stores.search import Search, _box
from majung.stores.service import ChangedMeanwhile, StoreService
from tests.auth_kit import Kit, open_kit

ALWAYS = {day: ["00:00-24:00"] for day in Weekday}
HERE = (37.4979, 127.0276)


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("강남 황금치킨", "ㄱㄴㅎㄱㅊㅋ"),
        ("빵과 BBQ 2호", "ㅃㄱbbq2ㅎ"),
        ("까치", "ㄲㅊ"),
        ("힣가", "ㅎㄱ"),
        ("", ""),
    ],
)
def test_initials(name: str, short: str) -> None:
    assert initials(name) == short


def test_what_counts_as_initials() -> None:
    assert are_initials("ㄱㄴ")
    assert are_initials("ㄱ ㄴ")
    assert not any(are_initials(text) for text in ("", " ", "ㄱ나", "ㅏ", "abc"))


@given(st.text(max_size=30))
def test_any_text_can_be_folded_and_searched(text: str) -> None:
    assert not any(character.isspace() for character in folded(text))
    assert len(initials(text)) == len(folded(text))
    assert like(text).startswith("%")


@given(st.floats(-90, 90), st.floats(-180, 180), st.floats(0, 360), st.floats(1, 100_000), st.floats(0, 1))
def test_the_box_holds_the_circle(
    latitude: float, longitude: float, bearing_deg: float, radius_m: float, part: float
) -> None:
    box = _box(latitude, longitude, radius_m)
    to_latitude, to_longitude = destination(latitude, longitude, bearing_deg, radius_m * part)
    assert box["south"] <= to_latitude <= box["north"]
    if box["west"] <= box["east"]:
        assert box["west"] - 1e-9 <= to_longitude <= box["east"] + 1e-9
    else:
        assert to_longitude >= box["west"] - 1e-9 or to_longitude <= box["east"] + 1e-9


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    async with open_kit(tmp_path) as kit:
        yield kit


@pytest.fixture
async def live(kit: Kit, tmp_path: Path) -> AsyncIterator[EmbeddedLiveStore]:
    live = await EmbeddedLiveStore.open(tmp_path, CellSettings.model_validate({}), kit.clock)
    yield live
    await live.close()


@pytest.fixture
def stores(kit: Kit, live: EmbeddedLiveStore) -> StoreService:
    return StoreService(kit.database, live, kit.clock, kit.accounts)


def wish(name: str, category: str = "chicken", place: tuple[float, float] = HERE) -> NewStore:
    return NewStore(name, category, *place, "서울", ALWAYS)


async def town(stores: StoreService, count: int) -> list[Store]:
    """Stores within 4 km, every third closed for good."""
    chance = random.Random(7)
    made = []
    for number in range(count):
        place = destination(*HERE, chance.uniform(0, 360), chance.uniform(0, 4_000))
        hours = {} if number % 3 == 0 else ALWAYS
        name = f"{chance.choice(['황금', '교촌', '역삼', 'BHC'])} {chance.choice(['치킨', '피자', '분식'])} {number}호"
        store = NewStore(name, name.split()[1], *place, "서울", hours)
        made.append(await stores.register(store))
    return made


async def test_searches_find_what_a_plain_list_finds(stores: StoreService) -> None:
    made = await town(stores, 150)

    def nearest(radius_m: float, keep: list[Store]) -> list[str]:
        away = {store.store_id: distance_m(*HERE, store.latitude, store.longitude) for store in keep}
        return [store_id for store_id in sorted(away, key=away.__getitem__) if away[store_id] <= radius_m]

    async def ids(**what: object) -> list[str]:
        found = await stores.search(Search(**{"limit": 200, **what}))  # type: ignore[arg-type]
        return [card.store_id for card in found]

    place = {"latitude": HERE[0], "longitude": HERE[1]}
    for radius_m in (300.0, 1_500.0, 5_000.0):
        near = {**place, "radius_m": radius_m}
        assert await ids(**near) == nearest(radius_m, made)
        golden = [store for store in made if "황금" in store.name]
        assert await ids(**near, text="황 금") == nearest(radius_m, golden)
        assert await ids(**near, text="ㅎㄱ") == nearest(radius_m, golden)
        pizza = [store for store in made if store.category == "피자"]
        assert await ids(**near, category="피자") == nearest(radius_m, pizza)
        open_now = [store for store in made if store.hours]
        assert await ids(**near, open_only=True) == nearest(radius_m, open_now)
    assert set(await ids(text="bhc")) == {store.store_id for store in made if "BHC" in store.name}
    assert await ids(text="_") == []
    assert sorted(await ids()) == sorted(store.store_id for store in made)
    assert len(await ids(limit=7)) == 7
    counted = {found.category: found.stores for found in await stores.categories()}
    assert sum(counted.values()) == 150


async def test_half_a_place_is_none(stores: StoreService) -> None:
    with pytest.raises(ValueError, match="come together"):
        await stores.search(Search(latitude=37.0))


async def test_another_server_loads_them(stores: StoreService, kit: Kit, tmp_path: Path) -> None:
    made = await stores.register(wish("황금치킨"))
    folder = tmp_path / "other"
    folder.mkdir()
    live = await EmbeddedLiveStore.open(folder, CellSettings.model_validate({}), kit.clock)
    other = StoreService(kit.database, live, kit.clock, kit.accounts)
    assert await other.search(Search(*HERE)) == []
    await other.load()
    assert [card.store_id for card in await other.search(Search(*HERE))] == [made.store_id]
    assert await live.count() == 0  # no rider became of it
    assert await live.count(LIVE_KIND) == 1
    await live.close()


async def test_a_store_that_moves_is_found_where_it_is(stores: StoreService) -> None:
    made = await stores.register(wish("황금치킨"))
    moved = await stores.change(made.store_id, wish("은빛치킨", place=(35.1796, 129.0756)), 1)
    assert moved.version == 2
    assert await stores.search(Search(*HERE)) == []
    assert [card.name for card in await stores.search(Search(35.1796, 129.0756))] == ["은빛치킨"]
    assert await stores.search(Search(text="황금")) == []
    with pytest.raises(ChangedMeanwhile, match="at version 2, not 1"):
        await stores.change(made.store_id, wish("x"), 1)
    with pytest.raises(LookupError):
        await stores.change("store-0", wish("x"))


async def test_closed_by_hand_until_a_time(stores: StoreService, kit: Kit) -> None:
    made = await stores.register(wish("황금치킨"))
    until_ms = kit.clock.now_ms() + 60_000
    await stores.close_until(made.store_id, until_ms)
    page = await stores.page(made.store_id)
    assert (page.is_open, page.opens_at_ms) == (False, until_ms)
    kit.clock.advance(60)
    assert (await stores.page(made.store_id)).is_open
    for for_ever_ms in (2**53, 253_402_300_799_999):  # the second is the last that a calendar knows
        await stores.close_until(made.store_id, for_ever_ms)
        page = await stores.page(made.store_id)
        assert (page.is_open, page.opens_at_ms) == (False, None)
