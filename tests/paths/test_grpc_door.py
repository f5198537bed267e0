"""The gRPC door against a real server: what it promises to devices, and to those who send rubbish."""

import math
import time
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from majung_sdk import location_pb2
from tests.paths.grpc_client import SERVICE, metadata, position, status_of, stream_positions, track_positions
from tests.server import Server, majung, start_server


@pytest.fixture(scope="module")
def token(module_server: Server) -> str:
    return str(module_server.add_user("fleet", "gateway")["token"])


def quarantined(server: Server, rider_id: str) -> list[dict[str, Any]]:
    """What is in quarantine of one rider, once the consumer has filed it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        items = server.get("/v1/quarantine", rider_id=rider_id, limit=1000)["items"]
        if items:
            return list(items)
        time.sleep(0.05)
    return []


def test_stream_positions_answers_once_at_the_end(module_server: Server, token: str) -> None:
    messages = [position(seq, rider_id="streamer") for seq in range(1, 101)]
    assert stream_positions(module_server.grpc, token, messages) == 100
    module_server.wait_processed()
    now = module_server.get("/v1/riders/streamer/position")
    assert now["latitude"] == pytest.approx(37.4979 + 100e-5)


def test_track_positions_acknowledges_on_the_way(module_server: Server, token: str) -> None:
    acks = track_positions(
        module_server.grpc, token, (position(seq, rider_id="tracker") for seq in range(1, 301))
    )
    assert acks[-1] == 300
    assert acks == sorted(acks)


def test_the_last_acknowledgement_covers_all_whatever_the_commits(module_server: Server, token: str) -> None:
    for count in (1, 2, 3, 50, 211, 300, 777):
        messages = (position(seq, rider_id=f"tracker-{count}") for seq in range(1, count + 1))
        assert track_positions(module_server.grpc, token, messages)[-1] == count


def test_sent_again_changes_nothing(module_server: Server, token: str) -> None:
    messages = [position(seq, rider_id="twice") for seq in range(1, 51)]
    for _ in range(3):
        assert stream_positions(module_server.grpc, token, messages) == 50
    module_server.wait_processed()
    points = module_server.get("/v1/riders/twice/track")["points"]
    assert [point["seq"] for point in points] == list(range(1, 51))


def test_an_empty_rider_id_is_the_devices_own(module_server: Server) -> None:
    device = module_server.add_device("라이더 7")
    assert stream_positions(module_server.grpc, device["token"], [position(1)]) == 1
    module_server.wait_processed()
    found = module_server.get("/v1/riders/라이더 7/position")
    assert found["rider_id"] == "라이더 7"


def test_a_device_may_not_report_for_another(module_server: Server) -> None:
    device = module_server.add_device("honest")
    code, details = status_of(module_server.grpc, device["token"], [position(1, rider_id="victim")])
    assert code == "PERMISSION_DENIED"
    assert "victim" in details
    assert [item["reason"] for item in quarantined(module_server, "victim")] == ["not_yours"]
    assert module_server.get("/v1/riders/victim/track")["points"] == []


@pytest.mark.parametrize(
    ("name", "fields", "reason"),
    [
        ("nan", {"latitude": math.nan}, "not_a_number"),
        ("inf", {"longitude": math.inf}, "not_a_number"),
        ("swapped", {"latitude": 127.0276, "longitude": 37.4979}, "out_of_range"),
        ("null", {"latitude": 0.0, "longitude": 0.0}, "null_island"),
        ("1970", {"device_time_ms": 0}, "too_old"),
        ("2100", {"device_time_ms": 4_102_444_800_000}, "clock_ahead"),
        ("zero", {"seq": 0}, "bad_seq"),
        ("huge", {"seq": 2**64 - 1}, "bad_seq"),
        ("no session", {"session_id": ""}, "bad_session_id"),
        ("tags", {"tags": {"a": "x" * 100_000}}, "bad_tags"),
    ],
)
def test_a_bad_fix_is_set_aside_and_blocks_nobody(
    module_server: Server, token: str, name: str, fields: dict[str, Any], reason: str
) -> None:
    rider_id = f"bad {name}"
    messages = [position(1, rider_id=rider_id), position(**{"seq": 2, "rider_id": rider_id, **fields})]
    messages.append(position(3, rider_id=rider_id))
    assert stream_positions(module_server.grpc, token, messages) == 3
    module_server.wait_processed()
    points = module_server.get(f"/v1/riders/{rider_id}/track")["points"]
    assert [point["seq"] for point in points] == [1, 3]
    assert [item["reason"] for item in quarantined(module_server, rider_id)] == [reason]


def test_a_million_character_id_is_set_aside(module_server: Server, token: str) -> None:
    long_id = "라" * 300_000  # 900 kB of UTF-8, just under the message bound
    assert status_of(module_server.grpc, token, [position(1, rider_id=long_id)]) == ("OK", "")
    [item] = quarantined(module_server, "라" * 128)  # cut to the bound, for the operator to see
    assert item["reason"] == "bad_rider_id"


def test_a_message_of_ten_megabytes_is_refused_clearly(module_server: Server, token: str) -> None:
    huge = position(1, rider_id="huge", tags={"a": "x" * 10_000_000})
    code, details = status_of(module_server.grpc, token, [huge])
    assert code == "RESOURCE_EXHAUSTED"
    assert "larger than max" in details


def test_malformed_protobuf_is_set_aside_and_the_call_goes_on(module_server: Server) -> None:
    device = module_server.add_device("mangled")
    messages = [position(1), b"\xff\xff\xff\xff rubbish", b"", position(2)]
    assert stream_positions(module_server.grpc, device["token"], messages) == 2
    module_server.wait_processed()
    points = module_server.get("/v1/riders/mangled/track")["points"]
    assert [point["seq"] for point in points] == [1, 2]
    reasons = {item["reason"] for item in quarantined(module_server, "mangled")}
    assert "malformed" in reasons


@pytest.mark.parametrize(
    "token", ["", "rubbish", "mjd_none_none", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.", "x" * 8000]
)
def test_without_a_good_credential_nothing_enters(module_server: Server, token: str) -> None:
    before = module_server.stats()["received"]
    code, details = status_of(module_server.grpc, token, [position(1, rider_id="stranger")])
    assert code == "UNAUTHENTICATED"
    assert details
    assert module_server.stats()["received"] == before


def test_an_operator_does_not_report(module_server: Server) -> None:
    operator = module_server.add_user("dispatcher", "operator")
    assert (
        status_of(module_server.grpc, operator["token"], [position(1, rider_id="x")])[0]
        == "PERMISSION_DENIED"
    )


def test_a_backlog_lands_once_in_its_place_and_the_marker_stays(module_server: Server, token: str) -> None:
    now_ms = time.time_ns() // 1_000_000
    newest = [
        position(seq, rider_id="tunnel", device_time_ms=now_ms - (720 - seq) * 5000)
        for seq in range(700, 721)
    ]
    backlog = [
        position(seq, rider_id="tunnel", device_time_ms=now_ms - (720 - seq) * 5000) for seq in range(1, 700)
    ]
    stream_positions(module_server.grpc, token, newest)
    module_server.wait_processed()
    marker = module_server.get("/v1/riders/tunnel/position")
    stream_positions(module_server.grpc, token, backlog)
    stream_positions(module_server.grpc, token, backlog)
    stats = module_server.wait_processed()
    assert module_server.get("/v1/riders/tunnel/position") == marker
    points = module_server.get("/v1/riders/tunnel/track", **{"from": "2000-01-01T00:00:00Z"})["points"]
    assert [point["seq"] for point in points] == list(range(1, 721))
    assert stats["ledger_errors"] == []


def test_a_reinstalled_app_is_not_old_data(module_server: Server, token: str) -> None:
    for session in ("first", "second"):
        messages = [position(seq, rider_id="reinstalled", session_id=session) for seq in range(1, 11)]
        stream_positions(module_server.grpc, token, messages)
    module_server.wait_processed()
    points = module_server.get("/v1/riders/reinstalled/track")["points"]
    assert len(points) == 20
    assert {point["session_id"] for point in points} == {"first", "second"}


def test_health_and_reflection_are_the_standard_services(module_server: Server) -> None:
    with grpc.insecure_channel(module_server.grpc) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="majung.location.v1.LocationService")
        assert health.Check(request, timeout=60).status == health_pb2.HealthCheckResponse.SERVING
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        answer = next(reflection.ServerReflectionInfo(iter([ask]), timeout=60))
        names = {service.name for service in answer.list_services_response.service}
        assert {"majung.location.v1.LocationService", "grpc.health.v1.Health"} <= names
        ask = reflection_pb2.ServerReflectionRequest(
            file_containing_symbol="majung.location.v1.LocationService"
        )
        answer = next(reflection.ServerReflectionInfo(iter([ask]), timeout=60))
        assert answer.file_descriptor_response.file_descriptor_proto


# ------------------------------------------------------------------------------------- long calls


class Talk:
    """A call that is kept open: `say` sends one position and waits for its acknowledgement."""

    def __init__(self, server: Server, token: str) -> None:
        self._channel = grpc.insecure_channel(server.grpc)
        self._messages: SimpleQueue[bytes | None] = SimpleQueue()
        self._call = self._channel.stream_stream(f"{SERVICE}/TrackPositions")(
            iter(self._messages.get, None), metadata=metadata(token)
        )
        self.seq = 0

    def say(self) -> int:
        """The acknowledged seq. Raises grpc.RpcError when the call has ended."""
        self.seq += 1
        self._messages.put(position(self.seq))
        return int(location_pb2.StreamAck.FromString(next(self._call)).last_acked_seq)

    def close(self) -> None:
        self._messages.put(None)
        self._channel.close()


@pytest.mark.parametrize("how", ["command", "api"])
def test_a_revoked_device_is_cut_off(module_server: Server, how: str) -> None:
    device = module_server.add_device(f"lost phone, {how}")
    talk = Talk(module_server, device["token"])
    assert talk.say() == 1
    if how == "command":
        majung("device", "revoke", device["device_id"], "--data", str(module_server.data))
    else:
        path = f"/v1/accounts/devices/{device['device_id']}"
        httpx.delete(module_server.url + path, headers=module_server.admin).raise_for_status()
    revoked_s = time.monotonic()
    with pytest.raises(grpc.RpcError) as ended:
        while time.monotonic() - revoked_s < 20:
            talk.say()
    talk.close()
    assert ended.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert ended.value.details()
    module_server.wait_processed()
    points = module_server.get(f"/v1/riders/{device['rider_id']}/track")["points"]
    assert len(points) == talk.seq - 1, "everything that was acknowledged, and nothing after the cut"
    assert module_server.stats()["ledger_errors"] == []


def test_positions_over_the_devices_rate_wait(tmp_path: Path) -> None:
    with start_server(tmp_path / "data", "server.rate_per_s=100", "server.rate_burst=10") as server:
        device = server.add_device("hasty")
        begun_s = time.monotonic()
        acks = track_positions(server.grpc, device["token"], (position(seq) for seq in range(1, 61)))
        assert acks[-1] == 60
        assert time.monotonic() - begun_s > 0.45  # 50 past the burst, 100 a second
