"""With a certificate every door speaks TLS, and nothing else."""

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator

import grpc
import httpx
import pytest
import trustme

from majung_sdk import location_pb2
from tests.paths.grpc_client import SERVICE, metadata, position, status_of
from tests.server import START_WITHIN_S, Server

HEADER_TIMEOUT_S = 1


class Secured:
    """A server with a certificate for localhost, and who trusts it."""

    def __init__(self, server: Server, ca: trustme.CA) -> None:
        self.server = server
        self.roots = ca.cert_pem.bytes()
        self.context = ssl.create_default_context(cadata=self.roots.decode())
        self.https = f"https://localhost:{server.http_port}"
        self.grpc = f"localhost:{server.grpc_port}"

    def ready(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.https}/readyz", verify=self.context).status_code == 200
        return False


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("tls")
    ca = trustme.CA()
    issued = ca.issue_cert("localhost", "127.0.0.1")
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    sets = (f"server.tls_cert={cert}", f"server.tls_key={key}", f"server.header_timeout={HEADER_TIMEOUT_S}s")
    server = Server(folder / "data", sets)
    try:
        one = Secured(server.start(wait=False), ca)
        deadline = time.monotonic() + START_WITHIN_S
        while not one.ready():
            assert time.monotonic() < deadline, server.tail()
            time.sleep(0.05)
        yield one
    finally:
        if server.process is not None:
            assert server.stop() == 0, server.tail()


def test_https_signs_in_and_reads(secured: Secured) -> None:
    with httpx.Client(base_url=secured.https, verify=secured.context) as client:
        form = {"grant_type": "password", "username": "admin", "password": secured.server.admin_password}
        token = client.post("/v1/oauth/token", data=form).raise_for_status().json()["access_token"]
        assert client.get("/v1/stats", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_a_secure_channel_reports(secured: Secured) -> None:
    token = secured.server.add_device("secured")["token"]
    with grpc.secure_channel(secured.grpc, grpc.ssl_channel_credentials(secured.roots)) as channel:
        method = channel.stream_unary(f"{SERVICE}/StreamPositions")
        answer = method(iter([position(1), position(2)]), metadata=metadata(token), timeout=60)
    assert location_pb2.StreamAck.FromString(answer).last_acked_seq == 2


def test_whoever_does_not_know_the_certificate_is_not_served(secured: Secured) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{secured.https}/healthz")


def test_plaintext_is_refused(secured: Secured) -> None:
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://localhost:{secured.server.http_port}/healthz")
    token = secured.server.add_device("careless")["token"]
    assert status_of(secured.grpc, token, [position(1)])[0] == "UNAVAILABLE"


@pytest.mark.parametrize("door", ["http", "grpc"])
def test_a_handshake_that_does_not_go_on_is_ended(secured: Secured, door: str) -> None:
    port = secured.server.http_port if door == "http" else secured.server.grpc_port
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.settimeout(30)
        sock.sendall(b"\x16\x03\x01")  # the begin of a ClientHello
        with contextlib.suppress(ConnectionError):
            while sock.recv(4096):
                pass
