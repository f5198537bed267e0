"""Where a value comes from, and what is said when it is wrong."""

from datetime import timedelta
from pathlib import Path

import pytest

from majung.settings import Settings, load, parse_duration
from majung.settings_doc import as_text, rows


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("10s", 10),
        ("5m", 300),
        ("24h", 86400),
        ("7d", 604800),
        ("1.5h", 5400),
        ("20y", 631152000),
    ],
)
def test_durations_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


def test_flag_beats_environment_beats_file_beats_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "majung.toml").write_text('[positions]\nmax_age = "3d"\nbatch_max = 300\nmax_sessions = 3\n')
    monkeypatch.setenv("MAJUNG_POSITIONS__BATCH_MAX", "400")
    monkeypatch.setenv("MAJUNG_POSITIONS__MAX_SESSIONS", "4")
    found = load(tmp_path, flags={"positions.max_sessions": "5"}).positions
    assert (found.max_sessions, found.batch_max, found.max_age) == (5, 400, timedelta(days=3))
    assert found.max_ahead == timedelta(seconds=60)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"positions.max_agee": "3d"}, "max_agee"),
        ({"positions.max_age": "soon"}, "max_age"),
        ({"nothing.at_all": "1"}, "nothing"),
        ({"log.partitions": "0"}, "partitions"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, flags: dict[str, str], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        load(tmp_path, flags=flags)


def test_a_missing_settings_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no settings file"):
        load(tmp_path, config=tmp_path / "none.toml")


def test_every_setting_is_documented_and_reads_back(tmp_path: Path) -> None:
    listed = list(rows(load(tmp_path)))
    assert len(listed) > 40
    for name, value, _, meaning in listed:
        assert meaning, f"{name} has no description"
        if name != "data" and value:
            assert load(tmp_path, flags={name: value}).model_dump() == load(tmp_path).model_dump(), name


def test_as_text_is_what_one_would_type() -> None:
    found = {as_text(timedelta(seconds=s)) for s in (0.25, 60, 3600, 86400, 90)}
    assert found == {"250ms", "1m", "1h", "1d", "90s"}


def test_defaults_alone_are_valid() -> None:
    assert Settings().positions.batch_max == 1000
