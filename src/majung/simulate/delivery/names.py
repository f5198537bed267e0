"""What simulated stores are called and sell: names, kitchens, menus, hours and addresses as in Gangnam.

Pure, and the same for the same `Random`. No store here is a real one; streets and districts are.
"""

from dataclasses import dataclass
from random import Random
from typing import Any


@dataclass(frozen=True)
class Kitchen:
    """A kind of store: names, dishes (name, price in won), sizes and extras, minutes of cooking."""

    category: str
    firsts: tuple[str, ...]
    lasts: tuple[str, ...]
    dishes: tuple[tuple[str, int], ...]
    choice: tuple[str, tuple[tuple[str, int], ...]]
    extras: tuple[tuple[str, int], ...]
    minutes: tuple[int, int]
    minimum_krw: int = 12_000


KITCHENS = (
    Kitchen(
        "korean",
        ("역삼", "선릉", "할머니", "정담", "한상", "수라", "논현", "소담", "옛골", "담은"),
        ("국밥", "백반", "한식당", "김치찌개", "보쌈", "설렁탕", "비빔밥", "뚝배기"),
        (
            ("돼지국밥", 10_000),
            ("김치찌개", 9_500),
            ("제육볶음", 11_000),
            ("비빔밥", 9_900),
            ("뼈해장국", 10_500),
            ("갈비탕", 14_000),
            ("된장찌개", 9_000),
            ("보쌈정식", 15_000),
        ),
        ("맵기", (("순한맛", 0), ("보통맛", 0), ("매운맛", 0))),
        (("공기밥", 1_000), ("계란말이", 5_000), ("떡갈비 추가", 4_000)),
        (4, 9),
    ),
    Kitchen(
        "chicken",
        ("황금", "바삭", "강남", "두마리", "숯불", "옛날", "오븐에", "청담", "꼬꼬"),
        ("치킨", "닭강정", "통닭", "치킨공방", "치킨클럽"),
        (
            ("후라이드치킨", 18_000),
            ("양념치킨", 19_000),
            ("간장치킨", 19_500),
            ("반반치킨", 19_000),
            ("닭강정", 16_000),
            ("순살치킨", 20_000),
        ),
        ("부위", (("뼈", 0), ("순살", 2_000), ("날개", 2_500))),
        (("치킨무", 500), ("콜라 1.25L", 2_500), ("치즈볼 5개", 5_000), ("떡 추가", 2_000)),
        (6, 11),
        16_000,
    ),
    Kitchen(
        "pizza",
        ("화덕", "나폴리", "스톤", "역삼동", "마리오네", "해피"),
        ("피자", "피자하우스", "피제리아"),
        (
            ("마르게리타", 17_900),
            ("페퍼로니", 18_900),
            ("포테이토", 19_900),
            ("고르곤졸라", 18_500),
            ("불고기피자", 20_900),
            ("콤비네이션", 19_900),
        ),
        ("크기", (("M", 0), ("L", 5_000))),
        (("치즈크러스트", 3_000), ("갈릭디핑소스", 600), ("오븐스파게티", 6_500)),
        (6, 10),
        17_000,
    ),
    Kitchen(
        "chinese",
        ("만리", "홍콩", "북경", "신라", "차이나", "동해"),
        ("반점", "성", "각", "짬뽕", "양꼬치"),
        (
            ("짜장면", 7_500),
            ("짬뽕", 9_000),
            ("볶음밥", 9_000),
            ("탕수육 소", 17_000),
            ("마파두부밥", 9_500),
            ("마라탕", 13_000),
        ),
        ("양", (("보통", 0), ("곱빼기", 1_500))),
        (("군만두", 5_000), ("단무지 추가", 500)),
        (4, 9),
    ),
    Kitchen(
        "japanese",
        ("스시", "하루", "교토", "오사카", "미나토", "유키"),
        ("초밥", "돈카츠", "라멘", "우동", "덮밥"),
        (
            ("모둠초밥 10p", 16_000),
            ("연어초밥 10p", 18_000),
            ("로스카츠", 12_500),
            ("돈코츠라멘", 11_500),
            ("사케동", 15_000),
            ("가츠동", 11_000),
        ),
        ("국물", (("미소시루", 0), ("우동", 1_500))),
        (("새우튀김 2p", 4_000), ("온천달걀", 1_500)),
        (4, 8),
    ),
    Kitchen(
        "cafe",
        ("테헤란", "모닝", "블루문", "역삼", "느린", "달빛", "오후"),
        ("커피", "로스터스", "카페", "커피랩"),
        (
            ("아메리카노", 4_500),
            ("카페라떼", 5_000),
            ("바닐라라떼", 5_500),
            ("콜드브루", 5_200),
            ("자몽에이드", 6_000),
            ("크루아상", 4_800),
            ("바스크치즈케이크", 7_500),
        ),
        ("온도", (("HOT", 0), ("ICE", 0))),
        (("샷 추가", 500), ("오트밀크", 800)),
        (3, 6),
        9_000,
    ),
    Kitchen(
        "burger",
        ("그릴", "브루클린", "패티", "올데이", "선릉", "스모크"),
        ("버거", "버거하우스", "버거랩"),
        (
            ("클래식버거", 8_900),
            ("치즈버거", 9_500),
            ("베이컨버거", 11_500),
            ("새우버거", 9_900),
            ("더블패티버거", 13_500),
        ),
        ("구성", (("단품", 0), ("세트", 4_000))),
        (("치즈스틱", 3_500), ("밀크셰이크", 5_500)),
        (4, 8),
    ),
    Kitchen(
        "snack",
        ("엄마", "교대", "신전동", "분식왕", "골목", "오빠네"),
        ("떡볶이", "김밥", "분식", "라볶이"),
        (
            ("떡볶이", 5_500),
            ("참치김밥", 4_800),
            ("원조김밥", 3_900),
            ("라볶이", 6_500),
            ("모둠튀김", 6_000),
            ("순대", 5_000),
            ("쫄면", 6_900),
        ),
        ("맵기", (("덜맵게", 0), ("보통", 0), ("맵게", 0))),
        (("치즈 추가", 2_000), ("당면사리", 1_500), ("어묵", 2_000)),
        (3, 8),
        10_000,
    ),
    Kitchen(
        "dessert",
        ("달콤", "구름", "설빙당", "마카롱", "도넛"),
        ("디저트", "베이커리", "빙수", "상점"),
        (
            ("팥빙수", 11_000),
            ("망고빙수", 14_500),
            ("마카롱 6구", 15_000),
            ("크로플", 7_500),
            ("티라미수", 7_900),
        ),
        ("포장", (("일반", 0), ("선물", 1_000))),
        (("아이스크림", 2_000), ("아메리카노", 4_000)),
        (3, 7),
    ),
    Kitchen(
        "western",
        ("일프로", "비스트로", "올리브", "트라토리아", "가든"),
        ("파스타", "키친", "다이닝", "스테이크"),
        (
            ("토마토파스타", 13_900),
            ("크림파스타", 14_900),
            ("봉골레", 15_900),
            ("새우리조또", 15_500),
            ("찹스테이크", 19_900),
        ),
        ("면", (("스파게티", 0), ("링귀니", 0), ("펜네", 0))),
        (("마늘빵", 3_500), ("시저샐러드", 7_900)),
        (5, 9),
    ),
)

