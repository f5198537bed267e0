"""What an order costs, against a second way to add it up; and each reason why it cannot be had."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from majung.clock import ManualClock
from majung.orders.model import Address
from majung.positions.geodesy import destination
from majung.stores.model import Item, Menu, Option, OptionGroup, Store, Weekday, WishedLine
from majung.stores.pricing import (
    ItemGone,
    OutOfArea,
    PriceChanged,
    StoreClosed,
    StoreProblem,
    TooSmall,
    price_order,
)
from majung.stores.service import with_ids

NOW_MS = ManualClock().now_ms()
HERE = Address(37.4979, 127.0276, "역삼동")
STORE = Store(
    "강남 치킨",
    "chicken",
    37.4979,
    127.0276,
    "서울",
    {day: ["00:00-24:00"] for day in Weekday},
    radius_m=1000.0,
    minimum_krw=10_000,
    fee_krw=3_000,
    store_id="store-1",
    version=1,
    created_at_ms=0,
    updated_at_ms=0,
)
SIZE = OptionGroup("크기", (Option("보통", 0, "m"), Option("크게", 4_000, "l")), required=True)
EXTRA = OptionGroup(
    "추가",
    (Option("치즈", 1_500, "cheese"), Option("무", 0, "radish", sold_out=True), Option("빼기", -500, "less")),
    multiple=True,
)
FRIED = Item("후라이드", 18_000, "fried", groups=(SIZE, EXTRA))
COLA = Item("콜라", 2_000, "cola")
MENU = Menu(3, (FRIED, COLA, Item("품절", 1_000, "gone", sold_out=True)))


def line(
    item_id: str = "fried", quantity: int = 1, options: tuple[str, ...] = ("m",), seen: int | None = None
) -> WishedLine:
    return WishedLine(item_id, quantity, options, seen)


def changed(**fields: object) -> Store:
    return msgspec.structs.replace(STORE, **fields)


def test_lines_options_and_fee() -> None:
    priced = price_order(STORE, MENU, [line(options=("cheese", "l"), quantity=2, seen=23_500)], HERE, NOW_MS)
    assert priced.lines[0].price_krw == 23_500
    assert priced.lines[0].options == ("크게", "치즈")  # in the order of the menu
    assert (priced.items_krw, priced.fee_krw, priced.total_krw) == (47_000, 3_000, 50_000)


@pytest.mark.parametrize(
    ("wished", "problem", "says"),
    [
        ([line("roast")], ItemGone, "no longer on the menu"),
        ([line("gone", options=())], ItemGone, "sold out"),
        ([line(options=("m", "radish"))], ItemGone, "무 is sold out"),
        ([line(options=("m", "xl"))], ItemGone, "'xl' is no longer"),
        ([line(seen=17_000)], PriceChanged, "now costs 18000 KRW, not 17000"),
        ([line("cola", options=())], TooSmall, "from 10000 KRW"),
    ],
)
def test_why_not(wished: list[WishedLine], problem: type[StoreProblem], says: str) -> None:
    with pytest.raises(problem, match=says) as told:
        price_order(STORE, MENU, wished, HERE, NOW_MS)
    if isinstance(told.value, ItemGone):
        assert told.value.item_id == wished[0].item_id


@pytest.mark.parametrize(
    ("wished", "says"),
    [
        ([], "1 to"),
        ([line()] * 51, "1 to"),
        ([line(options=())], "choose one of '크기'"),
        ([line(options=("m", "l"))], "only one of '크기'"),
        ([line(options=("m", "m"))], "stands twice"),
        ([line(quantity=0)], "1 to 99"),
        ([line(quantity=-3)], "1 to 99"),
    ],
)
def test_lines_that_no_menu_allows(wished: list[WishedLine], says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        price_order(STORE, MENU, wished, HERE, NOW_MS)
    assert not isinstance(caught.value, StoreProblem)


def test_closed_by_its_hours_and_by_hand() -> None:
    for store in (changed(hours={}), changed(closed_until_ms=NOW_MS + 1)):
        with pytest.raises(StoreClosed, match="강남 치킨 is closed now"):
            price_order(store, MENU, [line()], HERE, NOW_MS)
    assert price_order(changed(closed_until_ms=NOW_MS), MENU, [line()], HERE, NOW_MS).total_krw == 21_000


@given(st.floats(0, 360), st.floats(0, 3_000).filter(lambda m: abs(m - 1_000) > 0.01))
def test_the_area_is_a_circle(bearing_deg: float, away_m: float) -> None:
    latitude, longitude = destination(STORE.latitude, STORE.longitude, bearing_deg, away_m)
    at = Address(latitude, longitude, "")
    if away_m < STORE.radius_m:
        price_order(STORE, MENU, [line()], at, NOW_MS)
    else:
        with pytest.raises(OutOfArea, match="1000 m"):
            price_order(STORE, MENU, [line()], at, NOW_MS)


def test_no_place_at_all_is_out_of_the_area() -> None:
    with pytest.raises(OutOfArea):
        price_order(STORE, MENU, [line()], Address(float("nan"), 127.0, ""), NOW_MS)


EXTRAS = st.sets(st.sampled_from(["cheese", "less"]))
LINES = st.lists(st.tuples(st.sampled_from(["m", "l"]), EXTRAS, st.integers(1, 9)), min_size=1, max_size=20)
COST = {"m": 0, "l": 4_000, "cheese": 1_500, "less": -500}


@given(LINES)
def test_the_sum_is_what_each_piece_costs(wished: list[tuple[str, set[str], int]]) -> None:
    lines = [line(options=(size, *extras), quantity=quantity) for size, extras, quantity in wished]
    pieces = [
        18_000 + COST[size] + sum(COST[extra] for extra in extras)
        for size, extras, quantity in wished
        for _ in range(quantity)
    ]
    priced = price_order(STORE, MENU, lines, HERE, NOW_MS)
    assert priced.items_krw == sum(pieces)
    assert priced.total_krw == priced.items_krw + STORE.fee_krw
    # What the customer is shown is what is asked for: sent back, it is taken.
    again = [
        WishedLine(wish.item_id, wish.quantity, wish.options, known.price_krw)
        for wish, known in zip(lines, priced.lines, strict=True)
    ]
    assert price_order(STORE, MENU, again, HERE, NOW_MS) == priced


def test_nothing_costs_less_than_nothing() -> None:
    cheap = Item("서비스", 100, "gift", groups=(OptionGroup("빼기", (Option("x", -500, "x"),)),))
    store = changed(minimum_krw=0)
    assert price_order(store, Menu(1, (cheap,)), [line("gift", 1, ("x",))], HERE, NOW_MS).items_krw == 0


def test_ids_are_given_once_and_kept() -> None:
    bare = (Item("a", 1, groups=(OptionGroup("g", (Option("x"), Option("y"))),)), Item("b", 2, "mine"))
    first = with_ids(bare)
    assert first[1].item_id == "mine"
    ids = [first[0].item_id, *(option.option_id for option in first[0].groups[0].options)]
    assert all(ids)
    assert len(set(ids)) == 3
    assert with_ids(first) == first
    with pytest.raises(ValueError, match="an item_id stands twice"):
        with_ids((Item("a", 1, "same"), Item("b", 2, "same")))
    with pytest.raises(ValueError, match="a: an option_id stands twice"):
        with_ids((Item("a", 1, groups=(OptionGroup("g", (Option("x", 0, "o"), Option("y", 0, "o"))),)),))
