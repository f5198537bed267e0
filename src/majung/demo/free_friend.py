"""The person among friends who is left free: it says yes to who asks, and stands at Yeoksam station.

Who tries the demo is not in Gangnam; a position of a page that is open elsewhere is newer, and counts.
"""

import time

from majung.demo.free_store import PLACE
from majung.demo.server import Account

FRIENDS = 12
"""How many people walk about."""
NAME = "friend"
EVERY_S = 10.0


def stand(owner: Account) -> None:
    """Report where it stands, and be friends with whoever asks. Raises httpx.HTTPError."""
    for asking in owner.ask("GET", "/v1/friends/requests")["incoming"]:
        owner.ask("POST", f"/v1/friends/requests/{asking['person_id']}/accept")
    latitude, longitude = PLACE
    fix = {"_type": "location", "lat": latitude, "lon": longitude, "tst": int(time.time()), "acc": 10}
    owner.ask("POST", "/owntracks", fix)
