"""The doctor finds what was planted, and says what to mend."""

import socket
import sqlite3
from pathlib import Path

import trustme

from majung.doctor import Finding, Verdict, findings
from majung.settings import load


def named(found: list[Finding], what: str) -> list[Finding]:
    return [finding for finding in found if finding.what == what]


def test_an_empty_folder_is_fine(tmp_path: Path) -> None:
    found = findings(
        load(tmp_path / "new", flags={"server.http": "127.0.0.1:0", "server.grpc": "127.0.0.1:0"})
    )
    assert not [finding for finding in found if finding.verdict is Verdict.BAD]


def test_a_folder_that_others_can_read(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    [finding, *_] = named(findings(load(tmp_path)), "data folder")
    assert finding.verdict is Verdict.WARN
    assert "chmod 700" in finding.mend


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "good.db") as db:
        db.execute("CREATE TABLE t (a)")
    (tmp_path / "broken.db").write_bytes(b"this is not a database" * 100)
    [finding] = named(findings(load(tmp_path)), "data file")
    assert finding.verdict is Verdict.BAD
    assert "broken.db" in finding.detail


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        [finding] = named(findings(load(tmp_path, flags={"server.http": address})), "http address")
    assert finding.verdict is Verdict.WARN
    assert "--http" in finding.mend


def test_a_public_address_without_tls(tmp_path: Path) -> None:
    [finding] = named(findings(load(tmp_path, flags={"server.grpc": "0.0.0.0:0"})), "grpc address")
    assert "TLS" in finding.detail


def test_certificate_and_key_that_belong_together_or_not(tmp_path: Path) -> None:
    authority = trustme.CA()
    one, other = authority.issue_cert("localhost"), authority.issue_cert("localhost")
    cert, key, stranger = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "stranger.pem"
    one.cert_chain_pems[0].write_to_path(cert)
    one.private_key_pem.write_to_path(key)
    other.private_key_pem.write_to_path(stranger)

    def tls(key_path: Path) -> Finding:
        flags = {"server.tls_cert": str(cert), "server.tls_key": str(key_path)}
        return named(findings(load(tmp_path, flags=flags)), "TLS")[0]

    assert tls(key).verdict is Verdict.GOOD
    assert tls(stranger).verdict is Verdict.BAD
    assert tls(tmp_path / "none.pem").verdict is Verdict.BAD
