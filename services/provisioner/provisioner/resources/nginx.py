"""`nginx.site`: a host name under which an install is reached, over TLS, through the nginx on this machine."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from provisioner.errors import NameConflictError
from provisioner.resources.nginx_config import USUAL_SIZE
from provisioner.resources.nginx_server import Applied, Nginx
from provisioner.resources.nginx_sites import CertificatePath, HostName, Site, Size, Upstream
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
    Room,
)

OURS_TO_SAY = frozenset({"upstream", "certificate", "certificate_key"})  # never a customer's words


class SiteParameters(Parameters):
    """`domains`: further names of the same site, under the same certificate; empty ones are left out. Without a
    certificate of its own it is shown the wildcard's."""

    hostname: HostName
    domains: list[HostName | Literal[""]] = Field(default_factory=list, max_length=20)
    upstream: Upstream
    body_size: Size = USUAL_SIZE
    certificate: CertificatePath | None = None
    certificate_key: CertificatePath | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.certificate is None) is not (self.certificate_key is None):
            raise ValueError("certificate and certificate_key stand together")
        return self

    @property
    def names(self) -> list[str]:
        return sorted({self.hostname, *filter(None, self.domains)})


class NginxSite(Resource[SiteParameters]):
    Parameters = SiteParameters
    outputs = frozenset({"url", "hostname"})
    pace: ClassVar[Pace] = Pace(together=200, failures=20)  # those who wait share one reload
    patience = timedelta(hours=6)  # nginx may be down for a while; nothing is lost by waiting

    def __init__(self, given: Given[SiteParameters], tools: Nginx | None) -> None:
        super().__init__(given, tools)
        self._tools = tools

    @classmethod
    async def has_room(cls, parameters: Mapping[str, Any], room: Room, tools: Nginx | None) -> bool:  # noqa: ARG003
        return tools is not None

    async def ensure(self, notes: Notes) -> Outputs:
        nginx = self._nginx()
        if wrong := sorted(OURS_TO_SAY & self.given.customer_named):
            raise Permanent(f"a customer's words may not stand in {wrong[0]}")
        await self._check_certificate()
        before = await self._put(notes, nginx, self._sites())
        applied = await nginx.apply()
        if refused := [name for name in self.parameters.names if name in applied.refused]:
            await self._put(notes, nginx, before)
            await nginx.apply()
            raise Permanent(f"nginx refuses {refused[0]}: {applied.refused[refused[0]]}")
        _served(applied)
        hostname = self.parameters.hostname
        return {"url": f"https://{hostname}{nginx.layout.port}", "hostname": hostname}

    async def probe(self, notes: Notes) -> Health:  # noqa: ARG002 - nginx knows
        """The real nginx answers for each name, with the upstream and the certificate that were asked for."""
        nginx = self._nginx()
        for site in self._sites():
            told = await nginx.tells(site.hostname)
            if not told:
                return Health(ok=False, detail=f"nginx does not answer for {site.hostname}")
            if told.partition(" ")[2] != site.mark:
                return Health(ok=False, detail=f"nginx does not serve {site.hostname} as it should")
        return Health(ok=True)

    async def suspend(self, notes: Notes) -> None:
        nginx = self._nginx()
        await notes.keep(lambda tx, owner: nginx.rows.switch(tx, owner, "suspended"))
        await nginx.apply()  # an nginx that does not run serves nothing, and begins with this

    async def resume(self, notes: Notes) -> None:
        nginx = self._nginx()
        await notes.keep(lambda tx, owner: nginx.rows.switch(tx, owner, "on"))
        _served(await nginx.apply())

    async def destroy(self, notes: Notes) -> Gone:
        nginx = self._nginx()
        removed = await notes.keep(nginx.rows.remove)
        await nginx.apply()
        return "deleted" if removed else "not_found"

    def _nginx(self) -> Nginx:
        if self._tools is None:
            raise NeedsOperator("NGINX_DIR is not set: no nginx is ours here")
        return self._tools

    def _sites(self) -> list[Site]:
        parameters = self.parameters
        return [
            Site(
                hostname=name,
                install_id=self.given.install,
                resource=self.given.name,
                upstream=parameters.upstream,
                state="on",
                body_size=parameters.body_size,
                certificate=parameters.certificate,
                certificate_key=parameters.certificate_key,
            )
            for name in parameters.names
        ]

    async def _put(self, notes: Notes, nginx: Nginx, sites: Sequence[Site]) -> Sequence[Site]:
        try:
            return await notes.keep(lambda tx, owner: nginx.rows.put(tx, owner, sites))
        except NameConflictError as conflict:
            raise NeedsOperator(str(conflict)) from None

    async def _check_certificate(self) -> None:
        """nginx reads a site's own only when somebody asks for it."""
        certificate, key = self.parameters.certificate, self.parameters.certificate_key
        if certificate is None or key is None:
            return
        context: Any = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            await asyncio.to_thread(context.load_cert_chain, certificate, key, str)  # a key that asks is none
        except OSError as error:  # of which ssl.SSLError is one
            reason = (
                error.strerror if not isinstance(error, ssl.SSLError) else f"it does not fit its key: {error.reason}"
            )
            raise NeedsOperator(f"the certificate {certificate} cannot be used: {reason}") from None


def _served(applied: Applied) -> None:
    if not applied.running:
        raise NotReady("nginx does not run", after=timedelta(seconds=5))
