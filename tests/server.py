"""A real server for tests: `majung serve` in a subprocess, and what a client of it needs."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

START_WITHIN_S = 60.0
STOP_WITHIN_S = 60.0


def free_port() -> int:
    """A TCP port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def majung(*arguments: str, check: bool = True) -> str:
    """Run the `majung` command; its standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "majung", *arguments], capture_output=True, text=True, timeout=600
    )
    if check and done.returncode:
        raise AssertionError(f"majung {' '.join(arguments)} failed: {done.stderr or done.stdout}")
    return done.stdout


class Server:
    """One `majung serve`. `start` may be called again after `kill` or `stop`: ports and data stay."""

    def __init__(
        self,
        data: Path,
        sets: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
        entry: tuple[str, ...] = ("-m", "majung"),
    ) -> None:
        self.data = data
        self.entry = entry
        self.http_port = free_port()
        self.grpc_port = free_port()
        self.sets = sets
        self.env = env or {}
        self.log = data.parent / f"{data.name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._admin_password = ""
        self._token = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def grpc(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self, wait: bool = True) -> "Server":
        self.data.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, *self.entry, "serve", "--data", str(self.data)]
        command += ["--http", f"127.0.0.1:{self.http_port}", "--grpc", self.grpc]
        for item in self.sets:
            command += ["--set", item]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=output, env={**os.environ, **self.env}, start_new_session=True
            )
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self) -> None:
        deadline = time.monotonic() + START_WITHIN_S
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"the server stopped at its start:\n{self.tail()}")
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200:
                    return
            time.sleep(0.02)
        raise AssertionError(f"not ready within {START_WITHIN_S} s:\n{self.tail()}")

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and wait; the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"did not stop within {STOP_WITHIN_S} s:\n{self.tail()}") from None
        return self.process.returncode

    # ------------------------------------------------------------------------------- credentials

    @property
    def admin_password(self) -> str:
        """What the server printed at its first start."""
        if not self._admin_password:
            found = re.search(r"password (\S+)", self.log.read_text())
            assert found, self.tail()
            self._admin_password = found[1]
        return self._admin_password

    def sign_in(self, name: str, password: str) -> str:
        answer = httpx.post(
            f"{self.url}/v1/oauth/token",
            data={"grant_type": "password", "username": name, "password": password},
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    @property
    def admin(self) -> dict[str, str]:
        """Headers of a signed-in administrator."""
        if not self._token:
            self._token = self.sign_in("admin", self.admin_password)
        return {"Authorization": f"Bearer {self._token}"}

    def add_device(self, rider_id: str) -> dict[str, Any]:
        return dict(json.loads(majung("device", "add", rider_id, "--data", str(self.data))))

    def add_user(self, name: str, role: str) -> dict[str, Any]:
        return dict(json.loads(majung("user", "add", name, "--role", role, "--data", str(self.data))))

    # -------------------------------------------------------------------------------------- reads

    def get(self, path: str, **params: Any) -> Any:
        answer = httpx.get(f"{self.url}{path}", headers=self.admin, params=params, timeout=60)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def stats(self) -> dict[str, Any]:
        return dict(self.get("/v1/stats"))

    def wait_processed(self, within_s: float = 60) -> dict[str, Any]:
        """Wait until everything acknowledged has been processed; the stats then."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            stats = self.stats()
            if stats["lag_records"] == 0 and stats["pending"] == 0:
                return stats
            time.sleep(0.02)
        raise AssertionError(f"still {self.stats()['lag_records']} positions behind after {within_s} s")


@contextlib.contextmanager
def start_server(data: Path, *sets: str, env: dict[str, str] | None = None) -> Iterator[Server]:
    """A running server; stopped at the end, and its exit code must be 0 when it is still there."""
    server = Server(data, sets, env)
    try:
        yield server.start()
    finally:
        if server.process is not None and server.process.poll() is None:
            assert server.stop() == 0, server.tail()
