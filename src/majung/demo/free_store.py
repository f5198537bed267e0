"""마중식당: the store that nobody simulated runs or orders from. Its rider waits at its door."""

from random import Random
from typing import Any

from majung.demo.server import Account
from majung.simulate.delivery import names

NAME = "마중식당"
PLACE = (37.500628, 127.036446)
"""At Yeoksam station: latitude, longitude."""

_DESCRIPTION = "데모에서 직접 운영해 보는 가게입니다. 주문이 오면 /kitchen 에서 받아 주세요."


def open_store(owner: Account) -> str:
    """Register it, unless it is; its id. Raises httpx.HTTPError."""
    me = owner.ask("GET", "/v1/me")
    if me.get("store_id"):
        return str(me["store_id"])
    store = owner.ask("POST", "/v1/stores", _store())
    kitchen = next(found for found in names.KITCHENS if found.category == "korean")
    owner.ask("PUT", f"/v1/stores/{store['store_id']}/menu", names.menu(Random(1), kitchen))  # noqa: S311
    return str(store["store_id"])


def _store() -> dict[str, Any]:
    return {
        "name": NAME,
        "category": "korean",
        "latitude": PLACE[0],
        "longitude": PLACE[1],
        "address": "서울 강남구 테헤란로 지하 156",
        "description": _DESCRIPTION,
        "hours": names.all_day(),
        "radius_m": 5_000.0,
        "fee_krw": 2_000,
    }
