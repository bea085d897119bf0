"""An install and its setup links, whatever billing says in whatever order, and whatever its target does."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, initialize, invariant, rule

from keyturn.bus import Delivery
from keyturn.bus.memory import MemoryBroker
from keyturn.clock import MovableClock
from keyturn.events import EntitlementChanged, Event, InstallActivated, SetupLinkIssued
from keyturn.handling import Consumer
from keyturn.sealing import KeyRing
from keyturn.worker import Worker
from provisioner.resources.port import NotReady, Permanent, Transient
from support import fake_target
from support.messages import message_of
from support.models import TIMEOUT, Loop, Machine, NewDatabase, run_machine
from support.provisioning import MAIL_KEYS, Rig, assembled, entitlement, settings_for
from support.waiting import wait_until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(TIMEOUT)]

SHOP = """
name: shop
resources:
  database: {type: fake.thing, secret: "{random.db}"}
  shop: {type: fake.thing, size: "{plan.size}", after: "{database.key}"}
outputs: {url: "http://{install.hostname}/"}
setup:
  - {type: fake.setup, password: "{password}"}
"""
FAULTS: dict[str, dict[str, Any]] = {
    "away": {"before": Transient("away")},
    "lost": {"after": Transient("no answer")},
    "slow": {"before": NotReady("starting")},
    "refused": {"before": Permanent("no such image")},
}


@dataclass
class Place:
    rig: Rig
    target: fake_target.World

    async def hear(self, event: Event) -> None:
        service = self.rig.service
        consumer = Consumer(service.database, MemoryBroker().bus("provisioner"), service.handlers)
        assert await consumer.deliver(Delivery(message=message_of(event), redelivered=False)) == "ack"

    async def work(self) -> None:
        service = self.rig.service
        worker: Worker[Any] = Worker(service.database, service.work, service.deps, handlers=service.handlers)
        while await worker._claim() or worker._running:
            await asyncio.gather(*worker._running)


class Installs(Machine):
    world: Place
    said: Bundle[Any] = Bundle("said")

    @initialize()
    def is_bought(self) -> None:
        self.install = uuid4()
        self.versions: list[EntitlementChanged] = []
        self.heard: list[EntitlementChanged] = []
        self.own: set[str] = set()
        self.removed = False
        self.used: set[int] = set()
        self.world.target.relent()

    @rule(target=said, wanted=st.sampled_from(["on", "on", "on", "suspended", "ended"]), size=st.sampled_from("SL"))
    def billing_says(self, wanted: Any, size: str) -> EntitlementChanged:
        terms = {"blueprint": "shop", "limits": {"size": size}, "parameters": {"subdomain": f"s{self.install.hex}"}}
        reasons = ["nonpayment"] if wanted == "suspended" else []
        version, now = len(self.versions) + 1, self.world.rig.clock.now()
        self.versions.append(entitlement(self.install, version, now, wanted=wanted, reasons=reasons, **terms))
        return self.versions[-1]

    @rule(event=said)
    def hears(self, event: EntitlementChanged) -> None:
        self.do(self.world.hear(event))
        self.heard.append(event)

    @rule(
        name=st.sampled_from(["database", "shop"]),
        operation=st.sampled_from(["ensure", "probe", "suspend", "resume", "destroy"]),
        fault=st.sampled_from(sorted(FAULTS)),
    )
    def target_will_fail(self, name: str, operation: str, fault: str) -> None:
        self.world.target.next(name, operation, **FAULTS[fault])

    @rule(minutes=st.sampled_from([0, 1, 30, 25 * 60]))
    def time_passes(self, minutes: int) -> None:
        self.world.rig.clock.move(timedelta(minutes=minutes))
        self.do(self.world.work())

    @rule(act=st.sampled_from(["suspend", "resume", "retry", "delete"]), own=st.sampled_from(["operator", "abuse"]))
    def operator_acts(self, act: str, own: str) -> None:
        body = {"reason": "because", "own_reason": own, "now": True}
        answer = self._ask(f"installs/{self.install}/{act}", body)
        assert answer.status_code in {200, 404, 409}
        if answer.status_code == 200:
            self.own = self.own | {own} if act == "suspend" else self.own - {own} if act == "resume" else self.own
            self.removed = self.removed or act == "delete"

    @rule(last=st.booleans(), password=st.sampled_from(["short", "long enough"]), fault=st.booleans())
    def customer_chooses(self, last: bool, password: str, fault: bool) -> None:
        links = self._links()
        if not links:
            return
        number = max(links) if last else min(links)
        state, available = self._state_of(links, number), self._is_available()
        if fault:
            self.world.target.next("setup", "run", before=Transient("away"))
        answer = self._ask("setup/complete", {"token": self._token(links[number]), "password": password})
        self.world.target._next.pop(("setup", "run"), None)
        expected = (
            410 if state != "open" else 409 if not available else 503 if fault else 422 if password == "short" else 200
        )
        assert answer.status_code == expected, (answer.text, state, available)
        self.used |= {number} if expected == 200 else set()

    @rule()
    def customer_asks_for_another_link(self) -> None:
        row = self._row()
        answer = self._ask(f"installs/{self.install}/reissue", {})
        waits = row and row.ready_at and not row.activated_at and self._level() != "ended"
        assert answer.status_code == (200 if waits else 409 if row else 404), answer.text

    @invariant()
    def links_are_what_the_model_says(self) -> None:
        links = self._links()
        for number, issued in links.items():
            seen = self._ask("setup/lookup", {"token": self._token(issued)}).json()["state"]
            assert seen == self._state_of(links, number)
        assert len(self.used) <= 1
        assert len(self._events(InstallActivated)) == len(self.used)

    @invariant()
    def what_is_there_is_what_the_state_says(self) -> None:
        row, things = self._row(), self.world.target.of(self.install)
        if row is None:
            assert not self.heard
            return
        assert row.version == max(event.version for event in self.heard)
        if row.state == "deleted":
            assert not things
        if row.settled and row.state in {"setup_pending", "active", "suspended"} and row.ready_at:
            assert set(things) == {"database", "shop"}, row.state
            assert all(thing.up == (row.state != "suspended") for thing in things.values())
        if row.state in {"setup_pending", "active"}:
            assert (row.state == "active") == bool(self.used)

    def teardown(self) -> None:
        self.world.target.relent()
        for _ in range(8):
            self.world.rig.clock.move(timedelta(hours=7))
            self.do(self.world.work())
            self._ask(f"installs/{self.install}/retry", {"reason": "all is well again"})
            self.do(self.world.work())
        row, things = self._row(), self.world.target.of(self.install)
        if row is None:
            return
        if self._level() == "ended" or row.state == "deleted":
            assert (row.state, things) == ("deleted", {})
        elif self._level() == "suspended":
            assert row.state in ({"suspended"} if row.ready_at else {"suspended", "pending", "failed"})
            assert not any(thing.up for thing in things.values())
        else:
            assert row.state == ("active" if self.used else "setup_pending")
            assert things["shop"].size == self._newest().limits["size"]
        sql = "SELECT 1 FROM work WHERE key = $1 AND state IN ('open', 'dead')"
        assert not self.do(self.world.rig.rows(sql, str(self.install)))

    def _newest(self) -> EntitlementChanged:
        return max(self.heard, key=lambda event: event.version)

    def _level(self) -> str:
        wanted = self._newest().wanted
        if wanted == "ended" or self.removed:
            return "ended"
        return "suspended" if wanted == "suspended" or self.own else "on"

    def _is_available(self) -> bool:
        row = self._row()
        return row is not None and row.state in {"setup_pending", "active"} and self._level() == "on"

    def _state_of(self, links: dict[int, SetupLinkIssued], number: int) -> str:
        if number in self.used:
            return "used"
        if number < max(links):
            return "replaced"
        return "expired" if links[number].expires_at <= self.world.rig.clock.now() else "open"

    def _links(self) -> dict[int, SetupLinkIssued]:
        return {event.number: event for event in self._events(SetupLinkIssued)}

    def _events(self, kind: Any) -> list[Any]:
        return self.do(self.world.rig.events(self.install, kind))

    def _token(self, issued: SetupLinkIssued) -> str:
        return KeyRing.from_text(MAIL_KEYS).open(issued.token, place=(SetupLinkIssued.wire, issued.subject, "token"))

    def _ask(self, path: str, body: dict[str, Any]) -> httpx.Response:
        return self.do(self.world.rig.ask("POST", f"/internal/{path}", body))

    def _row(self) -> Any:
        rows = self.do(self.world.rig.rows("SELECT * FROM installs WHERE id = $1", UUID(str(self.install))))
        return rows[0] if rows else None


@asynccontextmanager
async def place(url: str) -> AsyncIterator[Place]:
    target, clock = fake_target.World(), MovableClock()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "shop.yaml").write_text(SHOP)
        settings = settings_for(url, Path(folder))
        service = assembled(settings, clock, kinds=fake_target.fake_kinds(target), recipes=Path(folder))
        yield Place(Rig(service, clock, wait_until), target)
        for step in (*service.closing, service.database.close):
            await step()


def test_an_install_becomes_what_is_wanted(new_database: NewDatabase, loop: Loop) -> None:
    with loop.entered(place(new_database("provisioner"))) as made:
        run_machine(Installs, loop, made)
