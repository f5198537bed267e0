"""An HTTPS server in this process that keeps what it is sent: a push service or a webhook for tests."""

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Received:
    """One request. Names of headers are lower case; `at_s` is `time.time()`."""

    path: str
    headers: dict[str, str]
    body: bytes
    at_s: float


@dataclass(frozen=True)
class Reply:
    status: int = 201
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    after_s: float = 0.0


class Receiver:
    """`reply(received)` says what is answered; everything is in `received`, in the order of arrival."""

    def __init__(self, ca: trustme.CA, reply: Callable[[Received], Reply] | None = None) -> None:
        self.received: list[Received] = []
        self.reply = reply or (lambda _: Reply())
        self.connections = 0
        self.ca = ca
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("localhost").configure_cert(context)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                outer.connections += 1

            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", 0))
                body = self.rfile.read(length)
                if len(body) < length:  # whoever sent it has died
                    self.close_connection = True
                    return
                headers = {name.lower(): value for name, value in self.headers.items()}
                got = Received(self.path, headers, body, time.time())
                outer.received.append(got)
                reply = outer.reply(got)
                time.sleep(reply.after_s)
                self.send_response(reply.status)
                for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body)

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def get_request(self) -> tuple[ssl.SSLSocket, object]:
                # The handshake waits for the thread of the connection, so that none holds up the next.
                plain, address = super().get_request()
                secured = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
                return secured, address

            def handle_error(self, *_: object) -> None:
                pass

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"https://localhost:{self._server.server_address[1]}"

    def trust(self, folder: Path) -> dict[str, str]:
        """The environment of a process that trusts this receiver."""
        file = folder / "receiver-ca.pem"
        file.write_bytes(self.ca.cert_pem.bytes())
        return {"SSL_CERT_FILE": str(file)}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def receiving(
    reply: Callable[[Received], Reply] | None = None, ca: trustme.CA | None = None
) -> Iterator[Receiver]:
    receiver = Receiver(ca or trustme.CA(), reply)
    try:
        yield receiver
    finally:
        receiver.close()


def wait_for(condition: Callable[[], object], within_s: float = 60.0) -> None:
    """Until it is true; fails when it never is."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.01)
