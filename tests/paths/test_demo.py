"""The one command that newcomers type: it shows riders, stops cleanly, and goes on with its data."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

RIDERS = 60
WITHIN_S = 60.0


class Demo:
    """`majung demo` in a process of its own, as somebody at a terminal has it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.output = data.parent / "demo.out"
        command = [sys.executable, "-m", "majung", "demo", "--data", str(data), "--riders", str(RIDERS)]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)

    def url(self) -> str:
        """The address that it prints."""
        deadline = time.monotonic() + WITHIN_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.output.read_text()
            if found := re.search(r"map\s+(http://\S+?)/", self.output.read_text()):
                return found[1]
            time.sleep(0.05)
        raise AssertionError(self.output.read_text())

    def wait_riders(self, at_least: int) -> dict[str, Any]:
        """Sign in as it says, and wait until so many riders are live; the stats then."""
        url = self.url()
        sign_in = json.loads((self.data / "sign-in.json").read_text())
        form = {"grant_type": "password", "username": sign_in["name"], "password": sign_in["password"]}
        token = httpx.post(f"{url}/v1/oauth/token", data=form).json()["access_token"]
        deadline = time.monotonic() + WITHIN_S
        stats = {"riders": 0}
        while time.monotonic() < deadline:
            stats = httpx.get(f"{url}/v1/stats", headers={"Authorization": f"Bearer {token}"}).json()
            if stats["riders"] >= at_least:
                return dict(stats)
            time.sleep(0.05)
        raise AssertionError(f"only {stats['riders']} riders are live")

    def stop(self) -> None:
        """Ctrl-C; it must end by itself, with success."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(60) == 0, self.output.read_text()


@pytest.mark.timeout(240)
def test_the_demo_shows_riders_stops_cleanly_and_goes_on(tmp_path: Path) -> None:
    data = tmp_path / "demo-data"
    demo = Demo(data)
    try:
        first = demo.wait_riders(RIDERS // 2)
    finally:
        demo.stop()
    said = demo.output.read_text()
    for word in ("map", "sign in", "riders", "positions", "lag", "rejected"):
        assert word in said
    assert first["ledger_errors"] == []

    demo = Demo(data)
    try:
        again = demo.wait_riders(RIDERS // 2)
    finally:
        demo.stop()
    assert again["stored"] >= first["stored"], "started again it goes on with its data"
    assert (data / "sign-in.json").stat().st_mode & 0o077 == 0
