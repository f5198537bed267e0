"""People for tests of friends against a real server: they sign up, befriend each other, report and watch."""

import itertools
import json
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any, Self

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.server import Server, majung

WITHIN_S = 60.0


class Person:
    """Somebody with an account. Call it to ask the server something: `anna("GET", "/v1/friends")`."""

    def __init__(self, server: Server, account: dict[str, Any]) -> None:
        self.server = server
        self.id = str(account["rider_id"])
        self.name = str(account["name"])
        self.token = str(account["token"])
        self.headers = {"Authorization": f"Bearer {self.token}"}
        self._open = ExitStack()
        self._phone: ClientConnection | None = None
        self._seq = itertools.count(time.time_ns() // 1_000_000)
        self._http = httpx.Client(base_url=server.url, headers=self.headers, timeout=WITHIN_S)

    def ask(self, method: str, path: str, body: Any = None, **params: Any) -> httpx.Response:
        """Whatever the answer is."""
        return self._http.request(method, path, json=body, params=params)

    def __call__(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        answer = self.ask(method, path, body, **params)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def befriend(self, *others: "Person") -> None:
        """By an invitation each, as the page does it."""
        for other in others:
            token = self("POST", "/v1/friends/invitations")["token"]
            other("POST", "/v1/friends/invitations/accept", {"token": token})

    def share(self, mode: str, to: "Person | None" = None, **more: Any) -> None:
        """With one friend, or with all."""
        sharing = {"mode": mode, **more}
        if to is None:
            self("PATCH", "/v1/friends/me", {"sharing": sharing})
        else:
            self("PUT", f"/v1/friends/{to.id}/sharing", sharing)

    def report(self, latitude: float, longitude: float, at_ms: int | None = None, **more: Any) -> int:
        """A position through the door of the pages; acknowledged when it returns. Its device time."""
        at_ms = time.time_ns() // 1_000_000 if at_ms is None else at_ms
        seq = next(self._seq)
        fix = {"session_id": "page", "seq": seq, "device_time_ms": at_ms, **more}
        if self._phone is None:
            address = f"{self.server.url.replace('http', 'ws', 1)}/v1/positions/stream"
            phone = connect(address, additional_headers=self.headers, compression=None)
            self._phone = self._open.enter_context(phone)
        self._phone.send(json.dumps({**fix, "latitude": latitude, "longitude": longitude}))
        answer = json.loads(self._phone.recv(WITHIN_S))
        assert answer == {"last_acked_seq": seq}, answer
        return at_ms

    def close(self) -> None:
        self._http.close()
        self._open.close()
        self._phone = None


class Stream(ABC):
    """What a person is told on an open stream: every message as it came, and when."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.raw: list[str] = []
        self.at_s: list[float] = []
        self._some = threading.Condition()
        self._over = False
        self._reader = threading.Thread(target=self._run, daemon=True)
        self._reader.start()

    @abstractmethod
    def _texts(self) -> Iterator[str]: ...

    def _run(self) -> None:
        with suppress(OSError, ConnectionClosed, httpx.HTTPError):
            for text in self._texts():
                with self._some:
                    self.raw.append(text)
                    self.at_s.append(time.monotonic())
                    self._some.notify_all()
        with self._some:
            self._over = True
            self._some.notify_all()

    @property
    def messages(self) -> list[dict[str, Any]]:
        with self._some:
            return [json.loads(text) for text in self.raw if text]

    def wait(self, wanted: Callable[[dict[str, Any]], object], after: int = 0) -> tuple[int, dict[str, Any]]:
        """The first message from number `after` on that is wanted, and its number; waited for."""
        deadline = time.monotonic() + WITHIN_S
        number = after
        while True:
            with self._some:
                while number >= len(self.raw):
                    left_s = deadline - time.monotonic()
                    assert not self._over, f"{self.person.name}: the stream is over"
                    assert left_s > 0, (
                        f"{self.person.name}: not within {WITHIN_S} s; came: {self.raw[after:]}"
                    )
                    self._some.wait(left_s)
                text = self.raw[number]
            message = json.loads(text) if text else {}
            if wanted(message):
                return number, message
            number += 1

    def sees(self, other: Person) -> dict[str, Any] | None:
        """How the friend stands by all messages up to now: a `Near`, or None."""
        near: dict[str, Any] | None = None
        for message in self.messages:
            match message["type"]:
                case "snapshot":
                    found = [one for one in message["near"] if one["place"]["person_id"] == other.id]
                    near = found[0] if found else None
                case "near" if message["friend"]["place"]["person_id"] == other.id:
                    near = message["friend"]
                case "left" if message["person_id"] == other.id:
                    near = None
        return near

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        self.wait(lambda message: message.get("type") == "snapshot")
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Watch(Stream):
    """The WebSocket."""

    def __init__(self, person: Person) -> None:
        address = f"{person.server.url.replace('http', 'ws', 1)}/v1/friends/live"
        self._open = ExitStack()
        self._socket = self._open.enter_context(
            connect(address, additional_headers=person.headers, compression=None, max_size=None)
        )
        super().__init__(person)

    def _texts(self) -> Iterator[str]:
        for text in self._socket:
            yield text if isinstance(text, str) else text.decode()

    def close(self) -> None:
        self._open.close()
        self._reader.join(WITHIN_S)


class Events(Stream):
    """Server-sent events."""

    def __init__(self, person: Person) -> None:
        self._http = httpx.Client(base_url=person.server.url, headers=person.headers, timeout=WITHIN_S)
        self._socket: socket.socket | None = None
        super().__init__(person)

    def _texts(self) -> Iterator[str]:
        with self._http.stream("GET", "/v1/friends/live/events") as answer:
            assert answer.status_code == 200, answer.read()
            self._socket = answer.extensions["network_stream"].get_extra_info("socket")
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    yield line.removeprefix("data: ")

    def close(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes the reader, which closes it
        self._reader.join(WITHIN_S)
        self._http.close()


def people(server: Server, count: int, prefix: str) -> list[Person]:
    """Accounts with a token each, made at the command line; each has looked at itself once."""
    arguments = ("--role", "person", "--count", str(count), "--prefix", prefix, "--data", str(server.data))
    lines = majung("user", "add-many", *arguments).splitlines()
    made = [Person(server, json.loads(line)) for line in lines]
    for person in made:
        person("GET", "/v1/friends/me")
    return made
