"""`docker.image`: an image on a server, pulled where it is not there. It stays for whoever wants it next."""

import asyncio
import json
import re
from datetime import timedelta
from typing import Annotated, ClassVar

import httpx
from pydantic import AfterValidator, Field

from provisioner.resources.docker.engine import Engine, plain
from provisioner.resources.docker.hosts import PACE, SERVER, Docker, target_of
from provisioner.resources.port import (
    Given,
    Gone,
    Health,
    NeedsOperator,
    Notes,
    NotReady,
    Outputs,
    Pace,
    Parameters,
    Permanent,
    Resource,
    Transient,
)

PULL_WITHIN = 1800.0  # seconds without a line from the engine's pull
AT_ONCE = 3.0  # seconds: a pull that takes longer is waited for without a worker
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*(?::[0-9]{1,5})?"
_TAG, _DIGEST = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", r"sha256:[0-9a-f]{64}"
_REFERENCE = re.compile(rf"(?:{_DIGEST}|((?:{_HOST}/)?{_PART}(?:/{_PART})*)(?::({_TAG}))?(?:@({_DIGEST}))?)")


def _reference(text: str) -> str:
    if len(text) > 255 or not _REFERENCE.fullmatch(text):
        raise ValueError("is no reference of an image")
    return text


Reference = Annotated[str, AfterValidator(_reference)]


async def image_id(engine: Engine, reference: str) -> str | None:
    """By content; None where the server does not have it."""
    answer = await engine.ask("GET", "images", *reference.split("/"), "json", expect={200, 404})
    return str(answer.json()["Id"]) if answer.status == 200 else None


async def present(engine: Engine, reference: str) -> str:
    """Its id, pulled where it is not there. Raises `NotReady` while that takes its time, for whoever asks meanwhile."""
    if found := await image_id(engine, reference):
        return found
    if reference not in engine.pulls:
        engine.pulls[reference] = asyncio.create_task(_pull(engine, reference), name="docker-pull")
    pull = engine.pulls[reference]
    await asyncio.wait([pull], timeout=AT_ONCE)
    if not pull.done():
        raise NotReady(f"{engine.name} is pulling the image", after=timedelta(seconds=5))
    engine.pulls.pop(reference, None)
    pull.result()
    if found := await image_id(engine, reference):
        return found
    raise Transient(f"{engine.name} has pulled the image, and does not have it")


async def _pull(engine: Engine, reference: str) -> None:
    """The engine says 200 first, and what went wrong in a later line."""
    found = _REFERENCE.fullmatch(reference)
    assert found is not None
    if found[1] is None:
        raise Permanent(f"{engine.name} does not have this image, and one without a name cannot be pulled")
    params = {"fromImage": found[1], "tag": found[3] or found[2] or "latest"}
    how = {"headers": engine.registries.headers(found[1]), "timeout": httpx.Timeout(30, read=PULL_WITHIN)}
    async with engine.stream("POST", "images", "create", params=params, **how) as response:
        async for line in response.aiter_lines():
            said = json.loads(line) if line.strip() else {}
            if "error" in said:
                raise _refused(engine, plain(str(said["error"])))


def _refused(engine: Engine, said: str) -> NeedsOperator | Transient:
    """A name or a right that is missing does not come by itself; a registry that is away does."""
    final = ("not found", "manifest unknown", "denied", "unauthorized", "authentication required", "no basic auth")
    if any(word in said.lower() for word in final):
        return NeedsOperator(f"{engine.name} cannot pull the image: {said}")
    return Transient(f"{engine.name} cannot pull the image: {said}", retry_after=timedelta(seconds=15))


class ImageParameters(Parameters):
    server: str = Field(pattern=SERVER)
    image: Reference


class DockerImage(Resource[ImageParameters]):
    Parameters = ImageParameters
    outputs = frozenset({"id", "server"})
    pace: ClassVar[Pace] = PACE
    patience = timedelta(hours=1)

    def __init__(self, given: Given[ImageParameters], tools: Docker) -> None:
        super().__init__(given, tools)
        self._docker = tools

    async def target(self, notes: Notes) -> str:  # noqa: ARG002 - the blueprint says where
        return target_of(self.parameters.server)

    async def ensure(self, notes: Notes) -> Outputs:  # noqa: ARG002
        engine = await self._docker.engine(self.parameters.server)
        return {"id": await present(engine, self.parameters.image), "server": self.parameters.server}

    async def probe(self, notes: Notes) -> Health:  # noqa: ARG002
        engine = await self._docker.engine(self.parameters.server)
        found = await image_id(engine, self.parameters.image)
        return Health(ok=found is not None, detail="" if found else "the image is gone from the server")

    async def destroy(self, notes: Notes) -> Gone:  # noqa: ARG002 - it belongs to all who use it
        return "not_found"
