"""Where calls to addresses of others may go, and how they end."""

import asyncio
import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from majung.outward import NotAllowed, Outward, Unreachable, is_allowed, networks_of
from majung.settings import OutwardSettings
from tests.receiver import Received, Receiver, Reply, receiving


@pytest.fixture
def receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as made:
        for name, value in made.trust(tmp_path).items():
            monkeypatch.setenv(name, value)
        yield made


def outward(networks: str = "127.0.0.0/8, ::1/128", timeout: str = "10s") -> Outward:
    return Outward(OutwardSettings.model_validate({"allow_networks": networks, "timeout": timeout}))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
    ],
)
def test_nothing_private_is_called(address: str) -> None:
    assert not is_allowed(ipaddress.ip_address(address), ())


@pytest.mark.parametrize("address", ["1.1.1.1", "142.250.1.1", "2606:4700::1111", "64:ff9b::101:101"])
def test_public_addresses_are(address: str) -> None:
    assert is_allowed(ipaddress.ip_address(address), ())
    assert not is_allowed(ipaddress.ip_address(address), (), private_only=True)


def test_networks_can_be_opened() -> None:
    networks = networks_of("10.0.0.0/8, fd00::/8")
    assert is_allowed(ipaddress.ip_address("10.9.9.9"), networks, private_only=True)
    assert is_allowed(ipaddress.ip_address("::ffff:10.9.9.9"), networks)
    assert not is_allowed(ipaddress.ip_address("192.168.0.1"), networks)
    with pytest.raises(ValidationError):
        OutwardSettings.model_validate({"allow_networks": "the office"})


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "https://",
        "https://user:pw@example.com/",
        "https://user@example.com/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://exam ple.com/",
        "https://example.com/\r\nX: y",
        "https://예시.kr/",
        "https://example.com/" + "a" * 2000,
        "javascript:alert(1)",
        "",
    ],
)
def test_urls_that_are_refused_unseen(url: str) -> None:
    with pytest.raises(ValueError):
        outward(networks="").check_url(url)


def test_urls_that_may_be() -> None:
    outward(networks="").check_url("https://fcm.googleapis.com/fcm/send/abc:def")
    outward().check_url("http://127.0.0.1:8000/hook")


async def test_a_call_is_answered(receiver: Receiver) -> None:
    receiver.reply = lambda _: Reply(202, {"Retry-After": "7"}, b"x" * 100_000)
    calls = outward()
    answer = await calls.post(f"{receiver.url}/a?b=c", {"TTL": "60"}, b"body", most_bytes=50)
    await calls.close()
    assert (answer.status, answer.headers["retry-after"], answer.body) == (202, "7", b"x" * 50)
    got = receiver.received[0]
    assert (got.path, got.body, got.headers["ttl"]) == ("/a?b=c", b"body", "60")
    assert got.headers["host"] == receiver.url.removeprefix("https://")


async def test_connections_are_kept(receiver: Receiver) -> None:
    calls = outward()
    for _ in range(5):
        await calls.post(receiver.url, {}, b"")
    await calls.close()
    assert receiver.connections == 1


async def test_names_that_lead_inside_are_refused(receiver: Receiver) -> None:
    calls = outward(networks="")
    with pytest.raises(NotAllowed):
        await calls.post(receiver.url, {}, b"")  # localhost
    with pytest.raises(NotAllowed):
        await calls.post(receiver.url.replace("localhost", "127.1"), {}, b"")
    await calls.close()
    assert receiver.connections == 0


async def test_a_name_cannot_change_its_mind(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judged once, connected to what was judged: the second answer of the resolver is never asked for."""
    asked: list[str] = []

    async def resolve(host: Any, port: Any, **_: Any) -> list[Any]:
        asked.append(str(host))
        address = "127.0.0.1" if len(asked) == 1 else "10.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    calls = outward("127.0.0.0/8")
    assert (await calls.post(receiver.url, {}, b"")).status == 201
    await calls.close()
    assert asked == ["localhost"]


async def test_one_bad_address_spoils_a_name(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(host: Any, port: Any, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in ("127.0.0.1", "10.0.0.1")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    calls = outward("127.0.0.0/8")
    with pytest.raises(NotAllowed):
        await calls.post(receiver.url, {}, b"")
    await calls.close()


async def test_a_certificate_of_another_name_is_not_taken(receiver: Receiver) -> None:
    calls = outward()
    with pytest.raises(Unreachable):
        await calls.post(receiver.url.replace("localhost", "127.0.0.1"), {}, b"")
    await calls.close()


async def test_who_is_slow_or_gone_is_unreachable(receiver: Receiver) -> None:
    receiver.reply = lambda _: Reply(after_s=2)
    calls = outward(timeout="200ms")
    with pytest.raises(Unreachable, match=r"within 0\.2 s"):
        await calls.post(receiver.url, {}, b"")
    with pytest.raises(Unreachable):
        await calls.post("https://localhost:1/", {}, b"")
    with pytest.raises(Unreachable):
        await calls.post("https://no-such-name.invalid/", {}, b"")
    await calls.close()


async def test_redirects_are_not_followed(receiver: Receiver) -> None:
    def send_on(got: Received) -> Reply:
        return Reply(302, {"Location": f"{receiver.url}/elsewhere"})

    receiver.reply = send_on
    calls = outward()
    assert (await calls.post(f"{receiver.url}/first", {}, b"")).status == 302
    await calls.close()
    assert [got.path for got in receiver.received] == ["/first"]
