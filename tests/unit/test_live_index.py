"""The grid of boxes and the ring of changes give what a plain loop over everything gives."""

from hypothesis import given
from hypothesis import strategies as st

from majung.live.changes import (
    EVENT,
    GONE,
    NO_CELL,
    NOWHERE,
    OVERHEAD_BYTES,
    POSITION,
    Change,
    Ring,
    ring_cell,
)
from majung.live.messages import Viewport
from majung.positions.boxes import BoxIndex

LATITUDE = st.one_of(st.floats(-90, 90), st.sampled_from([-90.0, 0.0, 37.5, 90.0]))
LONGITUDE = st.one_of(st.floats(-180, 180), st.sampled_from([-180.0, -179.999, 0.0, 127.03, 179.999, 180.0]))


@st.composite
def viewports(draw: st.DrawFn) -> Viewport:
    south = draw(LATITUDE)
    height = draw(st.sampled_from([0.0, 0.001, 0.02, 1.0, 30.0, 180.0]))
    west = draw(LONGITUDE)
    width = draw(st.sampled_from([0.0, 0.001, 0.02, 1.0, 30.0, 359.0]))
    east = west + width
    return Viewport(south, west, min(90.0, south + height), east if east <= 180 else max(-180.0, east - 360))


@given(st.lists(viewports(), max_size=20), st.lists(st.tuples(LATITUDE, LONGITUDE), max_size=20), st.data())
def test_the_index_finds_every_box_around_a_point(
    areas: list[Viewport], points: list[tuple[float, float]], data: st.DataObject
) -> None:
    index: BoxIndex[int] = BoxIndex()
    for number, area in enumerate(areas):
        index.add(number, area.box())
    removed = data.draw(st.sets(st.sampled_from(range(len(areas))))) if areas else set()
    for number in removed:
        index.remove(number)
        index.remove(number)
    points += [(area.south, area.west) for area in areas] + [(area.north, area.east) for area in areas]
    for point in points:
        expected = {n for n, area in enumerate(areas) if n not in removed and area.contains(*point)}
        found = index.at(*point)
        assert expected <= set(found) and len(found) == len(set(found))
        assert set(index.at_either(point, point)) == set(found)
        assert set(index.at_either(point, points[0])) == {*found, *index.at(*points[0])}
    assert len(index) == len(areas) - len(removed)


def test_a_point_looks_at_few_of_ten_thousand_small_boxes() -> None:
    index: BoxIndex[int] = BoxIndex()
    for number in range(10_000):
        south, west = 33 + number % 100 * 0.04, 126 + number // 100 * 0.03
        index.add(number, Viewport(south, west, south + 0.01, west + 0.01).box())
    assert 1 <= len(index.at(35.005, 127.505)) < 20


def test_an_index_that_is_empty_again_holds_nothing() -> None:
    index: BoxIndex[str] = BoxIndex()
    index.add("world", Viewport(-90, -180, 90, 180).box())
    index.add("street", Viewport(37.5, 127.0, 37.5001, 127.0001).box())
    index.remove("world")
    index.remove("street")
    assert index._cells == {} and index.at(37.5, 127.0) == []


def change(
    offset: int, kind: int, here: tuple[float, float], was: tuple[float, float], at_s: float
) -> Change:
    return Change(
        offset, kind, f"r{offset}", b"x" * 50, *here, *was, at_s, cell=cell(here), was_cell=cell(was)
    )


def cell(place: tuple[float, float]) -> int:
    return NO_CELL if place[0] != place[0] else ring_cell(*place)


PLACE = st.one_of(st.tuples(LATITUDE, LONGITUDE), st.just((NOWHERE, NOWHERE)))


@given(
    st.lists(st.tuples(st.sampled_from([POSITION, GONE, EVENT]), PLACE, PLACE, st.floats(0, 5)), max_size=40),
    viewports(),
    st.integers(0, 45),
    st.sampled_from([3 * (50 + OVERHEAD_BYTES), 1_000_000]),
)
def test_the_ring_holds_the_last_changes_and_finds_those_that_touch_a_box(
    steps: list[tuple[int, tuple[float, float], tuple[float, float], float]],
    area: Viewport,
    after: int,
    max_bytes: int,
) -> None:
    ring, held, now_s = Ring(max_bytes, 10.0, floor=0), [], 0.0
    for offset, (kind, here, was, pause_s) in enumerate(steps, 1):
        now_s += pause_s
        ring.add(change(offset, kind, (NOWHERE, NOWHERE) if kind == GONE else here, was, now_s))
        held.append(change(offset, kind, (NOWHERE, NOWHERE) if kind == GONE else here, was, now_s))
        dropped = ring.trim(now_s)
        while held and (len(held) * (50 + OVERHEAD_BYTES) > max_bytes or held[0].at_s < now_s - 10):
            assert dropped.pop(0).offset == held[0].offset
            assert ring.floor >= held.pop(0).offset
        assert dropped == []
    assert len(ring) == len(held) and ring.bytes == len(held) * (50 + OVERHEAD_BYTES)
    assert [c.offset for c in ring.events(after)] == [
        c.offset for c in held if c.kind == EVENT and c.offset > after
    ]
    found = {c.offset for c in ring.touching(area.box(), after)}
    expected = {
        c.offset
        for c in held
        if c.kind != EVENT
        and c.offset > after
        and (area.contains(c.latitude, c.longitude) or area.contains(c.was_latitude, c.was_longitude))
    }
    assert expected <= found <= {c.offset for c in held if c.offset > after}
    ring.trim(now_s + 100)
    assert (len(ring), ring.bytes, ring._by_cell) == (0, 0, {})