HOURS: tuple[tuple[dict[str, tuple[str, ...]], tuple[str, ...]], ...] = (
    ({}, ("00:00-24:00",)),
    ({}, ("00:00-24:00",)),
    ({}, ("00:00-24:00",)),
    ({"sun": ("10:00-22:00",)}, ("10:00-02:00",)),
    ({}, ("06:00-24:00",)),
    ({"sat": ("11:00-22:00",)}, ("11:00-15:00", "16:30-01:00")),
    ({}, ("16:00-06:00",)),
)
"""By day where it differs, and otherwise. At any hour most of them have open."""

ROADS = ("테헤란로", "강남대로", "역삼로", "논현로", "언주로", "봉은사로", "선릉로", "도곡로")
BUILDINGS = ("래미안", "자이", "푸르지오", "센트럴타워", "미래빌딩", "한빛오피스텔", "역삼빌라", "대우아이빌")
NOTES = (
    "",
    "",
    "",
    "문 앞에 놓아주세요",
    "벨 누르지 말아주세요",
    "수저 빼주세요",
    "덜 맵게 해주세요",
    "도착하면 문자 주세요",
    "1층 경비실에 맡겨주세요",
)
REJECTIONS = ("재료가 모두 소진되었습니다", "주문이 많아 지금은 받을 수 없습니다", "오늘 조리가 어렵습니다")
FAILURES = ("고객과 연락이 되지 않습니다", "주소를 찾을 수 없습니다", "음식이 파손되었습니다")

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def hours(random: Random) -> dict[str, list[str]]:
    """Opening hours of a week."""
    by_day, usual = random.choice(HOURS)
    return {day: list(by_day.get(day, usual)) for day in _DAYS}


def all_day() -> dict[str, list[str]]:
    """Open at any time."""
    return {day: ["00:00-24:00"] for day in _DAYS}


def store_name(random: Random, kitchen: Kitchen, taken: set[str]) -> str:
    """A name that nobody has yet; with a branch when all are given."""
    for branch in ("", " 역삼점", " 강남점", " 선릉점", " 논현점", " 본점"):
        for _ in range(12):
            name = f"{random.choice(kitchen.firsts)}{random.choice(kitchen.lasts)}{branch}"
            if name not in taken:
                taken.add(name)
                return name
    name = f"{random.choice(kitchen.firsts)}{random.choice(kitchen.lasts)} {len(taken)}호점"
    taken.add(name)
    return name


def address(random: Random) -> str:
    """A street and number."""
    return f"서울 강남구 {random.choice(ROADS)} {random.randint(2, 640)}"


def door(random: Random) -> str:
    """What no map knows."""
    return f"{random.choice(BUILDINGS)} {random.randint(2, 25)}층 {random.randint(1, 12):02d}호"


def phone(random: Random) -> str:
    """A number from the range that Korea keeps for nobody (02-000)."""
    return f"02-000-{random.randint(0, 9999):04d}"


def menu(random: Random, kitchen: Kitchen) -> dict[str, Any]:
    """A body for `PUT /v1/stores/{id}/menu`. The ids hold over restarts, so that baskets stay good."""
    items = []
    dearer = random.choice((0, 0, 500, 1_000))
    choice_name, choices = kitchen.choice
    for number, (dish, krw) in enumerate(kitchen.dishes, 1):
        groups = [
            {"name": choice_name, "required": True, "options": _options(f"c{number}", choices)},
            {"name": "추가", "multiple": True, "options": _options(f"e{number}", kitchen.extras)},
        ]
        items.append(
            {
                "item_id": f"d{number}",
                "name": dish,
                "price_krw": krw + dearer,
                "category": "대표메뉴" if number <= 3 else "메뉴",
                "groups": groups,
            }
        )
    return {"items": items}


def _options(prefix: str, options: tuple[tuple[str, int], ...]) -> list[dict[str, Any]]:
    return [
        {"option_id": f"{prefix}-{number}", "name": name, "price_krw": krw}
        for number, (name, krw) in enumerate(options, 1)
    ]
