"""docker-compose.yml: no engine is needed to see that it is safe, and that it fits the services."""

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from keyturn.bus.topology import SERVICES
from keyturn.settings import ServiceSettings, example, fields, variable
from sandbox.outside import OutsideSettings

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
EXAMPLE = (ROOT / "deploy/docker/compose.env.example").read_text()
TO_TRY = dict(re.findall(r"^#(\w+)=(.*)$", EXAMPLE, re.MULTILINE))  # what the sandbox profile wants


def settings_of(service: str) -> type[ServiceSettings]:
    module = importlib.import_module(f"{service}.settings")
    return next(
        found
        for found in vars(module).values()
        if isinstance(found, type) and issubclass(found, ServiceSettings) and found is not ServiceSettings
    )


def test_the_four_services_and_what_they_need_are_there() -> None:
    assert set(CONTAINERS) == {*SERVICES, "postgres", "rabbitmq", "bus-setup", "sandbox"}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_is_confined(name: str) -> None:
    container = CONTAINERS[name]
    assert container["user"] not in {"root", "0", "0:0"}
    assert container["cap_drop"] == ["ALL"]
    assert "cap_add" not in container
    assert "privileged" not in container
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert container["read_only"] is True
    assert {"mem_limit", "cpus", "pids_limit"} <= container.keys()
    assert not any("docker.sock" in str(volume) for volume in container.get("volumes", []))


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_image_has_a_version(name: str) -> None:
    image, _, tag = CONTAINERS[name]["image"].partition(":")
    assert tag.replace("${KEYTURN_VERSION:-", "")
    assert "latest" not in tag
    assert "/" not in image or image.split("/")[0] == "keyturn"  # from the default registry


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_of_a_service_reaches_it_and_no_other_variable_does(service: str) -> None:
    every = {variable(name, field) for name, field in fields(settings_of(service))}
    not_for_it = {"CLOCK_FILE"} | ({"INTERNAL_PUBLIC_KEY"} if service == "gateway" else set())
    assert set(CONTAINERS[service]["environment"]) == every - not_for_it


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_uses_its_own_user_of_database_and_broker(service: str) -> None:
    environment = CONTAINERS[service]["environment"]
    upper = service.upper()
    assert environment[f"{upper}_DATABASE_URL"] == (
        f"postgresql://{service}:${{{upper}_DB_PASSWORD:?}}@postgres:5432/{service}"
    )
    assert environment["BUS_URL"] == f"amqp://{service}:${{{upper}_BUS_PASSWORD:?}}@rabbitmq:5672/keyturn"


@pytest.mark.parametrize(
    ("variable_name", "holders"),
    [
        ("STRIPE_SECRET_KEY", {"billing", "sandbox"}),
        ("RAZORPAY_KEY_SECRET", {"billing", "sandbox"}),
        ("STRIPE_WEBHOOK_SECRET", {"gateway", "sandbox"}),
        ("RAZORPAY_WEBHOOK_SECRET", {"gateway", "sandbox"}),
        ("SESSION_KEY", {"gateway"}),
        ("ADDRESS_KEY", {"billing"}),
        ("INTERNAL_SIGNING_KEY", {"gateway"}),
        ("PROVISIONER_SEALING_KEYS", {"provisioner"}),
        ("MAIL_KEYS", {"provisioner", "notifier"}),
        ("SMTP_PASSWORD", {"notifier"}),
        ("RABBITMQ_ADMIN_PASSWORD", {"rabbitmq", "bus-setup"}),
    ],
)
def test_a_secret_reaches_only_who_needs_it(variable_name: str, holders: set[str]) -> None:
    using = {n for n, c in CONTAINERS.items() if re.search(rf"\$\{{{variable_name}\b", json.dumps(c))}
    assert using == holders


def test_no_secret_has_a_value_in_the_file() -> None:
    for container in CONTAINERS.values():
        for name, value in container.get("environment", {}).items():
            if re.search(r"PASS|SECRET|_KEYS?$|_KEY$", name):
                assert re.fullmatch(r"\$\{\w+:[?-]\}", str(value)), name


def test_every_variable_taken_from_the_environment_is_in_an_example() -> None:
    text = EXAMPLE + example([f"{s}.settings" for s in SERVICES])
    listed = set(re.findall(r"^#?(\w+)=", text, re.MULTILINE))
    assert set(re.findall(r"\$\{(\w+)", TEXT)) - listed <= {"KEYTURN_VERSION", "PUBLISH"}


def test_only_the_gateway_may_be_reached_from_outside() -> None:
    for name, container in CONTAINERS.items():
        for port in container.get("ports", []):
            assert port.startswith("127.0.0.1:") or name == "gateway"


def test_a_service_starts_when_its_database_answers_and_the_broker_is_set_up() -> None:
    for service in SERVICES:
        wanted = CONTAINERS[service]["depends_on"]
        assert wanted["postgres"]["condition"] == "service_healthy"
        assert wanted["bus-setup"]["condition"] == "service_completed_successfully"


def test_every_mounted_file_exists() -> None:
    mounted = re.findall(r"[\"\s](\./[^:\"\s]+):/", TEXT)
    assert mounted
    assert all((ROOT / path).exists() for path in mounted)


def test_every_named_volume_is_declared() -> None:
    used = {v.split(":")[0] for c in CONTAINERS.values() for v in c.get("volumes", []) if not v.startswith(".")}
    assert used == set(COMPOSE["volumes"])


def test_stand_ins_start_only_where_they_are_asked_for() -> None:
    assert CONTAINERS["sandbox"]["profiles"] == ["sandbox"]
    assert all("sandbox" not in CONTAINERS[service]["depends_on"] for service in SERVICES)


def test_the_example_points_the_services_at_the_stand_ins() -> None:
    settings = outside_settings()
    assert TO_TRY["STRIPE_API_BASE"] == f"http://sandbox:{settings.stripe_port}"
    assert TO_TRY["RAZORPAY_API_BASE"] == f"http://sandbox:{settings.razorpay_port}"
    assert (TO_TRY["SMTP_HOST"], TO_TRY["SMTP_PORT"]) == ("sandbox", str(settings.smtp_port))
    assert TO_TRY["RAZORPAY_CHECKOUT_JS"] == f"{TO_TRY['SANDBOX_RAZORPAY_URL']}/v1/checkout.js"
    assert TO_TRY["SANDBOX"] == "true"
    assert settings.gateway_url == "http://gateway:8000"


def test_browsers_reach_the_stand_ins_where_their_ports_are_published() -> None:
    published = {port.split(":")[1]: port.split(":")[2] for port in CONTAINERS["sandbox"]["ports"]}
    settings = outside_settings()
    for url, port in (
        (settings.stripe_url, settings.stripe_port),
        (settings.razorpay_url, settings.razorpay_port),
        ("http://127.0.0.1:8025", settings.mailbox_port),
    ):
        assert published[url.rpartition(":")[2]] == str(port)


def test_every_variable_of_the_stand_ins_exists_in_their_settings() -> None:
    known = {variable(name, field) for name, field in OutsideSettings.model_fields.items()}
    assert set(CONTAINERS["sandbox"]["environment"]) <= known


def outside_settings() -> OutsideSettings:
    """As the container has them, with the example uncommented."""
    told: dict[str, Any] = CONTAINERS["sandbox"]["environment"]
    filled = {name: re.sub(r"\$\{(\w+).*\}", lambda m: TO_TRY[m[1]], value) for name, value in told.items()}
    return OutsideSettings.model_validate(filled)
