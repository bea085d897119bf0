"""Which kinds of resource and which setup calls there are, each with the tools that its target needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from provisioner.resources.dns import Dns, Zone
from provisioner.resources.dns_domain import Domain
from provisioner.resources.dns_records import Records
from provisioner.resources.docker.container import DockerContainer
from provisioner.resources.docker.exec import DockerExec, DockerSetup
from provisioner.resources.docker.hosts import Docker
from provisioner.resources.docker.images import DockerImage
from provisioner.resources.docker.network import DockerNetwork
from provisioner.resources.docker.place import DockerPlace
from provisioner.resources.docker.volume import DockerVolume
from provisioner.resources.http import HttpCall, HttpCheck, HttpSetup
from provisioner.resources.local import Local, LocalProcess
from provisioner.resources.nginx import NginxSite
from provisioner.resources.nginx_server import Nginx
from provisioner.resources.port import Given, Resource, Room, SetupCall
from provisioner.resources.tls import Certificate, Tls

ResourceClass = type[Resource[Any]]
SetupClass = type[SetupCall[Any]]


@dataclass(frozen=True)
class Kinds:
    """`tools`: what a class of this target is built with: a client, a folder, credentials."""

    resources: Mapping[str, ResourceClass]
    setup: Mapping[str, SetupClass]
    tools: Mapping[str, Any]

    def resource(self, kind: str, given: Given[Any]) -> Resource[Any]:
        return self.resources[kind](given, self.tools.get(kind.partition(".")[0]))

    async def has_room(self, kind: str, parameters: Mapping[str, Any], room: Room) -> bool:
        return await self.resources[kind].has_room(parameters, room, self.tools.get(kind.partition(".")[0]))

    def call(self, kind: str, given: Given[Any]) -> SetupCall[Any]:
        return self.setup[kind](given, self.tools.get(kind.partition(".")[0]))


def kinds(
    client: httpx.AsyncClient,
    local: Local,
    *,
    dns: Dns | None = None,
    tls: Tls | None = None,
    docker: Docker | None = None,
    nginx: Nginx | None = None,
) -> Kinds:
    """All kinds of this release. Without a target's tools its recipes can be checked, and not made."""
    return Kinds(
        resources={
            "local.process": LocalProcess,
            "http.check": HttpCheck,
            "http.call": HttpCall,
            "dns.zone": Zone,
            "dns.records": Records,
            "dns.domain": Domain,
            "tls.certificate": Certificate,
            "docker.place": DockerPlace,
            "docker.image": DockerImage,
            "docker.network": DockerNetwork,
            "docker.volume": DockerVolume,
            "docker.container": DockerContainer,
            "docker.exec": DockerExec,
            "nginx.site": NginxSite,
        },
        setup={"http.call": HttpSetup, "docker.exec": DockerSetup},
        tools={"local": local, "http": client, "dns": dns, "tls": tls, "docker": docker, "nginx": nginx},
    )
