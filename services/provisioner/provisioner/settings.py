"""What the provisioner reads from the environment."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from keyturn.settings import ServiceSettings, TextList
from provisioner.resources.nginx_config import Layout, listens
from provisioner.resources.nginx_sites import a_path

SERVER = r"^$|^[0-9.]+(:\d{1,5})?$|^\[[0-9a-fA-F:.]+\](:\d{1,5})?$"  # an address, and perhaps a port


def server(text: str) -> tuple[str, int]:
    """Address and port of a DNS server."""
    host, _, port = text.rpartition(":") if not text.endswith("]") and ":" in text else (text, "", "")
    return host.strip("[]"), int(port or 53)


def _listened(addresses: Sequence[str]) -> Sequence[str]:
    for address in addresses:
        listens(address)
    return addresses


Listens = Annotated[TextList, AfterValidator(_listened)]


class ProvisionerSettings(ServiceSettings):
    port: int = Field(
        default=8002, validation_alias="PROVISIONER_PORT", description="Where the gateway reaches the provisioner"
    )
    database_url: str = Field(
        validation_alias="PROVISIONER_DATABASE_URL",
        repr=False,
        examples=["postgresql://provisioner:change-me@127.0.0.1:5432/provisioner"],
        description="The provisioner's own database",
    )
    sealing_keys: SecretStr = Field(
        validation_alias="PROVISIONER_SEALING_KEYS",
        description="Key ring for what the provisioner stores: id:base64 entries, the first one seals; or file:/path. "
        "`python -m keyturn.sealing ID` makes one",
    )
    mail_keys: SecretStr = Field(
        validation_alias="MAIL_KEYS",
        description="Key ring for setup links and credentials on their way to the notifier, which has the same",
    )
    blueprints: Path = Field(
        default=Path("blueprints"), validation_alias="BLUEPRINTS", description="The folder with the blueprints"
    )
    base_domain: str = Field(
        default="localhost",
        validation_alias="BASE_DOMAIN",
        description="Installs get a subdomain of it",
    )
    local_data: Path = Field(
        default=Path("data/local"),
        validation_alias="LOCAL_DATA",
        description="The folder in which local.process keeps each program's data",
    )
    local_ports: str = Field(
        default="20000-29999",
        pattern=r"^\d{4,5}-\d{4,5}$",
        validation_alias="LOCAL_PORTS",
        description="The loopback ports that local.process may use",
    )
    docker_ports: str = Field(
        default="15000-19999",
        pattern=r"^\d{4,5}-\d{4,5}$",
        validation_alias="DOCKER_PORTS",
        description="The ports of each Docker server on which containers may be published",
    )
    docker_logins: Path | None = Field(
        default=None,
        validation_alias="DOCKER_LOGINS",
        description="A file as `docker login` writes it (config.json), for images of private registries",
    )
    installs_at_once: int = Field(
        default=8,
        ge=1,
        validation_alias="INSTALLS_AT_ONCE",
        description="How many installs one replica works on at the same time",
    )
    retention_days: int = Field(
        default=30,
        ge=0,
        le=3650,
        validation_alias="RETENTION_DAYS",
        description="Days that the data of an install is kept after an operator deleted it; where its entitlement has "
        "ended, the product's policy says how long",
    )
    powerdns_url: str = Field(
        default="",
        validation_alias="POWERDNS_URL",
        examples=["http://127.0.0.1:8081"],
        description="The HTTP API of the PowerDNS server in which dns.zone, dns.records and DNS-01 challenges write",
    )
    powerdns_api_key: SecretStr = Field(
        default=SecretStr(""), validation_alias="POWERDNS_API_KEY", description="Its key"
    )
    powerdns_server: str = Field(
        default="",
        validation_alias="POWERDNS_SERVER",
        pattern=SERVER,
        examples=["127.0.0.1:53"],
        description="Where the same server answers over DNS: an IP address, with a port where it is not 53. "
        "Empty: the host of POWERDNS_URL, which must then be an address",
    )
    dns_nameservers: TextList = Field(
        default=(),
        validation_alias="DNS_NAMESERVERS",
        examples=["ns1.example.com,ns2.example.com"],
        description="The name servers of new zones",
    )
    acme_directory: str = Field(
        default="",
        validation_alias="ACME_DIRECTORY",
        examples=["https://acme-staging-v02.api.letsencrypt.org/directory"],
        description="The ACME server that tls.certificate orders from; whoever sets it agrees to the server's terms",
    )
    acme_email: str = Field(
        default="", validation_alias="ACME_EMAIL", description="Where the ACME server may write to; may be empty"
    )
    acme_ca_file: Path | None = Field(
        default=None,
        validation_alias="ACME_CA_FILE",
        description="By which the ACME server's own HTTPS is trusted, where it is a private one",
    )
    acme_caa_identities: TextList = Field(
        default=(),
        validation_alias="ACME_CAA_IDENTITIES",
        description="The names by which CAA records allow the ACME server. Empty: those that it gives itself",
    )
    acme_challenges: Path = Field(
        default=Path("data/acme"),
        validation_alias="ACME_CHALLENGES",
        description="The folder whose files a web server hands out below /.well-known/acme-challenge/ of every host",
    )
    tls_data: Path = Field(
        default=Path("data/tls"),
        validation_alias="TLS_DATA",
        description="The folder in which certificates and their keys lie for web servers",
    )
    dns_resolvers: TextList = Field(
        default=(),
        validation_alias="DNS_RESOLVERS",
        examples=["127.0.0.1:53"],
        description="Who is asked about other people's names (CAA, a customer's domain): addresses, with a port where "
        "it is not 53. Empty: the name servers of this machine",
    )
    nginx_dir: Path | None = Field(
        default=None,
        validation_alias="NGINX_DIR",
        description="The folder of the nginx that nginx.site writes for; it belongs to the user that runs both. Empty: "
        "there is none",
    )
    nginx_https: Listens = Field(
        default=("443", "[::]:443"), validation_alias="NGINX_HTTPS", description="What nginx listens on for https"
    )
    nginx_http: Listens = Field(
        default=("80", "[::]:80"),
        validation_alias="NGINX_HTTP",
        description="What nginx listens on for http: it leads to https, and hands out ACME_CHALLENGES",
    )
    nginx_public_port: int = Field(
        default=443,
        ge=1,
        le=65535,
        validation_alias="NGINX_PUBLIC_PORT",
        description="The port at which the world reaches nginx's https",
    )
    nginx_certificate: str = Field(
        default="",
        validation_alias="NGINX_CERTIFICATE",
        description="The absolute path of the wildcard certificate with its chain, for sites without one of their own",
    )
    nginx_certificate_key: str = Field(
        default="", validation_alias="NGINX_CERTIFICATE_KEY", description="The absolute path of its key"
    )

    @field_validator("dns_resolvers")
    @classmethod
    def _addresses(cls, found: tuple[str, ...]) -> tuple[str, ...]:
        if any(not text or not re.match(SERVER, text) for text in found):
            raise ValueError("reads like 192.0.2.1 or 192.0.2.1:53")
        return found

    @property
    def resolvers(self) -> list[tuple[str, int]]:
        return [server(text) for text in self.dns_resolvers]

    @model_validator(mode="after")
    def _nginx_is_told_enough(self) -> Self:
        """Whatever stands in its configuration is a path that it reads as one."""
        if self.nginx_dir is not None:
            folders = {"NGINX_DIR": self.nginx_dir, "ACME_CHALLENGES": self.acme_challenges}
            paths = {name: str(path.absolute()) for name, path in folders.items()}
            files = {"NGINX_CERTIFICATE": self.nginx_certificate, "NGINX_CERTIFICATE_KEY": self.nginx_certificate_key}
            for name, path in {**paths, **files}.items():
                try:
                    a_path(path)
                except ValueError as error:
                    raise ValueError(f"with NGINX_DIR set, {name} {error}") from None
        return self

    @property
    def layout(self) -> Layout | None:
        """How nginx stands on this machine, where there is one of ours."""
        if self.nginx_dir is None:
            return None
        return Layout(
            folder=self.nginx_dir.absolute(),
            challenges=self.acme_challenges.absolute(),
            https=self.nginx_https,
            http=self.nginx_http,
            certificate=self.nginx_certificate,
            certificate_key=self.nginx_certificate_key,
            public_port=self.nginx_public_port,
        )

    @property
    def port_range(self) -> range:
        return _range(self.local_ports)

    @property
    def docker_port_range(self) -> range:
        return _range(self.docker_ports)

    @property
    def authority(self) -> list[tuple[str, int]]:
        """Who is asked what the DNS server really says; nobody where there is none."""
        host = urlsplit(self.powerdns_url).hostname or ""
        return [server(self.powerdns_server or (f"[{host}]" if ":" in host else host))] if self.powerdns_url else []


def _range(said: str) -> range:
    first, _, last = said.partition("-")
    return range(int(first), int(last) + 1)
