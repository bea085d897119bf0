"""Certificates from a real ACME server (Pebble), proven in a real DNS server (PowerDNS) or over HTTP."""

import secrets
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keyturn.clock import MovableClock
from keyturn.events import CertificateExpiring, InstallDeleted, InstallFailed, InstallWaiting, OperatorActed
from support import pebble as private_pebble
from support.acme_proxy import AcmeProxy
from support.certified import Certified, free, mode, order, outputs, serial
from support.forks import Forks, Nursery
from support.pebble import Pebble, make_pair
from support.powerdns import PowerDns, PrivatePowerDns
from support.provisioning import Rig, WaitUntil
from support.responder import handing_out

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("powerdns")]


@pytest.fixture(scope="module")
def pebble(powerdns: PowerDns) -> Iterator[Pebble]:
    with private_pebble.serving(powerdns) as found:
        yield found


@pytest.fixture(scope="module")
def challenges(pebble: Pebble, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What a web server hands out where Pebble asks."""
    folder = tmp_path_factory.mktemp("challenges")
    with handing_out(folder, pebble.http_port):
        yield folder


@pytest.fixture
def domain(powerdns: PowerDns) -> str:
    """A zone of the operator's, which leads to this machine."""
    name = f"site-{secrets.token_hex(4)}.test"
    powerdns.create(name)
    powerdns.put(name, name, "A", "127.0.0.1")
    return name


@pytest.fixture
async def certified(
    database_url: Any,
    tmp_path: Path,
    challenges: Path,
    powerdns: PowerDns,
    pebble: Pebble,
    clock: MovableClock,
    wait_until: WaitUntil,
) -> Certified:
    url = await database_url("provisioner")
    return Certified(url, tmp_path, challenges, powerdns, pebble, clock, wait_until)


async def nothing_stands(rig: Rig, certified: Certified, domain: str) -> bool:
    sets = certified.powerdns.sets(domain)
    return not await rig.rows("SELECT 1 FROM challenges") and not any("acme" in name for name, _ in sets)


async def test_a_domain_and_its_wildcard_are_proven_by_dns_and_lie_where_a_web_server_reads_them(
    certified: Certified, domain: str
) -> None:
    before = certified.pebble.issued()
    async with certified.running() as rig:
        install = await rig.bought(**order("both", domain))
        await rig.until_state(install, "active")
        found = await outputs(rig, install)
        ssl.create_default_context().load_cert_chain(found["fullchain"], found["key"])
        assert set(map(mode, found.values())) == {0o600}
        (issued,) = certified.pebble.issued()[len(before) :]
        assert serial(found["fullchain"]) == issued
        await certified.wait_until(lambda: certified.reloads, 10)
        assert set(certified.reloads) == {Path(found["fullchain"]).parent}
        assert await nothing_stands(rig, certified, domain)
        kept = await rig.one("SELECT * FROM certificates")
        assert "PRIVATE KEY" not in str(dict(kept))

        await rig.entitle(install, 2, **order("both", domain) | {"wanted": "ended"})
        await rig.until_state(install, "deleted")
        assert (await rig.until_told(install, InstallDeleted)).proof[0].outcome == "deleted"
        assert mode(found["key"]) is None
        assert await rig.rows("SELECT 1 FROM certificates") == await rig.rows("SELECT 1 FROM certificate_uses") == []


async def test_a_domain_is_proven_over_http(certified: Certified, domain: str) -> None:
    async with certified.running() as rig:
        install = await rig.bought(**order("web", domain))
        await rig.until_state(install, "active")
        assert serial((await outputs(rig, install))["fullchain"]) in certified.pebble.issued()
        await rig.quiet(install)
        assert list(certified.challenges.iterdir()) == []


POINTS = [
    "account.before_commit", "ordered.before_commit", "ordered.after_commit", "challenged.after_commit",
    "issued.before_commit", "issued.after_commit", "stood.before_commit", "settled.before_commit",
]  # fmt: skip


@pytest.mark.parametrize("point", POINTS)
async def test_rule_8_a_provisioner_killed_anywhere_in_an_order_gets_one_certificate(
    certified: Certified, domain: str, nursery: Nursery, point: str
) -> None:
    before = len(certified.pebble.issued())
    async with certified.running() as rig:
        await rig.service.stop()
        install = await rig.bought(**order("both", domain))
    forks = Forks(nursery, certified.folder / "forked")
    await forks.start("provisioner", certified.environment(f"provisioner.certificate.{point}=kill"))
    await forks.ended("provisioner", 60)
    async with certified.running() as rig:
        await free(rig)
        await rig.until_state(install, "active", timeout=30)
        (issued,) = certified.pebble.issued()[before:]
        assert serial((await outputs(rig, install))["fullchain"]) == issued
        await rig.wait_until(lambda: nothing_stands(rig, certified, domain), 10)
        assert len(await rig.rows("SELECT 1 FROM certificates")) == 1


async def test_a_provisioner_killed_while_a_certificate_is_removed_leaves_nothing(
    certified: Certified, domain: str, nursery: Nursery
) -> None:
    async with certified.running() as rig:
        install = await rig.bought(**order("both", domain))
        await rig.until_state(install, "active")
        key = (await outputs(rig, install))["key"]
        await rig.service.stop()
        await rig.entitle(install, 2, **order("both", domain) | {"wanted": "ended"})
    forks = Forks(nursery, certified.folder / "forked")
    await forks.start("provisioner", certified.environment("provisioner.certificate.removed.before_commit=kill"))
    await forks.ended("provisioner", 60)
    async with certified.running() as rig:
        await free(rig)
        await rig.until_state(install, "deleted", timeout=30)
        assert mode(key) is None
        assert await rig.rows("SELECT 1 FROM certificates") == []


async def test_a_server_that_rejects_good_nonces_is_asked_again(
    certified: Certified, domain: str, powerdns: PowerDns
) -> None:
    with private_pebble.serving(powerdns, reject=20) as certified.pebble:
        async with certified.running() as rig:
            install = await rig.bought(**order("both", domain))
            await rig.until_state(install, "active")
        assert len(certified.pebble.issued()) == 1


async def test_a_server_that_dies_and_forgets_everything_is_ordered_from_anew(
    certified: Certified, domain: str, powerdns: PowerDns
) -> None:
    with private_pebble.serving(powerdns) as certified.pebble:
        async with certified.running() as rig:
            certified.pebble.kill()
            install = await rig.bought(**order("both", domain))
            await rig.wait_until(lambda: rig.rows("SELECT 1 FROM work WHERE kind = 'certificate' AND attempts > 0"), 10)
            certified.pebble.start()
            await rig.rows("UPDATE certificates SET order_url = $1", f"{certified.pebble.directory}/forgotten")
            await rig.rows("UPDATE work SET due = $1 WHERE kind = 'certificate'", rig.clock.now())
            await rig.until_state(install, "active", timeout=30)
        assert len(certified.pebble.issued()) == 1


async def test_a_dns_server_that_is_away_keeps_the_order_and_no_challenge_is_left(
    certified: Certified, powerdns: PowerDns
) -> None:
    if not isinstance(powerdns, PrivatePowerDns):
        pytest.skip("a PowerDNS that was given is not killed")
    with ExitStack() as stack:
        own = stack.enter_context(closing(PrivatePowerDns()))
        certified.powerdns, certified.pebble = own, stack.enter_context(private_pebble.serving(own))
        domain = "away.test"
        own.create(domain)
        async with certified.running() as rig:
            own.kill()
            install = await rig.bought(**order("both", domain))
            await rig.wait_until(lambda: rig.rows("SELECT 1 FROM work WHERE kind = 'certificate' AND attempts > 0"), 20)
            own.start()
            rig.clock.move(timedelta(minutes=1))
            await rig.until_state(install, "active", timeout=30)
            assert len(certified.pebble.issued()) == 1
            await rig.wait_until(lambda: nothing_stands(rig, certified, domain), 10)


async def test_somebody_elses_challenge_is_a_hard_error_and_left_as_it_is(certified: Certified, domain: str) -> None:
    certified.powerdns.put(domain, f"_acme-challenge.{domain}", "TXT", '"theirs"')
    async with certified.running() as rig:
        install = await rig.bought(**order("both", domain))
        failed = await rig.until_told(install, InstallFailed)
        assert failed.message == f"the TXT record _acme-challenge.{domain} is somebody else's, and is left as it is"
        await rig.until_state(install, "failed")
        assert certified.powerdns.sets(domain)[f"_acme-challenge.{domain}", "TXT"] == ['"theirs"']
        assert await rig.rows("SELECT 1 FROM certificates") == await rig.rows("SELECT 1 FROM challenges") == []


async def test_a_name_that_cannot_be_proven_waits_ever_longer_and_leaves_no_challenge(
    certified: Certified, domain: str, tmp_path: Path
) -> None:
    nowhere = tmp_path / "not-handed-out"
    async with certified.running(acme_challenges=nowhere) as rig:
        install = await rig.bought(**order("web", domain))
        await rig.wait_until(lambda: rig.rows("SELECT 1 FROM certificates WHERE failures = 1"), 20)
        await rig.wait_until(lambda: nothing_stands(rig, certified, domain), 10)
        assert list(nowhere.iterdir()) == []
        row = await rig.one("SELECT * FROM certificates")
        assert row.retry_at - rig.clock.now() > timedelta(minutes=4)
        assert domain in row.message
        ordered = row.ordered_at
        rig.clock.move(timedelta(minutes=2))
        await rig.quiet(install)
        assert (await rig.one("SELECT ordered_at FROM certificates")).ordered_at == ordered
        rig.clock.move(timedelta(minutes=4))
        await rig.wait_until(lambda: rig.rows("SELECT 1 FROM certificates WHERE failures = 2"), 20)
        waiting = [event for event in await rig.events(install, InstallWaiting) if domain in str(event.detail)]
        assert waiting[0].reason == "not_ready"


async def test_a_certificate_is_renewed_after_two_thirds_of_its_life_at_the_same_place(
    certified: Certified, domain: str
) -> None:
    before = len(certified.pebble.issued())
    async with certified.running() as rig:
        install = await rig.bought(**order("both", domain))
        await rig.until_state(install, "active")
        found = await outputs(rig, install)
        first = serial(found["fullchain"])
        rig.clock.move(timedelta(minutes=39))
        assert len(certified.pebble.issued()) == before + 1
        rig.clock.move(timedelta(minutes=2))
        await rig.wait_until(lambda: serial(found["fullchain"]) != first, 20)
        ssl.create_default_context().load_cert_chain(found["fullchain"], found["key"])
        await rig.wait_until(lambda: len(certified.reloads) >= 2, 10)
        rig.clock.move(timedelta(minutes=5))
        await rig.quiet(install)
        assert len(certified.pebble.issued()) == before + 2
        assert sorted(path.name for path in Path(found["key"]).parents[1].iterdir()) == sorted(
            ["current", serial(found["fullchain"])]
        )


async def test_a_limit_of_the_server_is_waited_for_as_long_as_it_says(certified: Certified, domain: str) -> None:
    with AcmeProxy(certified.pebble) as proxy:
        proxy.retry_after = "7200"
        async with certified.running(acme_directory=proxy.directory) as rig:
            install = await rig.bought(**order("both", domain))
            waiting = await rig.until_told(install, InstallWaiting)
            while waiting.reason != "capacity":
                seen = len(await rig.events(install, InstallWaiting))
                waiting = await rig.until_told(install, InstallWaiting, seen + 1)
            assert "too many certificates" in str(waiting.detail)
            row = await rig.one("SELECT * FROM certificates")
            assert timedelta(minutes=118) < row.retry_at - rig.clock.now() <= timedelta(hours=2)
            assert row.failures == 0
            proxy.retry_after = None
            rig.clock.move(timedelta(minutes=115))
            await rig.quiet(install)
            assert proxy.orders == 1
            rig.clock.move(timedelta(minutes=6))
            await rig.wait_until(lambda: rig.rows("SELECT 1 FROM certificates WHERE serial IS NOT NULL"), 20)
            rig.clock.move(timedelta(minutes=1))
            await rig.until_state(install, "active")
            assert proxy.orders == 2


async def test_a_server_may_ask_for_a_renewal_before_its_time(certified: Certified, domain: str) -> None:
    renewed_after = "SELECT extract(epoch FROM renew_at - issued_at)::int AS seconds FROM certificates"
    with AcmeProxy(certified.pebble) as proxy:
        proxy.window = (timedelta(minutes=20), timedelta(minutes=21))
        async with certified.running(acme_directory=proxy.directory) as rig:
            install = await rig.bought(**order("both", domain))
            await rig.until_state(install, "active")
            await rig.quiet(install)
            first = serial((await outputs(rig, install))["fullchain"])
            assert 20 * 60 - 5 <= (await rig.one(renewed_after)).seconds <= 21 * 60 + 5
            proxy.window = (timedelta(hours=-2), timedelta(hours=-1))  # at once, of whatever it issues
            rig.clock.move(timedelta(minutes=22))
            await rig.wait_until(lambda: rig.rows("SELECT 1 FROM certificates WHERE serial <> $1", first), 20)
            await rig.wait_until(lambda: rig.rows("SELECT 1 FROM certificates WHERE renew_at < $1", _soon(rig)), 20)
            assert (await rig.one(renewed_after)).seconds == 150
            assert proxy.orders == 2


def _soon(rig: Rig) -> Any:
    return rig.clock.now() + timedelta(minutes=5)


async def test_caa_records_are_asked_before_an_order(certified: Certified, domain: str) -> None:
    certified.powerdns.put(domain, domain, "CAA", '0 issue "other.example"')
    with AcmeProxy(certified.pebble) as proxy:
        async with certified.running(acme_caa_identities=("ca.example",), acme_directory=proxy.directory) as rig:
            install = await rig.bought(**order("both", domain))
            waiting = await rig.until_told(install, InstallWaiting)
            while waiting.reason != "needs_customer":
                seen = len(await rig.events(install, InstallWaiting))
                waiting = await rig.until_told(install, InstallWaiting, seen + 1)
            assert waiting.detail == f"the CAA records of {domain} do not allow ca.example"
            assert proxy.orders == 0
            certified.powerdns.put(domain, domain, "CAA", '0 issue "ca.example; validationmethods=dns-01"')
            await rig.ask("POST", f"/internal/installs/{install}/retry", {"reason": "they changed it"})
            await rig.until_state(install, "active", timeout=30)


async def test_a_wildcard_of_the_base_domain_is_ordered_once_for_all_installs(
    certified: Certified, domain: str
) -> None:
    before = len(certified.pebble.issued())
    async with certified.running(base_domain=domain) as rig:
        for _ in range(2):
            both = [await rig.bought(**order("shared", "")) for _ in range(2)]
            for install in both:
                await rig.until_state(install, "active")
            assert len({(await outputs(rig, install))["key"] for install in both}) == 1
            for install in both:
                await rig.entitle(install, 2, **order("shared", "") | {"wanted": "ended"})
                await rig.until_state(install, "deleted")
        assert len(certified.pebble.issued()) == before + 1


async def test_operators_see_certificates_and_order_one_anew(certified: Certified, domain: str) -> None:
    async with certified.running() as rig:
        install = await rig.bought(**order("both", domain))
        await rig.until_state(install, "active")
        (shown,) = (await rig.ask("GET", "/internal/certificates", role="viewer")).json()["items"]
        assert (shown["names"], shown["status"], shown["installs"]) == (
            [f"*.{domain}", domain], "issued", [str(install)]
        )  # fmt: skip
        assert "key" not in shown
        path = f"/internal/certificates/{shown['id']}/renew"
        assert (await rig.ask("POST", path, {"reason": "a test"}, role="viewer")).status_code == 403
        assert (await rig.ask("POST", path, {"reason": "a test"})).status_code == 200
        await rig.wait_until(lambda: rig.rows("SELECT 1 FROM certificates WHERE serial <> $1", shown["serial"]), 20)
        assert [event.action for event in await rig.events(install, OperatorActed)] == ["certificate.renew"]
        unknown = await rig.ask("POST", f"/internal/certificates/{install}/renew", {"reason": "a test"})
        assert (unknown.status_code, unknown.json()["code"]) == (404, "certificate_unknown")


async def test_an_operators_own_pair_is_used_watched_and_its_end_is_told_ever_more_often(
    certified: Certified, tmp_path: Path
) -> None:
    file, key = tmp_path / "own.pem", tmp_path / "own.key"
    make_pair(file, key, "shop.example.com", days=40)
    limits = {"name_of_it": "shop.example.com", "file": str(file), "key": str(key)}
    async with certified.running() as rig:
        install = await rig.bought(**order("own", "", **limits))
        await rig.until_state(install, "active")
        assert await outputs(rig, install) == {"fullchain": str(file), "key": str(key)}
        for days, left in ((29, None), (2, 8), (2, 6), (1, None), (3, 2)):
            seen = len(await rig.events(install, CertificateExpiring))
            rig.clock.move(timedelta(days=days))
            await _watched(rig)
            told = await rig.events(install, CertificateExpiring)
            if left is None:
                assert len(told) == seen
            else:
                assert [event.days_left for event in told[seen:]] == [left]
                assert told[-1].names == ["shop.example.com"]
        make_pair(file, key, "shop.example.com", days=60)  # the operator has replaced it, and says so to nobody
        rig.clock.move(timedelta(days=1))
        await _watched(rig)
        assert len(await rig.events(install, CertificateExpiring)) == 3
        renewed = await rig.ask("GET", "/internal/certificates")
        refused = await rig.ask(
            "POST", f"/internal/certificates/{renewed.json()['items'][0]['id']}/renew", {"reason": "a test"}
        )
        assert refused.json()["code"] == "certificate_given"


async def _watched(rig: Rig) -> None:
    """Until the daily watch has run at the clock's time, and is due at the next 04:00."""

    async def done() -> bool:
        row = await rig.one("SELECT due FROM work WHERE kind = 'certificate_watch' AND state = 'open'")
        return bool(row.due > rig.clock.now()) and (row.due.hour, row.due.minute) == (4, 0)

    await rig.wait_until(done, 15)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda file, key: key.unlink(), "cannot be read: No such file or directory"),
        (lambda file, key: make_pair(file, file.with_suffix(".other"), "shop.example.com"), "do not belong together"),
        (lambda file, key: make_pair(file, key, "other.example.com"), "does not cover shop.example.com"),
        (lambda file, key: file.write_bytes(b"\xff\x00"), "cannot be read: it is no text"),
    ],
)
async def test_an_operators_own_pair_that_does_not_fit_needs_an_operator(
    certified: Certified, tmp_path: Path, spoil: Any, said: str
) -> None:
    file, key = tmp_path / "own.pem", tmp_path / "own.key"
    make_pair(file, key, "shop.example.com")
    spoil(file, key)
    limits = {"name_of_it": "shop.example.com", "file": str(file), "key": str(key)}
    async with certified.running() as rig:
        install = await rig.bought(**order("own", "", **limits))
        waiting = await rig.until_told(install, InstallWaiting)
        assert waiting.reason == "needs_operator"
        assert said in str(waiting.detail)
