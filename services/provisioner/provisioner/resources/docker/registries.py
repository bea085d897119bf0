"""Who we are to the registries that images are pulled from: a file as `docker login` writes it."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from provisioner.resources.port import NeedsOperator

HUB = "https://index.docker.io/v1/"


@dataclass(frozen=True)
class Registries:
    """`file`: read at each pull, so that a new login counts at once. None: nobody."""

    file: Path | None = None

    def headers(self, image: str) -> dict[str, str]:
        """What the engine hands on to the registry of this image. Raises `NeedsOperator` for a file that is none."""
        if self.file is None:
            return {}
        try:
            known = json.loads(self.file.read_text()).get("auths", {})
            registry = _registry(image)
            user, _, password = base64.b64decode(known[registry]["auth"], validate=True).decode().partition(":")
        except KeyError:
            return {}
        except (OSError, ValueError, AttributeError, TypeError):
            raise NeedsOperator("the file of DOCKER_LOGINS cannot be read as `docker login` writes it") from None
        said = json.dumps({"username": user, "password": password, "serveraddress": registry})
        return {"x-registry-auth": base64.urlsafe_b64encode(said.encode()).decode()}


def _registry(image: str) -> str:
    first, slash, _ = image.partition("/")
    named = slash and ("." in first or ":" in first or first == "localhost")
    return first if named else HUB
