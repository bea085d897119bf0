"""The engine of one host: its HTTP API over a Unix socket, in a version that both sides know.

Every call may be repeated: what is made has a name derived from the install. What the engine says no to is classified
here once, so that the kinds beside this file deal with the answers that mean something to them.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Container, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from keyturn import failpoints
from provisioner.resources.docker.registries import Registries
from provisioner.resources.port import NeedsOperator, Permanent, Transient

OLDEST, NEWEST = (1, 41), (1, 52)  # what we were written for; between them nothing that we use has changed
WITHIN = 30.0  # seconds for an answer, where nothing is pulled, stopped or run
LONGEST = 300  # characters of the engine's own words


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = field(repr=False)
    date: str = ""  # the host's own time

    def json(self) -> Any:
        return json.loads(self.body) if self.body else None

    @property
    def words(self) -> str:
        """What the engine says of an error, without what is no text."""
        try:
            said = str(self.json()["message"])
        except (ValueError, KeyError, TypeError):
            said = ""
        return plain(said) or f"answered {self.status}"


class Engine:
    """`name`: of the server, for people."""

    def __init__(self, name: str, client: httpx.AsyncClient, registries: Registries | None = None) -> None:
        self.name = name
        self.registries = registries or Registries()
        self._client = client
        self._version: str | None = None
        self._asking = asyncio.Lock()
        self.pulls: dict[str, asyncio.Task[None]] = {}  # under way, by image: whoever else wants it waits for the same

    async def ask(
        self,
        method: str,
        *path: str,
        expect: Container[int],
        body: Any = None,
        params: Mapping[str, str | int] | None = None,
        wait: float = WITHIN,
    ) -> Answer:
        """One call. Raises for an answer that is not expected: `Permanent` where we are to blame, else `Transient`."""
        sent = {"content": body} if isinstance(body, bytes) else {"json": body} if body is not None else {}
        for attempt in (1, 2):
            version = await self._negotiated()
            response = await self._send(method, _address(version, path), params=params, timeout=wait, **sent)
            answer = Answer(response.status_code, response.content, response.headers.get("date", ""))
            if answer.status == 400 and "client version" in answer.words and attempt == 1:
                self._version = None  # another engine listens there now
                continue
            break
        if answer.status in expect:
            return answer
        raise self.refusal(answer)

    async def close(self) -> None:
        for pull in self.pulls.values():
            pull.cancel()
        await self._client.aclose()

    async def change(self, step: str, method: str, *path: str, **how: Any) -> Answer:
        """A call that changes something: tests kill us around it."""
        await failpoints.hit(f"provisioner.docker.{step}.before")
        answer = await self.ask(method, *path, **how)
        await failpoints.hit(f"provisioner.docker.{step}.after")
        return answer

    @asynccontextmanager
    async def stream(
        self, method: str, *path: str, params: Mapping[str, str] | None = None, body: Any = None, **how: Any
    ) -> AsyncIterator[httpx.Response]:
        """An answer that comes in parts."""
        address = _address(await self._negotiated(), path)
        try:
            async with self._client.stream(method, address, params=params, json=body, **how) as response:
                if response.status_code >= 400:
                    raise self.refusal(Answer(response.status_code, await response.aread()))
                yield response
        except httpx.TransportError as error:
            raise self._away(error) from None

    def refusal(self, answer: Answer) -> Permanent | Transient:
        if answer.status >= 500:
            return Transient(f"the engine of {self.name} failed: {answer.words}")
        return Permanent(f"the engine of {self.name} refused: {answer.words}")

    async def _negotiated(self) -> str:
        if self._version is None:
            async with self._asking:
                if self._version is None:
                    self._version = self._common(await self._send("GET", "/version", timeout=WITHIN))
        return self._version

    def _common(self, response: httpx.Response) -> str:
        """The newest version that both know."""
        try:
            said = response.json()
            most, least = _version(said["ApiVersion"]), _version(said["MinAPIVersion"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise NeedsOperator(f"what listens at the address of {self.name} is no Docker engine") from None
        if most < OLDEST:
            raise NeedsOperator(
                f"the engine of {self.name} is too old: it speaks API {_text(most)}, not {_text(OLDEST)}"
            )
        if least > NEWEST:
            raise NeedsOperator(
                f"the engine of {self.name} is too new: it wants API {_text(least)}, not {_text(NEWEST)}"
            )
        return _text(min(most, NEWEST))

    async def _send(self, method: str, address: str, **how: Any) -> httpx.Response:
        try:
            return await self._client.request(method, address, **how)
        except httpx.TransportError as error:
            raise self._away(error) from None

    def _away(self, error: httpx.TransportError) -> Transient:
        self._version = None  # whoever answers next may be another version
        return Transient(f"the engine of {self.name} does not answer: {type(error).__name__}")


def plain(said: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in said[:LONGEST]).split())


def _address(version: str, path: tuple[str, ...]) -> str:
    """Whatever stands in a part of the path stays in it."""
    return f"/v{version}/" + "/".join(quote(part, safe="") for part in path)


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)


def _text(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
