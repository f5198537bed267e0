"""`majung simulate --friends` against a real server: they join by themselves, ask somebody, and see each other."""

import json
import subprocess
import sys

import pytest

from tests.friends_kit import people
from tests.server import Server


@pytest.mark.slow
def test_friends_walk_through_the_real_doors(server: Server) -> None:
    [free] = people(server, 1, "free-")
    accounts = server.data.parent / "people.jsonl"
    made = people(server, 6, "walker-")
    accounts.write_text(
        "\n".join(json.dumps({"name": one.name, "role": "person", "token": one.token}) for one in made)
    )
    command = [sys.executable, "-m", "majung", "simulate", "--friends", "6", "--http", server.url]
    command += ["--accounts", str(accounts), "--ask", free.name, "--rate-s", "0.5", "--seconds", "6"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "people 6, friendships 15" in done.stdout
    assert "came near" in done.stdout
    incoming = free("GET", "/v1/friends/requests")["incoming"]
    assert {one["person_id"] for one in incoming} == {one.id for one in made}
    assert {len(one("GET", "/v1/friends")["friends"]) for one in made} == {5}
    modes = {one("GET", "/v1/friends/me")["sharing"]["mode"] for one in made}
    assert modes == {"exact", "blurred"}
    server.wait_processed()
    assert server.stats()["riders"] == 0, "people are no riders"
