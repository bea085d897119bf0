"""What services are told in the sandbox: the chosen before the made, and nothing of a stand-in beside what is real."""

import asyncio
import gc
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from billing.schedules import DEFAULTS
from billing.settings import BillingSettings
from keyturn.errors import Misconfigured
from sandbox import broker, secrets
from sandbox.postgres import SERVICES
from sandbox.wiring import Wiring, given, real_razorpay, real_stripe


def wiring(folder: Path, chosen: dict[str, str]) -> Wiring:
    """With no stand-in at all."""
    ports = {name: 8000 + number for number, name in enumerate(SERVICES)}
    named: dict[str, Any] = {"stripe": None, "razorpay": None, "mailbox": None}
    urls = {name: f"memory://{name}" for name in SERVICES}
    return Wiring(folder, chosen, secrets.load(folder), ports, urls, urls, **named)


def test_what_env_example_says_and_what_is_empty_is_not_chosen(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("STRIPE_SECRET_KEY=\nSESSION_KEY=change-me\nSMTP_HOST=127.0.0.1\nBASE_DOMAIN=shops.example\n")
    assert given({"PORT": "9000", "SMTP_HOST": ""}, dotenv) == {"BASE_DOMAIN": "shops.example", "PORT": "9000"}


def test_environment_comes_before_the_file(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("PORT=9001\n")
    assert given({"PORT": "9000"}, dotenv)["PORT"] == "9000"


def test_a_real_key_takes_the_place_of_its_stand_in_alone() -> None:
    assert real_stripe({"STRIPE_SECRET_KEY": "sk_test_mine"})
    assert not real_razorpay({"STRIPE_SECRET_KEY": "sk_test_mine"})


def test_nothing_made_up_reaches_a_real_provider(tmp_path: Path) -> None:
    chosen = {"STRIPE_SECRET_KEY": "sk_test_mine", "RAZORPAY_KEY_ID": "rzp_test_mine", "RAZORPAY_KEY_SECRET": "mine"}
    found = wiring(tmp_path, chosen)
    billing, gateway = found.environment("billing"), found.environment("gateway")
    assert {name: billing[name] for name in chosen} == chosen
    assert not {name for name in billing if name.endswith("_API_BASE")}
    assert not {name for name in gateway if name.endswith("_WEBHOOK_SECRET") or name == "RAZORPAY_CHECKOUT_JS"}


def test_billing_is_told_when_its_runs_begin_and_whose_the_canary_is(tmp_path: Path) -> None:
    chosen = {"CANARY_EMAIL": "us@shop.example", "SCHEDULES": '{"canary": "* * * * *"}', "SCHEDULE_TIMEZONE": "UTC"}
    assert chosen.items() <= wiring(tmp_path, chosen).environment("billing").items()
    assert "CANARY_EMAIL" not in wiring(tmp_path, {}).environment("billing")  # but for `make run`


def test_a_service_is_told_no_secret_of_another(tmp_path: Path) -> None:
    found = wiring(tmp_path, {})
    assert not {"SESSION_KEY", "INTERNAL_SIGNING_KEY"} & set(found.environment("billing"))
    assert "PROVISIONER_SEALING_KEYS" not in found.environment("notifier")
    assert not any(name.endswith("_BUS_PASSWORD") for service in SERVICES for name in found.environment(service))


def test_secrets_stay_the_same_and_belong_to_their_owner(tmp_path: Path) -> None:
    made = secrets.load(tmp_path)
    assert secrets.load(tmp_path) == made
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_secrets_of_an_older_version_are_kept_and_completed(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text('{"SESSION_KEY": "old"}')
    completed = secrets.load(tmp_path)
    assert completed["SESSION_KEY"] == "old"
    assert completed == secrets.load(tmp_path)


async def test_bus_is_in_memory_unless_one_is_given() -> None:
    assert set((await broker.addresses({}, {})).values()) == {"memory://"}


async def test_an_admin_address_without_a_broker_is_refused() -> None:
    with pytest.raises(Misconfigured, match="BUS_URL is not"):
        await broker.addresses({"BUS_ADMIN_URL": "http://127.0.0.1:1"}, {})


async def test_a_broker_that_is_away_is_told_without_its_password() -> None:
    with pytest.raises(Misconfigured, match=r"gateway cannot connect to 127\.0\.0\.1:1:") as refused:
        await broker.addresses({"BUS_URL": "amqp://guest:hunter2@127.0.0.1:1/"}, {})
    assert "hunter2" not in str(refused.value)


def test_a_failed_attempt_to_connect_leaves_nothing_to_be_closed_later(caplog: pytest.LogCaptureFixture) -> None:
    for library in ("aio_pika", "aiormq"):  # a record that is kept keeps the connection
        caplog.set_level(logging.CRITICAL, logger=library)

    async def attempt() -> set[asyncio.Task[Any]]:
        with suppress(Misconfigured):  # and not `raises`, which would keep it
            await broker.addresses({"BUS_URL": "amqp://guest:guest@127.0.0.1:1/"}, {})
        gc.collect()
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(attempt()) == set()


def test_billing_in_this_process_takes_its_runs_as_one_of_its_own_does(tmp_path: Path) -> None:
    told = wiring(tmp_path, {"SCHEDULES": '{"audit": "off"}'}).environment("billing")
    names = {schedule.name for schedule in BillingSettings(_env_file=None, **told).runs.on}  # type: ignore[arg-type]
    assert names == set(DEFAULTS) - {"audit"}
