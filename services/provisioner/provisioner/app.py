"""The provisioner, wired: the only place that knows every part."""

from dataclasses import replace
from functools import partial

from keyturn.bus import Bus, connect_bus
from keyturn.clock import Clock
from keyturn.database import Database
from keyturn.http import new_client
from keyturn.sealing import KeyRing
from keyturn.service import Service
from provisioner import blueprints
from provisioner.api import router
from provisioner.certificates import using
from provisioner.certificates.tools import CertificateTools
from provisioner.deps import ProvisionerDeps
from provisioner.engine.begun import Recorder
from provisioner.engine.jobs import JOB
from provisioner.handlers import HANDLERS, WORK
from provisioner.repository import sites
from provisioner.resources import kinds
from provisioner.resources.acme_challenges import Answers
from provisioner.resources.acme_client import Authority
from provisioner.resources.dns import Dns
from provisioner.resources.dns_asking import Asking
from provisioner.resources.dns_powerdns import Server
from provisioner.resources.docker.hosts import Docker
from provisioner.resources.docker.registries import Registries
from provisioner.resources.local import Local
from provisioner.resources.nginx_server import Nginx
from provisioner.resources.tls import Tls
from provisioner.resources.tls_pairs import Files
from provisioner.servers import KnownServers
from provisioner.settings import ProvisionerSettings

NAME = "provisioner"


def build(
    settings: ProvisionerSettings, *, clock: Clock | None = None, bus: Bus | None = None
) -> Service[ProvisionerDeps]:
    """Raises `BlueprintError` where a recipe cannot be used: better than finding out when somebody has paid."""
    clock = clock or settings.make_clock()
    database = Database(settings.database_url, service=NAME, clock=clock)
    client = new_client()
    dns = Dns(
        Server(client, settings.powerdns_url, settings.powerdns_api_key.get_secret_value()),
        Asking(settings.authority),
        Asking(settings.resolvers),
        clock,
        settings.dns_nameservers,
    )
    files = Files(settings.tls_data)
    tls = CertificateTools(
        Authority(settings.acme_directory, settings.acme_email, settings.acme_ca_file),
        Answers(settings.acme_challenges, dns),
        dns.resolver,
        files,
    )
    local = Local(settings.local_data, settings.port_range)
    docker = Docker(KnownServers(database), settings.docker_port_range, client, Registries(settings.docker_logins))
    nginx = None
    if settings.layout:
        nginx = Nginx(settings.layout, partial(sites.all_of_them, database), sites)
    certificates = Tls(settings.base_domain, files, using.use, using.release)
    known = kinds(client, local, dns=dns, tls=certificates, docker=docker, nginx=nginx)
    deps = ProvisionerDeps(
        database=database,
        clock=clock,
        settings=settings,
        keys=KeyRing.from_text(settings.sealing_keys.get_secret_value()),
        mail_keys=KeyRing.from_text(settings.mail_keys.get_secret_value()),
        kinds=known,
        blueprints=blueprints.load(settings.blueprints, known),
        recorder=Recorder(database),
        tls=tls,
    )
    return Service(
        name=NAME,
        settings=settings,
        clock=clock,
        database=database,
        bus=bus or connect_bus(settings.bus_url, service=NAME, replica=settings.replica),
        deps=deps,
        handlers=HANDLERS,
        work={**WORK, JOB: replace(WORK[JOB], slots=settings.installs_at_once)},
        package=NAME,
        port=settings.port,
        routers=[router],
        closing=[client.aclose, docker.close, *([nginx.close] if nginx else [])],
        rings={"PROVISIONER_SEALING_KEYS": deps.keys, "MAIL_KEYS": deps.mail_keys},
    )
