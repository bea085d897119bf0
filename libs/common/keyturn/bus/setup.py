"""Give a broker its users and its definitions, through the management API: `python -m keyturn.bus.setup FILE`.

Users come first, because the definitions give them their rights; their passwords come from the environment and are in
no file. Repeating it changes nothing, except that a new password in the environment takes the old one's place.

Environment: BUS_ADMIN_URL (http://admin:password@rabbitmq:15672), and <SERVICE>_BUS_PASSWORD for each service.
"""

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx

from keyturn.bus.topology import MONITORING
from keyturn.settings import PLACEHOLDER

WAIT_SECONDS = 120.0
ADMIN_URL = "BUS_ADMIN_URL"


def set_up(client: httpx.Client, definitions: Mapping[str, Any], passwords: Mapping[str, str]) -> None:
    """`client` has the management API as its base URL. Raises `httpx.HTTPStatusError` with what the broker refused."""
    for user, password in passwords.items():
        tags = "monitoring" if user == MONITORING else ""
        _done(client.put(f"/api/users/{user}", json={"password": password, "tags": tags}))
    _done(client.post("/api/definitions", json=dict(definitions)))


def _done(response: httpx.Response) -> None:
    if response.is_error:
        # The broker's reason, without the request's body: that holds a password.
        reason = f"{response.status_code} for {response.request.url.path}: {response.text[:500]}"
        raise httpx.HTTPStatusError(reason, request=response.request, response=response)


def users_of(definitions: Mapping[str, Any]) -> list[str]:
    """Everybody whom the definitions give rights, and the user that dashboards read with."""
    return [*(permission["user"] for permission in definitions["permissions"]), MONITORING]


def passwords_of(environment: Mapping[str, str], users: Iterable[str]) -> dict[str, str]:
    """Each user's password. Ends the program, naming the variables, where one is still an example's."""
    variables = {user: f"{user.upper()}_BUS_PASSWORD" for user in users}
    kept = [name for name in (*variables.values(), ADMIN_URL) if PLACEHOLDER in environment[name].lower()]
    if kept:
        sys.exit(f"still a placeholder: {', '.join(kept)}")
    return {user: environment[variable] for user, variable in variables.items()}


def _wait(client: httpx.Client) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            _done(client.get("/api/overview"))
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
        else:
            return


def main() -> None:
    definitions = json.loads(Path(sys.argv[1]).read_text())
    passwords = passwords_of(os.environ, users_of(definitions))
    patient = httpx.Timeout(WAIT_SECONDS, connect=10)  # a busy broker declares slowly
    with httpx.Client(base_url=os.environ[ADMIN_URL], timeout=patient) as client:
        _wait(client)
        set_up(client, definitions, passwords)


if __name__ == "__main__":
    main()
