"""A full disk, as phones and device sockets see it: a clear refusal, which makes them keep what they have."""

import contextlib
import json
import time
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.faults.test_storage import small_disk  # noqa: F401  (a fixture)
from tests.paths.test_device_socket import closed_with, position
from tests.paths.test_phones import OVERLAND_OK, Phone, feature, now_s, owntracks, traccar_8
from tests.server import Server

PADDING = "y" * 128


def fill(ballast: Path) -> None:
    with contextlib.suppress(OSError), ballast.open("ab") as filler:
        while True:
            filler.write(b"\0" * 4096)
            filler.flush()


@pytest.mark.fault
@pytest.mark.slow
async def test_phones_are_told_and_keep_their_fixes(small_disk: Path, tmp_path: Path) -> None:  # noqa: F811
    server = Server(small_disk / "data", ("positions.max_ahead=1h", "server.rate_per_s=100000"))
    server.log = tmp_path / "server.log"
    server.start()
    try:
        phone = Phone(server, "full")
        at_s, stored = now_s() - 3000, 0
        ballast = small_disk / "ballast"
        fill(ballast)
        refused: httpx.Response | None = None
        batch: dict[str, object] = {}
        for _ in range(400):
            batch = {"locations": [feature(at_s + stored + i, motion=[PADDING] * 8) for i in range(20)]}
            answer = phone.post("/overland", batch, headers=phone.bearer)
            if answer.status_code != 200:
                refused = answer
                break
            stored += 20
            fill(ballast)
        assert refused is not None
        assert refused.status_code == 507, refused.text
        assert int(refused.headers["Retry-After"]) >= 1
        assert phone.post("/owntracks", owntracks(at_s), headers=phone.bearer).status_code == 507
        query = traccar_8(at_s, phone.token)
        assert httpx.get(f"{server.url}/osmand", params=query).status_code == 507
        address = f"ws://127.0.0.1:{server.http_port}/v1/positions/stream"
        async with connect(address, additional_headers=phone.bearer, compression=None) as connection:
            await connection.send(json.dumps(position("full", 1)))
            assert await closed_with(connection) == (507, 1013)

        ballast.unlink()
        deadline = time.monotonic() + 60
        again = phone.post("/overland", batch, headers=phone.bearer)
        while again.status_code != 200 and time.monotonic() < deadline:
            again = phone.post("/overland", batch, headers=phone.bearer)
        assert again.json() == OVERLAND_OK
        times = [point["device_time_ms"] // 1000 for point in phone.track()]
        assert times == [at_s + step for step in range(stored + 20)]
    finally:
        assert server.stop() == 0, server.tail()
