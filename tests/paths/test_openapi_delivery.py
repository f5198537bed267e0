"""No door of delivery answers 500, whoever knocks: every operation, every role, with orders that are there.

`test_openapi.py` holds the answers against the description, as an administrator who knows no ids. Here
everything that an id can be is one that exists, in each of the states that it can be in.
"""

from collections.abc import Iterator
from itertools import cycle
from typing import Any

import msgspec
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings

from majung.serve.http.app import api_description
from tests.paths.test_dispatch import Rider, wait
from tests.paths.test_orders import Four
from tests.server import Server, start_server

SETS = (
    "delivery.open_sign_up=customer,rider,store",
    "delivery.sign_up_per_minute=100000",
    "server.rate_per_s=100000",
    "server.rate_burst=100000",
    "dispatch.offer_for=10m",
)
DOORS = r"^/v1/(orders|offers|stores|store-categories|riders/me|dispatch|notifications|push|track|addresses|routes|me)"
ENDLESS = r"/(events|live)$"


class Town(Four):
    """The four, and one of everything that has an id."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        asked = Rider(server, "asked", 0.001)
        orders = [self.at_the_door(), self.place()]
        delivered = orders[0]["order_id"]
        code = {"kind": "code", "ref": orders[0]["delivery_code"]}
        self.rider.post(f"/v1/orders/{delivered}/deliver", {"proof": code})
        orders.append(self.at_the_door())
        cooking_id = self.place()["order_id"]
        self.store.post(f"/v1/orders/{cooking_id}/accept", {"cooking_minutes": 30})
        # Not one for an order that is given to somebody else at this moment.
        offer = wait(
            lambda: (found := asked.standing()["offer"]) and found["order_id"] == cooking_id and found
        )
        shared = self.customer.post(f"/v1/orders/{cooking_id}/shares").json()
        ids = {
            "order_id": [*(order["order_id"] for order in orders), cooking_id],
            "store_id": [self.store_id],
            "rider_id": [self.rider_id, self.rider2_id],
            "item_id": ["noodles"],
            "offer_id": [offer["offer_id"]],
            "share_id": [shared.get("share_id", "sh-0")],
            "token": [str(shared.get("url", shared.get("token", "t"))).rpartition("/")[2]],
        }
        self.session = requests.Session()
        self.ids = {name: cycle(values) for name, values in ids.items()}
        password = server.add_user("looks", "operator")["password"]
        self.callers = {
            "customer": self.customer._headers,
            "store": self.store._headers,
            "rider": {"Authorization": f"Bearer {asked.token}"},
            "rider at the door": self.rider._headers,
            "operator": {"Authorization": f"Bearer {server.sign_in('looks', password)}"},
            "admin": server.admin,
            "nobody": {},
        }

    def existing(self, values: Any) -> None:
        """Put ids that exist in place of made-up ones."""
        if isinstance(values, dict):
            for name, value in values.items():
                if name in self.ids and isinstance(value, str):
                    values[name] = next(self.ids[name])
                elif name == "at_least_version":  # every order has it; a higher one would be waited for
                    values[name] = 1
                else:
                    self.existing(value)
        elif isinstance(values, list):
            for value in values:
                self.existing(value)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with start_server(tmp_path_factory.mktemp("fuzz") / "data", *SETS) as server:
        yield Town(server)


description: dict[str, Any] = msgspec.json.decode(api_description())
fuzzed = schemathesis.openapi.from_dict(description).include(path_regex=DOORS).exclude(path_regex=ENDLESS)


@pytest.mark.timeout(600)
@fuzzed.parametrize()
@settings(
    max_examples=3,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
def test_nobody_finds_a_door_that_fails(case: Any, town: Town) -> None:
    for values in (case.path_parameters, case.query, case.body):
        town.existing(values)
    for name, headers in town.callers.items():
        answer = case.call(base_url=town.server.url, headers=headers, session=town.session)
        assert answer.status_code != 500, (
            f"{name}: {answer.request.method} {answer.request.url}: {answer.text}"
        )
        if answer.status_code >= 400:
            assert answer.json()["title"], f"{name}: {answer.text}"


def test_the_server_is_as_well_as_before(town: Town) -> None:
    """After all that: what is there is served, and the log of the server has no failure."""
    assert town.admin("GET", "/v1/orders?limit=200").status_code == 200
    assert "request_failed" not in town.server.log.read_text()
