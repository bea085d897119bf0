"""A provisioner with a DNS server and an ACME server, and recipes that order certificates."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography import x509

from keyturn.clock import MovableClock
from provisioner.deps import Policy
from support.pebble import Pebble
from support.powerdns import PowerDns
from support.provisioning import KEYS, MAIL_KEYS, RetryPolicy, Rig, WaitUntil, assembled, settings_for

RECIPES = {
    "both": '{type: tls.certificate, names: ["{purchase.domain}", "*.{purchase.domain}"], challenge: dns-01}',
    "web": '{type: tls.certificate, names: ["{purchase.domain}"]}',
    "shared": '{type: tls.certificate, names: ["*.{settings.base_domain}"], challenge: dns-01}',
    "own": '{type: tls.certificate, names: ["{plan.name_of_it}"], certificate: "{plan.file}", key: "{plan.key}"}',
}
HURRY = Policy(
    retry=RetryPolicy(attempts=200, first=timedelta(milliseconds=10), cap=timedelta(milliseconds=50)),
    removal=RetryPolicy(attempts=3, first=timedelta(milliseconds=1), cap=timedelta(milliseconds=5)),
)


@dataclass
class Certified:
    """`given`: settings beside those of the two servers. `reloads`: the folders that were told of."""

    url: str
    folder: Path
    challenges: Path
    powerdns: PowerDns
    pebble: Pebble
    clock: MovableClock
    wait_until: WaitUntil
    reloads: list[Path] = field(default_factory=list)

    def recipes(self) -> Path:
        folder = self.folder / "blueprints"
        folder.mkdir(exist_ok=True)
        for name, text in RECIPES.items():
            (folder / f"{name}.yaml").write_text(f"name: {name}\nresources:\n  certificate: {text}\n")
        return folder

    def settings(self, **given: Any) -> dict[str, Any]:
        return {
            **self.powerdns.settings,
            **self.pebble.settings,
            "dns_resolvers": (self.powerdns.server,),
            "acme_challenges": self.challenges,
            "tls_data": self.folder / "tls",
            "blueprints": self.recipes(),
            **given,
        }

    @asynccontextmanager
    async def running(self, **given: Any) -> AsyncIterator[Rig]:
        service = assembled(settings_for(self.url, self.folder, **self.settings(**given)), self.clock, policy=HURRY)
        service = replace(service, deps=replace(service.deps, tls=replace(service.deps.tls, reload=self._reload)))
        await service.start()
        try:
            yield Rig(service, self.clock, self.wait_until)
        finally:
            await service.stop()

    async def _reload(self, folder: Path) -> None:
        self.reloads.append(folder)

    def environment(self, failpoints: str) -> dict[str, str]:
        """For a provisioner as a process."""
        said = settings_for(self.url, self.folder, **self.settings())
        return {
            "PROVISIONER_DATABASE_URL": self.url,
            "PROVISIONER_SEALING_KEYS": KEYS,
            "MAIL_KEYS": MAIL_KEYS,
            "PROVISIONER_PORT": "0",
            "BLUEPRINTS": str(said.blueprints),
            "BASE_DOMAIN": said.base_domain,
            "LOCAL_DATA": str(said.local_data),
            "POWERDNS_URL": self.powerdns.url,
            "POWERDNS_API_KEY": self.powerdns.key,
            "POWERDNS_SERVER": self.powerdns.server,
            "DNS_RESOLVERS": self.powerdns.server,
            "ACME_DIRECTORY": self.pebble.directory,
            "ACME_CA_FILE": str(self.pebble.ca_file),
            "ACME_CHALLENGES": str(self.challenges),
            "TLS_DATA": str(said.tls_data),
            "FAILPOINTS": failpoints,
        }


def order(blueprint: str, domain: str, **limits: Any) -> dict[str, Any]:
    return {"blueprint": blueprint, "parameters": {"domain": domain}, "limits": limits}


async def outputs(rig: Rig, install: UUID) -> Mapping[str, str]:
    found: Mapping[str, str] = (await rig.one("SELECT outputs FROM resources WHERE install_id = $1", install)).outputs
    return found


def serial(file: str) -> str:
    return f"{x509.load_pem_x509_certificate(Path(file).read_bytes()).serial_number:x}"


def mode(file: str) -> int | None:
    """Who may read it; None where it is not there."""
    found = Path(file)
    return found.stat().st_mode & 0o777 if found.exists() else None


async def free(rig: Rig) -> None:
    """What a killed worker held may be taken by others."""
    await rig.rows("UPDATE work SET leased_until = now() - interval '1 s' WHERE leased_until IS NOT NULL")
