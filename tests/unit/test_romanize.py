"""Place names in Latin letters, beside what the signs in the streets say."""

import pytest

from scripts.romanize import romanize


@pytest.mark.parametrize(
    ("korean", "latin"),
    [
        ("서울특별시", "Seoul"),
        ("대구광역시", "Daegu"),
        ("세종특별자치시", "Sejong"),
        ("경기도", "Gyeonggi-do"),
        ("강남구", "Gangnam-gu"),
        ("종로구", "Jongno-gu"),
        ("성남시 수정구", "Seongnam-si Sujeong-gu"),
        ("종로1가", "Jongno 1-ga"),
        ("신림동", "Sillim-dong"),
        ("왕십리동", "Wangsimni-dong"),
        ("청량리동", "Cheongnyangni-dong"),
        ("압구정동", "Apgujeong-dong"),
        ("독립문동", "Dongnimmun-dong"),
        ("속초시", "Sokcho-si"),
    ],
)
def test_names(korean: str, latin: str) -> None:
    assert romanize(korean) == latin
