"""What a viewer may say, and what it is told when it says something else."""

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from majung.live import messages
from majung.live.messages import MAX_MESSAGE_BYTES, Viewport, parse


@pytest.mark.parametrize(
    "text",
    [
        '{"subscribe":{"id":"a","area":{"south":1,"west":2,"north":3,"east":4}}}',
        '{"subscribe":{"id":"r","riders":["라이더 1","b"],"epoch":"e","offset":17}}',
        '{"subscribe":{"id":"f","fence":"id"}}',
        '{"unsubscribe":"a"}',
    ],
)
def test_the_four_forms(text: str) -> None:
    assert parse(text) == parse(text.encode())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a live message"),
        ("nonsense", "not a live message"),
        ("[]", "not a live message"),
        ("{}", "either subscribe or unsubscribe"),
        ('{"subscribe":{"id":"a","fence":"f"},"unsubscribe":"b"}', "either subscribe or unsubscribe"),
        ('{"subscribe":{"id":"a"}}', "exactly one"),
        ('{"subscribe":{"id":"a","riders":["x"],"fence":"f"}}', "exactly one"),
        ('{"subscribe":{"id":"","fence":"f"}}', "1-64 characters"),
        ('{"subscribe":{"id":"' + "x" * 65 + '","fence":"f"}}', "1-64 characters"),
        ('{"subscribe":{"id":"a","riders":[]}}', "at least one"),
        ('{"subscribe":{"id":"a","riders":[1]}}', "not a live message"),
        ('{"subscribe":{"id":"a","rider":["x"]}}', "unknown field"),
        ('{"subscribe":{"id":"a","area":{"south":1,"west":2,"north":3}}}', "missing required field"),
        ('{"subscribe":{"id":"a","area":{"south":3,"west":2,"north":1,"east":4}}}', "south <= north"),
        ('{"subscribe":{"id":"a","area":{"south":-91,"west":2,"north":1,"east":4}}}', "south <= north"),
        ('{"subscribe":{"id":"a","area":{"south":1,"west":181,"north":2,"east":4}}}', "-180"),
        ('{"subscribe":{"id":"a","area":{"south":NaN,"west":2,"north":3,"east":4}}}', "not a live message"),
        (
            '{"subscribe":{"id":"a","area":{"south":1e999,"west":2,"north":3,"east":4}}}',
            "finite|out of range",
        ),
        ("[" * 100_000, "at most"),
        ("[" * 60_000, "not a live message"),
        ('{"unsubscribe":"' + "x" * MAX_MESSAGE_BYTES + '"}', "at most"),
    ],
)
def test_everything_else_is_an_error_in_words(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(text)


@given(st.binary(max_size=200))
def test_noise_is_an_error_in_words(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(data)


def test_names_are_escaped_and_errors_are_problem_details() -> None:
    assert json.loads(messages.resync('"}\n')) == {"type": "resync", "id": '"}\n'}
    error = json.loads(messages.error(403, "Not allowed", "no \\ way", "forbidden", "s"))
    assert error["id"] == "s"
    assert error["error"] == {
        "type": "forbidden",
        "title": "Not allowed",
        "status": 403,
        "detail": "no \\ way",
    }


DEGREES = st.floats(-180, 180)


@given(st.floats(-90, 90), DEGREES, st.floats(-90, 90), DEGREES, st.floats(-90, 90), DEGREES)
def test_a_viewport_and_its_complement_over_the_antimeridian(
    south: float, west: float, north: float, east: float, latitude: float, longitude: float
) -> None:
    assume(west != east)
    south, north = sorted((south, north))
    here = Viewport(south, west, north, east).contains(latitude, longitude)
    there = Viewport(south, east, north, west).contains(latitude, longitude)
    assert (here or there) == (south <= latitude <= north)
