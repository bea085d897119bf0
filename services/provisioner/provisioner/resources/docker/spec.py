"""What a container is to be: a blueprint's parameters, and the engine's words for them.

Hardened unless the blueprint says otherwise: not root, no new privileges, no capabilities, a root that cannot be
written, and limits to memory, processors and processes.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from provisioner.resources.docker.hosts import SERVER
from provisioner.resources.docker.images import Reference
from provisioner.resources.docker.place import Cpus, LabelName, Size
from provisioner.resources.port import Parameters

NOBODY = "65534:65534"
SECOND = 10**9  # the engine counts in nanoseconds
NAME = r"^kt-[0-9a-f]{16}-[a-z0-9-]{1,32}$"  # of what is ours: `Given.slug`
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
Folder = Annotated[str, Field(pattern=r"^(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}){1,10}$")]
User = Annotated[str, Field(pattern=r"^[a-z0-9_][a-z0-9_-]{0,31}(:[a-z0-9_][a-z0-9_-]{0,31})?$")]
Capability = Literal[
    "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETPCAP", "SETUID",
]  # fmt: skip


def _text(said: str) -> str:
    if "\0" in said:
        raise ValueError("no program can be given this character")
    return said


def _secret(said: SecretStr) -> SecretStr:
    _text(said.get_secret_value())
    return said


Argument = Annotated[str, AfterValidator(_text)]
Value = Annotated[SecretStr, AfterValidator(_secret)]


class Limits(Parameters):
    memory: Size
    cpus: Cpus
    pids: int = Field(default=256, ge=8, le=100_000)


class Health(Parameters):
    """Asked by us over the published port (`path`, 2xx and 3xx are well), or by the engine inside (`argv`). Times in
    seconds. `start_period`: no failure counts before; after that, `retries` in a row do."""

    path: Annotated[str, Field(pattern=r"^/[A-Za-z0-9._~/?=&%-]{0,500}$")] | None = None
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,253}$")] | None = None
    argv: list[Argument] | None = Field(default=None, min_length=1, max_length=50)
    interval: float = Field(default=10, ge=1, le=3600)
    timeout: float = Field(default=3, ge=1, le=60)
    start_period: float = Field(default=30, ge=0, le=3600)
    retries: int = Field(default=3, ge=1, le=100)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.path is None) == (self.argv is None):
            raise ValueError("either `path` or `argv`")
        return self


class ContainerParameters(Parameters):
    """`server` and `network`: left out, the container takes a place and a network of its own."""

    image: Reference
    limits: Limits
    server: str | None = Field(default=None, pattern=SERVER)
    labels: dict[LabelName, str] = Field(default_factory=dict)
    network: str | None = Field(default=None, pattern=NAME)
    argv: list[Argument] = Field(default_factory=list, max_length=50)
    env: dict[Variable, Value] = Field(default_factory=dict)
    port: int | None = Field(default=None, ge=1, le=65535)
    volumes: dict[Folder, Annotated[str, Field(pattern=NAME)]] = Field(default_factory=dict)
    tmpfs: dict[Folder, Size] = Field(default_factory=lambda: {"/tmp": 64 * 1024**2})  # noqa: S108 - in the container
    health: Health | None = None
    restart: Literal["unless-stopped", "no"] = "unless-stopped"  # any other revives what was suspended
    stop_seconds: int = Field(default=10, ge=0, le=300)
    user: User = NOBODY
    read_only: bool = True
    new_privileges: bool = False
    capabilities: list[Capability] = Field(default_factory=list)


@dataclass(frozen=True)
class Spec:
    """`sha256`: of everything that only a new container can change. `limits`: what a running one can be given."""

    body: Mapping[str, Any]
    limits: Mapping[str, Any]
    sha256: str


def spec(wanted: ContainerParameters, network: str, published: tuple[str, int] | None, alias: str) -> Spec:
    """`published`: the address and port of the host."""
    limits = {
        "Memory": wanted.limits.memory,
        "MemorySwap": wanted.limits.memory,  # the same: no swap
        "NanoCpus": round(wanted.limits.cpus * SECOND),
        "PidsLimit": wanted.limits.pids,
        "RestartPolicy": {"Name": wanted.restart, "MaximumRetryCount": 0},
    }
    body: dict[str, Any] = {
        "Image": wanted.image,
        "User": wanted.user,
        "Env": [f"{name}={value.get_secret_value()}" for name, value in sorted(wanted.env.items())],
        "StopTimeout": wanted.stop_seconds,
        "HostConfig": _host(wanted, network),
        "NetworkingConfig": {"EndpointsConfig": {network: {"Aliases": [alias]}}},
    }
    if wanted.argv:
        body["Cmd"] = wanted.argv
    if wanted.health and wanted.health.argv:
        body["Healthcheck"] = _healthcheck(wanted.health)
    if wanted.port and published:
        inside = f"{wanted.port}/tcp"
        body["ExposedPorts"] = {inside: {}}
        # Without an address the port would be open to the world, past most firewalls.
        body["HostConfig"]["PortBindings"] = {inside: [{"HostIp": published[0], "HostPort": str(published[1])}]}
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return Spec(body, limits, digest)


def _host(wanted: ContainerParameters, network: str) -> dict[str, Any]:
    return {
        "Init": True,
        "NetworkMode": network,
        "ReadonlyRootfs": wanted.read_only,
        "CapDrop": ["ALL"],
        "CapAdd": sorted(wanted.capabilities),
        "SecurityOpt": [] if wanted.new_privileges else ["no-new-privileges:true"],
        "Tmpfs": {path: f"rw,noexec,nosuid,nodev,size={size}" for path, size in sorted(wanted.tmpfs.items())},
        "Mounts": [{"Type": "volume", "Source": name, "Target": path} for path, name in sorted(wanted.volumes.items())],
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
    }


def _healthcheck(health: Health) -> dict[str, Any]:
    return {
        "Test": ["CMD", *(health.argv or [])],
        "Interval": round(health.interval * SECOND),
        "Timeout": round(health.timeout * SECOND),
        "StartPeriod": round(health.start_period * SECOND),
        "Retries": health.retries,
    }
