"""A real Mosquitto with the configuration and the access list that Majung ships, and phones that talk to it."""

import contextlib
import json
import queue
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import trustme
from paho.mqtt.enums import CallbackAPIVersion

from tests.server import free_port

SHIPPED = Path(__file__).resolve().parent.parent / "deploy" / "mosquitto"
PATIENCE_S = 60.0
PASSWORD = "only-for-tests"


class Broker:
    """One `mosquitto`. `start` may be called again after `stop` or `kill`: ports and files stay."""

    def __init__(self, program: str, folder: Path, users: tuple[str, ...]) -> None:
        self.program = program
        self.folder = folder
        self.port, self.tls_port = free_port(), free_port()
        self.ca = folder / "ca.pem"
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._certificate()
        self._passwords(("majung", *users))
        shutil.copy(SHIPPED / "acl", folder / "acl")
        (folder / "acl").chmod(0o600)
        self.config = folder / "mosquitto.conf"
        self.config.write_text(self._shipped_config())

    def _shipped_config(self) -> str:
        text = (SHIPPED / "mosquitto.conf").read_text()
        for was, now in (
            ("/etc/mosquitto/majung/", f"{self.folder}/"),
            ("/var/lib/mosquitto/", f"{self.folder}/"),
            ("listener 1883 127.0.0.1", f"listener {self.port} 127.0.0.1"),
            ("listener 8883", f"listener {self.tls_port} 127.0.0.1"),
        ):
            assert was in text, f"the shipped configuration has no {was!r}"
            text = text.replace(was, now)
        return f"{text}\nuser root\n"

    def _certificate(self) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca)
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        certificate.private_key_pem.write_to_path(self.folder / "privkey.pem")
        for part in certificate.cert_chain_pems:
            part.write_to_path(self.folder / "fullchain.pem", append=True)

    def _passwords(self, users: tuple[str, ...]) -> None:
        path = self.folder / "passwords"
        path.write_text("".join(f"{user}:{PASSWORD}\n" for user in users))
        path.chmod(0o600)
        subprocess.run(["mosquitto_passwd", "-U", str(path)], check=True, capture_output=True)

    def url(self, tls: bool = False) -> str:
        """As `mqtt.url` has it."""
        if tls:
            return f"mqtts://majung:{PASSWORD}@localhost:{self.tls_port}"
        return f"mqtt://majung:{PASSWORD}@127.0.0.1:{self.port}"

    def start(self) -> "Broker":
        with (self.folder / "broker.log").open("ab") as output:
            self.process = subprocess.Popen(
                [self.program, "-c", str(self.config)], stdout=output, stderr=output, start_new_session=True
            )
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.tail()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return self
            time.sleep(0.02)
        raise AssertionError(f"mosquitto does not listen:\n{self.tail()}")

    def stop(self) -> None:
        """SIGTERM: it writes down what it keeps."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait(PATIENCE_S)

    def tail(self) -> str:
        return (self.folder / "broker.log").read_text(errors="replace")[-3000:]


@contextlib.contextmanager
def start_broker(program: str, folder: Path, *users: str) -> Iterator[Broker]:
    """A running broker with these users (and majung)."""
    broker = Broker(program, folder, users)
    try:
        yield broker.start()
    finally:
        if broker.process is not None and broker.process.poll() is None:
            broker.stop()


class Phone:
    """An OwnTracks app: publishes to owntracks/USER/DEVICE, reads friends/USER/…"""

    def __init__(self, broker: Broker, user: str, device: str = "phone", clean: bool = True) -> None:
        self.user = user
        self.topic = f"owntracks/{user}/{device}"
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.granted: queue.Queue[list[Any]] = queue.Queue()
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{user}-{device}",
            protocol=paho.MQTTv311,
            clean_session=clean,
        )
        self.client.username_pw_set(user, PASSWORD)
        self.client.on_message = lambda _c, _u, message: self.heard.put(
            (message.topic, bytes(message.payload))
        )
        self.client.on_subscribe = lambda _c, _u, _mid, codes, _p: self.granted.put(list(codes))
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()

    def publish(
        self, payload: bytes | dict[str, Any], qos: int = 1, topic: str = "", retain: bool = False
    ) -> None:
        """Returns when the broker has it (QoS 1)."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        sent = self.client.publish(topic or self.topic, body, qos, retain)
        sent.wait_for_publish(PATIENCE_S)
        assert sent.is_published()

    def subscribe(self, *topics: str, qos: int = 1) -> None:
        self.client.subscribe([(topic, qos) for topic in topics])
        self.granted.get(timeout=PATIENCE_S)

    def read_friends(self) -> None:
        self.subscribe(f"friends/{self.user}/+", f"friends/{self.user}/+/info")

    def next(self) -> tuple[str, Any]:
        """The next message: its topic, and what it says (None: nothing, which takes a friend away)."""
        topic, payload = self.heard.get(timeout=PATIENCE_S)
        return topic, json.loads(payload) if payload else None

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def __enter__(self) -> "Phone":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def fix(latitude: float, longitude: float, tst: int | None = None, **more: Any) -> dict[str, Any]:
    """What the Android app publishes."""
    return {
        "_type": "location",
        "_id": "c5bf0e62",
        "acc": 12,
        "alt": 38,
        "batt": 93,
        "bs": 1,
        "conn": "m",
        "created_at": tst or int(time.time()),
        "lat": latitude,
        "lon": longitude,
        "m": 1,
        "t": "u",
        "tid": "ph",
        "tst": tst or int(time.time()),
        "vel": 0,
        **more,
    }


def figure(text: str, name: str) -> float:
    """A value of `/metrics`, by its name with labels."""
    for line in text.splitlines():
        if line.startswith(f"{name} "):
            return float(line.rpartition(" ")[2])
    raise AssertionError(f"no figure {name} in\n{text}")
