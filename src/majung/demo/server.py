"""What the demo asks its server, as anybody would over HTTP."""

import time
from typing import Any

import httpx

_RENEW_BEFORE_S = 60.0


class Account:
    """Somebody who is signed in."""

    def __init__(self, base: str, name: str, password: str) -> None:
        self._http = httpx.Client(base_url=base, timeout=10)
        self._form = {"grant_type": "password", "username": name, "password": password}
        self._token = ""
        self._ends_s = 0.0

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of the answer, None without any. Raises httpx.HTTPError."""
        if time.monotonic() > self._ends_s:
            answer = self._http.post("/v1/oauth/token", data=self._form).raise_for_status().json()
            self._token = answer["access_token"]
            self._ends_s = time.monotonic() + answer["expires_in"] - _RENEW_BEFORE_S
        headers = {"Authorization": f"Bearer {self._token}"}
        answer = self._http.request(method, path, headers=headers, json=body).raise_for_status()
        return answer.json() if answer.content else None


def ready(base: str) -> bool:
    """Whether `/readyz` says so."""
    try:
        return httpx.get(f"{base}/readyz", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
