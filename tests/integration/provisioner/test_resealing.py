"""A sealing key is changed: sealed with A, B put in front, everything sealed again, A removed, everything readable."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from keyturn.clock import MovableClock
from keyturn.errors import Misconfigured, SealError
from keyturn.events.sealed import Sealed
from keyturn.sealing import KeyRing, new_key_line
from provisioner.certificates.ordering import account_place
from provisioner.certificates.ordering import place as place_of
from provisioner.certificates.records import Certificate
from provisioner.engine import values
from provisioner.engine.notes import sealed, unsealed
from provisioner.repository import certificates, progress
from support.fake_target import World, fake_kinds
from support.provisioning import Rig, WaitUntil, running, settings_for

pytestmark = pytest.mark.servers

A, B = new_key_line("2026-11"), new_key_line("2026-12")
SHOP = "name: shop\nresources:\n  database: {type: fake.thing, secret: '{random.db}'}\n"
EVERYTHING = """
SELECT coalesce(string_agg(sealed, ' '), '') FROM (
  SELECT sealed FROM secrets UNION ALL SELECT notes::text FROM resources UNION ALL SELECT outputs::text FROM resources
  UNION ALL SELECT key FROM certificates UNION ALL SELECT order_key FROM certificates UNION ALL SELECT key FROM acme_accounts
) AS stored
"""


class Place:
    def __init__(self, url: str, folder: Path, clock: MovableClock, wait_until: WaitUntil) -> None:
        self._given = url, folder
        self._clock = clock
        self._wait_until = wait_until
        (folder / "blueprints").mkdir()
        (folder / "blueprints" / "shop.yaml").write_text(SHOP)

    @asynccontextmanager
    async def with_keys(self, *lines: str) -> AsyncIterator[Rig]:
        settings = settings_for(*self._given, sealing_keys="\n".join(lines))
        recipes, kinds = self._given[1] / "blueprints", fake_kinds(World())
        async with running(settings, self._clock, self._wait_until, kinds=kinds, recipes=recipes) as rig:
            yield rig


@pytest.fixture
async def place(database_url: Any, tmp_path: Path, clock: MovableClock, wait_until: WaitUntil) -> Place:
    return Place(await database_url("provisioner"), tmp_path, clock, wait_until)


async def fill(rig: Rig) -> tuple[UUID, str]:
    """An install with a generated secret, and sealed values in a resource's notes and outputs; the secret."""
    install = await rig.bought(blueprint="shop")
    await rig.until_state(install, "active", "setup_pending")
    keys = rig.service.deps.keys
    notes = {"login": sealed({"user": "u", "password": SecretStr("n0te")}, keys, at(install, "notes", "login"))}
    outputs = {"key": sealed(SecretStr("0utput"), keys, at(install, "outputs", "key")), "address": "a"}
    await rig.rows("UPDATE resources SET notes = $1, outputs = $2", json.dumps(notes), json.dumps(outputs))
    await _certificate(rig)
    return install, (await read(rig, install))["random.db"]


async def _certificate(rig: Rig) -> None:
    keys, one = rig.service.deps.keys, Certificate(uuid4(), "x", ["a.example"], "dns-01", rig.clock.now())
    one.order_key, one.key = (keys.seal(name, place=place_of(one.id, name)).ciphertext for name in ("order_key", "key"))
    async with rig.service.database.transaction("test") as tx:
        await certificates.found_or_new(tx, one)
        account = keys.seal("account", place=account_place("https://ca.example/dir")).ciphertext
        await certificates.keep_account(tx, "https://ca.example/dir", account)


async def certificate_keys(rig: Rig) -> list[str]:
    keys = rig.service.deps.keys
    async with rig.service.database.transaction("test") as tx:
        (one,) = await certificates.page(tx, certificates.START, 10)
        account = await certificates.account(tx, "https://ca.example/dir") or ""
    found = [keys.open(Sealed(getattr(one, name)), place=place_of(one.id, name)) for name in ("order_key", "key")]
    return [*found, keys.open(Sealed(account), place=account_place("https://ca.example/dir"))]


def at(install: UUID, column: str, name: str) -> tuple[str, ...]:
    return values.place(install, "database", column, name)


async def read(rig: Rig, install: UUID) -> dict[str, str]:
    keys = rig.service.deps.keys
    async with rig.service.database.transaction("test") as tx:
        found = await values.read(tx, keys, install, {"random.db", "database.key"})
        record = (await progress.records(tx, install))["database"]
        found["note"] = unsealed(record.notes["login"], keys, at(install, "notes", "login"))[
            "password"
        ].get_secret_value()
    return found


async def test_everything_stays_readable_while_the_sealing_key_is_changed(
    place: Place, clock: MovableClock, wait_until: WaitUntil
) -> None:
    async with place.with_keys(A) as rig:
        install, secret = await fill(rig)
        assert "x1.2026-11." in (await rig.one(EVERYTHING))[0]
    clock.move(timedelta(minutes=11))
    async with place.with_keys(B, A) as rig:
        assert (await read(rig, install))["random.db"] == secret

        async def nothing_left() -> bool:
            return "x1.2026-11." not in (await rig.one(EVERYTHING))[0]

        await wait_until(nothing_left)
    async with place.with_keys(B) as rig:
        assert await read(rig, install) == {"random.db": secret, "database.key": "0utput", "note": "n0te"}
        assert await certificate_keys(rig) == ["order_key", "key", "account"]
        assert (await rig.one("SELECT outputs->>'address' AS address FROM resources")).address == "a"


async def test_a_value_that_no_key_opens_stays_as_it_is_and_stops_nothing(
    place: Place, clock: MovableClock, wait_until: WaitUntil
) -> None:
    async with place.with_keys(A) as rig:
        install, secret = await fill(rig)
        stranger = KeyRing.from_text(new_key_line("stranger")).seal("x", place=("elsewhere",)).ciphertext
        await rig.rows(
            "INSERT INTO secrets (install_id, name, sealed, created_at) VALUES ($1, 'a', $2, $3)",
            install,
            stranger,
            rig.clock.now(),
        )
    clock.move(timedelta(minutes=11))
    async with place.with_keys(B, A) as rig:

        async def only_the_stranger() -> bool:
            return "x1.2026-11." not in (await rig.one(EVERYTHING))[0]

        await wait_until(only_the_stranger)
        assert (await rig.one("SELECT sealed FROM secrets WHERE name = 'a'")).sealed == stranger
        assert (await read(rig, install))["random.db"] == secret


async def test_a_key_removed_too_early_is_told_where_it_is_missed_and_a_changed_one_at_the_start(place: Place) -> None:
    async with place.with_keys(A) as rig:
        install, _ = await fill(rig)
    async with place.with_keys(B) as rig:
        with pytest.raises(SealError, match="not in this ring"):
            await read(rig, install)
    with pytest.raises(Misconfigured, match="PROVISIONER_SEALING_KEYS: key 2026-11"):
        async with place.with_keys(new_key_line("2026-11")):
            pass
