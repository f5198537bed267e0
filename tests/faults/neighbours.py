"""Who must not notice what a fault test does: somebody who reports and reads all the while."""

import threading
import time
from collections.abc import Callable

import httpx
import psutil

from tests.paths.grpc_client import position, status_of
from tests.server import Server


class Neighbours:
    """`served` counts what went well; every refusal is kept."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._token = str(server.add_device("neighbour")["token"])
        self._stop = threading.Event()
        self.served = 0
        self.refused: list[str] = []

    def __enter__(self) -> "Neighbours":
        self._thread = threading.Thread(target=self._live)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _live(self) -> None:
        seq = 0
        with httpx.Client(base_url=self._server.url, headers=self._server.admin, timeout=60) as client:
            while not (seq and self._stop.wait(0.1)):
                seq += 1
                status = status_of(self._server.grpc, self._token, [position(seq)])
                answer = client.get("/v1/stats")
                if status[0] == "OK" and answer.status_code == 200:
                    self.served += 1
                else:
                    self.refused.append(f"{status} {answer.status_code} {answer.text[:200]}")

    def check(self) -> None:
        assert self.refused == []
        assert self.served > 0


def wait_for(what: str, condition: Callable[[], bool], within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {within_s} s"
        time.sleep(0.05)


def sockets_of(server: Server) -> int:
    return len(psutil.Process(server.pid).net_connections("all"))


def memory_of(server: Server) -> int:
    """Resident, in bytes."""
    return int(psutil.Process(server.pid).memory_info().rss)
