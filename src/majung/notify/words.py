"""The words of a notice, for phones and for programs: two languages, one table each.

Pages make their own words from kind and params. Values are put into the templates and never read as such.
"""

from collections.abc import Mapping
from typing import Literal

from majung.notify.model import Kind, Params

Language = Literal["ko", "en"]

_KO: dict[Kind, tuple[str, str]] = {
    Kind.RECEIVED: ("주문이 접수되었어요", "{store}에서 주문을 확인하고 있어요."),
    Kind.COOKING: ("조리를 시작했어요", "{store} · 약 {minutes}분 뒤 조리가 끝나요."),
    Kind.READY: ("음식이 준비되었어요", "{store} · 픽업을 기다리고 있어요."),
    Kind.PICKED_UP: ("라이더가 음식을 받았어요", "{store} · 곧 출발해요."),
    Kind.DELIVERING: ("배달을 시작했어요", "{store} · 라이더가 오고 있어요."),
    Kind.ARRIVING: ("라이더가 곧 도착해요", "{within_m}m 안에 왔어요. {store} 음식을 받을 준비를 해 주세요."),
    Kind.DELIVERED: ("배달이 완료되었어요", "{store} · 맛있게 드세요!"),
    Kind.REJECTED: ("가게에서 주문을 받지 못했어요", "{store}{reason}"),
    Kind.CANCELLED: ("주문이 취소되었어요", "{store}{reason}"),
    Kind.FAILED: ("음식을 전달하지 못했어요", "{store}{reason}"),
    Kind.NEW_ORDER: ("새 주문이 들어왔어요", "{total} · 수락해 주세요."),
    Kind.RIDER_ASSIGNED: ("라이더가 배정되었어요", "주문 {number}"),
    Kind.RIDER_LEFT: ("라이더를 다시 찾고 있어요", "주문 {number}"),
    Kind.RIDER_AT_STORE: ("라이더가 가게 앞에 왔어요", "주문 {number}"),
    Kind.OFFER: ("새 배달 제안이 있어요", "{store} · {distance} · {total}"),
    Kind.ASSIGNED: ("주문이 배정되었어요", "{store} · 관리자가 배정했어요."),
    Kind.TAKEN_AWAY: ("주문이 다른 라이더에게 넘어갔어요", "{store} · 더 이상 배달하지 않아도 돼요."),
}
_EN: dict[Kind, tuple[str, str]] = {
    Kind.RECEIVED: ("Order received", "{store} is looking at your order."),
    Kind.COOKING: ("Being cooked", "{store} · ready in about {minutes} min."),
    Kind.READY: ("The food is ready", "{store} · waiting to be picked up."),
    Kind.PICKED_UP: ("Picked up", "{store} · the rider leaves soon."),
    Kind.DELIVERING: ("On the way", "{store} · the rider is coming to you."),
    Kind.ARRIVING: (
        "Your rider is almost there",
        "Within {within_m} m. Get ready for your food from {store}.",
    ),
    Kind.DELIVERED: ("Delivered", "{store} · enjoy your meal!"),
    Kind.REJECTED: ("The store could not take the order", "{store}{reason}"),
    Kind.CANCELLED: ("The order was cancelled", "{store}{reason}"),
    Kind.FAILED: ("The food could not be handed over", "{store}{reason}"),
    Kind.NEW_ORDER: ("New order", "{total} · please accept it."),
    Kind.RIDER_ASSIGNED: ("A rider is assigned", "Order {number}"),
    Kind.RIDER_LEFT: ("Looking for another rider", "Order {number}"),
    Kind.RIDER_AT_STORE: ("The rider is at your store", "Order {number}"),
    Kind.OFFER: ("New delivery offer", "{store} · {distance} · {total}"),
    Kind.ASSIGNED: ("An order was assigned to you", "{store} · by the administrator."),
    Kind.TAKEN_AWAY: ("The order went to another rider", "{store} · you need not carry it any more."),
}
_WORDS: Mapping[str, dict[Kind, tuple[str, str]]] = {"ko": _KO, "en": _EN}
_MAX_VALUE = 200


def text_of(kind: Kind, order_id: str, params: Params, language: str) -> tuple[str, str]:
    """Title and body."""
    title, body = _WORDS.get(language, _EN)[kind]
    values = {name: str(value)[:_MAX_VALUE] for name, value in params.items()}
    reason = values.get("reason", "")
    values["reason"] = f" · {reason}" if reason else ""
    values["number"] = order_id[-5:].upper()
    won = int(params.get("total_krw", 0))
    values["total"] = f"{won:,}원" if language == "ko" else f"₩{won:,}"
    metres = int(params.get("distance_m", 0))
    values["distance"] = f"{metres / 1000:.1f} km" if metres >= 1000 else f"{metres} m"
    return title, body.format_map(values)
