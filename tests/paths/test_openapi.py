"""The API keeps what its description promises: schemathesis against a real server, and a look at the words."""

import re
from typing import Any

import httpx
import jsonschema_rs
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    ignored_auth,
    negative_data_rejection,
    positive_data_acceptance,
)

from majung.serve.http.app import api_description
from tests.paths.grpc_client import position, stream_positions
from tests.server import Server

# Stream for ever; tests/paths/test_live.py and test_order_views.py look at them.
ENDLESS = ["/v1/live/events", "/v1/orders/events", "/v1/track/{token}/events"]
TOKEN = "/v1/oauth/token"
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def filled(module_server: Server) -> Server:
    """A server that has something to show in every answer."""
    gateway = module_server.add_user("openapi-fleet", "gateway")["token"]
    good = [position(seq, rider_id=f"rider-00{40 + seq}") for seq in range(1, 6)]
    stream_positions(module_server.grpc, gateway, [*good, position(6, rider_id="rider-0042", latitude=95.0)])
    module_server.wait_processed()
    for name, role in (("mina", "viewer"), ("joon", "operator")):
        module_server.add_user(name, role)
    module_server.add_device("rider-0042")
    fence = {"name": "강남역", "circle": {"latitude": 37.4979, "longitude": 127.0276, "radius_m": 500}}
    httpx.post(f"{module_server.url}/v1/fences", headers=module_server.admin, json=fence).raise_for_status()
    return module_server


# The same document that the server gives out, and one test for each of its operations.
description: dict[str, Any] = msgspec.json.decode(api_description())
fuzzed = schemathesis.openapi.from_dict(description).exclude(path=ENDLESS)
fuzzed.config.checks.negative_data_rejection.expected_statuses += ["413"]

NOT_CHECKED = [
    positive_data_acceptance,  # a schema cannot say everything: that a polygon crosses itself, for one
    ignored_auth,  # the header below always goes along; test_accounts.py asks every door without one
    allow_header_conformance,  # Litestar answers OPTIONS with the methods of one handler of the path
]


def gives_null(case: Any) -> bool:
    """Whether a query parameter of this call is null."""
    values = [
        v for value in (case.query or {}).values() for v in (value if isinstance(value, list) else [value])
    ]
    return any(value is None or value == "null" for value in values)


@pytest.mark.timeout(600)
@fuzzed.parametrize()
@settings(
    max_examples=8,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
def test_the_api_does_what_it_says(case: Any, filled: Server) -> None:
    # msgspec reads `null` in a query as nothing given, which no schema of a query can say.
    excluded = [*NOT_CHECKED, negative_data_rejection] if gives_null(case) else NOT_CHECKED
    case.call_and_validate(base_url=filled.url, headers=filled.admin, excluded_checks=excluded)


def test_the_server_gives_out_its_description(filled: Server) -> None:
    answer = httpx.get(f"{filled.url}/openapi.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == description
    assert answer.json()["openapi"].startswith("3.1")
    for path in ("/v1/openapi", "/schema", "/v1/openapi/openapi.json"):
        assert httpx.get(filled.url + path).status_code == 404, "one address for one document"


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_operation_is_described() -> None:
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(ids) == len(set(ids)) > 30
    tags = {tag["name"] for tag in description["tags"]}
    for method, path, operation in operations():
        where = f"{method} {path}"
        assert len(operation["summary"]) > 4, where
        assert len(operation["description"]) > 4, where
        assert set(operation["tags"]) <= tags, where
        assert operation["tags"], where
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), f"{where}: {parameter['name']}"
            assert "null" not in str(parameter["schema"]), f"{where}: {parameter['name']}"


def test_who_must_sign_in_and_what_may_go_wrong() -> None:
    for method, path, operation in operations():
        is_open = operation.get("security") == []
        problems = {status for status in operation["responses"] if status[0] in "45"}
        if (
            path.startswith("/v1/")
            and "oauth" not in path
            and path not in ("/v1/map/config.json", "/v1/sign-up")
            and not path.startswith("/v1/track/")  # the token in the path is the credential
        ):
            assert not is_open, path
        if not is_open:
            assert problems >= {"401", "429", "503"}, (method, path)
        if method in ("post", "put"):
            assert "400" in problems, (method, path)
        if "requestBody" in operation:
            assert "413" in problems, (method, path)
        for status in problems - {"503"} if path == "/readyz" else problems:
            content = operation["responses"][status]["content"]
            assert set(content) == {"application/json" if path == TOKEN and status != "413" else PROBLEM}


def test_parameters_carry_the_names_and_bounds_that_are_checked() -> None:
    track = description["paths"]["/v1/riders/{rider_id}/track"]["get"]
    names = {parameter["name"]: parameter for parameter in track["parameters"]}
    assert set(names) == {"rider_id", "from", "to", "format", "simplify_m", "plausible"}
    assert sorted(names["format"]["schema"]["enum"]) == ["csv", "geojson", "gpx", "json"]
    nearest = description["paths"]["/v1/riders/nearest"]["get"]
    bounds = {parameter["name"]: parameter["schema"] for parameter in nearest["parameters"]}
    assert bounds["lat"] == {"type": "number", "minimum": -90, "maximum": 90}
    assert bounds["limit"] == {"type": "integer", "minimum": 1, "maximum": 1000, "default": 20}
    events = description["paths"]["/v1/events"]["get"]["parameters"]
    assert {"type": "string", "minLength": 1, "maxLength": 128} in [p["schema"] for p in events]


def test_examples_are_what_the_schemas_say() -> None:
    schemas = description["components"]["schemas"]
    told = [name for name, schema in schemas.items() if "examples" in schema]
    assert len(told) > 20
    for name in told:
        schema = {"$ref": f"#/components/schemas/{name}", "components": description["components"]}
        for example in schemas[name]["examples"]:
            jsonschema_rs.validate(schema, example)


def test_every_reference_leads_somewhere() -> None:
    text = str(description)
    for name in set(re.findall(r"#/components/schemas/(\w+)", text)):
        assert name in description["components"]["schemas"]
