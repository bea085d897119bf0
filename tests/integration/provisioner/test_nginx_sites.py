"""Sites behind a real nginx: through the engine, with real programs behind them."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import httpx
import pytest
from prometheus_client import REGISTRY

from keyturn.clock import MovableClock
from keyturn.events import InstallFailed, InstallPlanChanged, InstallReady, InstallWaiting
from provisioner.repository import sites
from provisioner.resources import kinds, processes
from provisioner.resources.local import Local
from provisioner.resources.nginx_program import NginxProgram
from provisioner.resources.nginx_server import Nginx
from provisioner.resources.port import NeedsOperator
from support.nginx import DOMAIN, PrivateNginx
from support.provisioning import Rig, WaitUntil, running, settings_for

pytestmark = pytest.mark.servers

ECHO = Path(__file__).parents[2] / "support" / "echo_app.py"
ECHOING = f"""
name: echoing
resources:
  app:
    type: local.process
    argv: ["{sys.executable}", -I, -S, "{ECHO}"]
    env: {{NAME: "{{purchase.store_name}}"}}
  site:
    type: nginx.site
    hostname: "{{install.hostname}}"
    domains: ["{{purchase.domain}}"]
    upstream: "{{app.host}}:{{app.port}}"
    body_size: "{{plan.upload}}"
outputs: {{url: "{{site.url}}/"}}
"""
# Nobody is behind it: what is looked at is nginx.
ALONE = """
name: alone
resources:
  site: {type: nginx.site, hostname: "{install.hostname}", upstream: "127.0.0.1:9"}
outputs: {url: "{site.url}/"}
"""
CERTIFIED = """
name: certified
resources:
  site:
    type: nginx.site
    hostname: "{install.hostname}"
    upstream: "127.0.0.1:9"
    certificate: "FOLDER/own.crt"
    certificate_key: "FOLDER/own.key"
"""
BEHIND_NOBODY = 502
MakeRig: TypeAlias = Callable[..., Awaitable[Rig]]


@pytest.fixture
async def make_rig(
    database_url: Any, tmp_path: Path, clock: MovableClock, wait_until: WaitUntil, web: PrivateNginx
) -> AsyncIterator[MakeRig]:
    """A provisioner with nginx running in front; more calls give more replicas."""
    url = await database_url("provisioner")
    recipes = tmp_path / "blueprints"
    recipes.mkdir()
    settings = settings_for(url, tmp_path, **web.settings)
    for name, text in {"echoing": ECHOING, "alone": ALONE, "certified": CERTIFIED}.items():
        (recipes / f"{name}.yaml").write_text(text.replace("FOLDER", str(web.certificate.parent)))
    async with AsyncExitStack() as stack:

        async def make(*, start: bool = True, **layout: Any) -> Rig:
            known = None
            if layout and settings.layout:
                rig_nginx = Nginx(replace(settings.layout, **layout), lambda: sites.all_of_them(database), sites)
                stack.push_async_callback(rig_nginx.close)
                known = kinds(httpx.AsyncClient(), Local(settings.local_data, settings.port_range), nginx=rig_nginx)
            rig = await stack.enter_async_context(running(settings, clock, wait_until, recipes=recipes, kinds=known))
            database = rig.service.database
            await regenerated(rig)
            await wait_until(partial(_has_been_minded, rig), 15)
            if start and not web.running:
                await web.start()
            return rig

        yield make
    await processes.stop_under(settings.local_data)


async def _has_been_minded(rig: Rig) -> bool:
    """Not again for ten minutes: a test may change what stands there."""
    return bool(await rig.rows("SELECT FROM work WHERE kind = 'nginx' AND due > $1", rig.clock.now()))


async def regenerated(rig: Rig, *, dry: bool = False) -> dict[str, Any]:
    asked = {"reason": "to see", "dry_run": dry}
    answer = await rig.ask("POST", "/internal/nginx/regenerate", asked, role="operator")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def bought(rig: Rig, name: str, blueprint: str = "alone", **said: Any) -> UUID:
    parameters = {"subdomain": name, "store_name": name, **said.pop("parameters", {})}
    return await rig.bought(blueprint=blueprint, parameters=parameters, **said)


async def sold(rig: Rig, *names: str) -> None:
    for install in [await bought(rig, name) for name in names]:
        await rig.until_state(install, "active")


def host(name: str) -> str:
    return f"{name}.{DOMAIN}"


async def test_a_site_is_made_changed_suspended_resumed_and_removed(make_rig: MakeRig, web: PrivateNginx) -> None:
    rig = await make_rig()
    small, large = {"limits": {"upload": "1M"}}, {"limits": {"upload": "8M"}, "plan": "large"}
    order = {"blueprint": "echoing", "parameters": {"subdomain": "janes", "store_name": "janes"}}
    install = await rig.bought(**order, **small)
    await rig.until_state(install, "active")
    url = (await rig.events(install, InstallReady))[0].url
    assert url == f"https://{host('janes')}:{web.https}/"

    told = (await web.get(host("janes"), "/a%2Fb?c=d", headers={"x-forwarded-for": "6.6.6.6"})).json()
    assert (told["name"], told["path"]) == ("janes", "/a%2Fb?c=d")
    sent = {name: told["headers"][name] for name in ("host", "x-forwarded-for", "x-forwarded-proto")}
    assert sent == {
        "host": f"{host('janes')}:{web.https}",
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "https",
    }
    assert await web.talk(host("janes"), "hello", "again") == ["hello", "again"]

    assert await web.status(host("janes"), method="POST", content=b"x" * 2_000_000) == 413
    await rig.entitle(install, 2, **order, **large)
    await rig.until_told(install, InstallPlanChanged)
    assert (await web.get(host("janes"), method="POST", content=b"x" * 2_000_000)).json()["received"] == 2_000_000

    await rig.entitle(install, 3, **order, **large, wanted="suspended", reasons=["nonpayment"])
    await rig.until_state(install, "suspended")
    for method in ("GET", "POST"):
        page = await web.get(host("janes"), "/any", method=method)
        assert (page.status_code, page.headers["retry-after"], page.headers["cache-control"]) == (
            503,
            "3600",
            "no-store",
        )
        assert "This site is suspended" in page.text
    await rig.entitle(install, 4, **order, **large)
    await rig.until_state(install, "active")
    assert (await web.get(host("janes"))).json()["name"] == "janes"

    await rig.entitle(install, 5, **order, **large, wanted="ended", delete_after=rig.clock.now())
    await rig.until_state(install, "deleted")
    assert await web.status(host("janes")) == 404
    assert await rig.rows("SELECT FROM sites") == []


async def test_who_is_no_site_is_told_nothing(make_rig: MakeRig, web: PrivateNginx) -> None:
    rig = await make_rig()
    await sold(rig, "janes")
    assert await web.status(host("nobody")) == 404
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{web.http}") as client:
        to = (await client.get("/a?b", headers={"host": host("janes")})).headers["location"]
        assert to == f"https://{host('janes')}:{web.https}/a?b"
        assert (await client.get("/", headers={"host": "evil.example"})).status_code == 404
        (web.challenges / "token").write_text("proof")
        challenge = "/.well-known/acme-challenge/token"
        assert (await client.get(challenge, headers={"host": "any.example"})).text == "proof"


async def test_a_customers_domain_is_the_same_site(make_rig: MakeRig, web: PrivateNginx) -> None:
    rig = await make_rig()
    limits = {"upload": "1M"}
    install = await bought(rig, "janes", "echoing", parameters={"domain": "janes.example"}, limits=limits)
    await rig.until_state(install, "active")
    context = web.trusting()
    context.check_hostname = False  # the wildcard's certificate is shown
    async with httpx.AsyncClient(verify=context) as client:
        answer = await client.get(f"https://127.0.0.1:{web.https}/", headers={"host": "janes.example"})
    assert answer.json()["name"] == "janes"
    other = await bought(rig, "others", "echoing", parameters={"domain": "janes.example"}, limits=limits)
    assert (await rig.until_told(other, InstallWaiting)).reason == "needs_customer"


async def test_rule_16_a_tenth_site_that_nginx_refuses_stops_neither_the_nine_nor_the_next(
    make_rig: MakeRig, web: PrivateNginx
) -> None:
    rig = await make_rig(bucket=64)
    nine = [f"site{n}" for n in range(9)]
    await sold(rig, *nine)
    tenth = "long-" + "x" * 50  # longer than nginx has room for in this table
    install, eleventh = await bought(rig, tenth), await bought(rig, "next")
    failed = await rig.until_told(install, InstallFailed)
    assert "could not build map_hash, you should increase map_hash_bucket_size: 64" in failed.message
    await rig.until_state(eleventh, "active")
    assert {await web.status(host(name)) for name in [*nine, "next"]} == {BEHIND_NOBODY}
    assert await web.status(host(tenth)) == 404
    await rig.until_state(install, "failed")
    assert not await rig.rows("SELECT FROM sites WHERE install_id = $1", install)


async def test_rule_16_a_row_that_nginx_refuses_is_left_out_alone(make_rig: MakeRig, web: PrivateNginx) -> None:
    rig = await make_rig(bucket=64)
    await sold(rig, "good", "other")
    long = host("long-" + "x" * 50)
    await rig.rows("UPDATE sites SET hostname = $1 WHERE hostname = $2", long, host("other"))
    told = await regenerated(rig)
    assert [one["hostname"] for one in told["refused"]] == [long]
    await sold(rig, "next")
    assert [await web.status(host(name)) for name in ("good", "next")] == [BEHIND_NOBODY] * 2


async def test_rule_16_a_row_that_nobody_of_ours_wrote_never_reaches_the_file(
    make_rig: MakeRig, web: PrivateNginx
) -> None:
    rig = await make_rig()
    await sold(rig, "good", "other")
    hostile = "x.example 127.0.0.1; } server { listen 1"
    await rig.rows("UPDATE sites SET hostname = $1 WHERE hostname = $2", hostile, host("other"))
    told = await regenerated(rig)
    assert [one["hostname"] for one in told["refused"]] == [hostile]
    assert hostile not in web.configuration.read_text()
    await sold(rig, "next")
    assert [await web.status(host(name)) for name in ("good", "next")] == [BEHIND_NOBODY] * 2


async def test_the_wildcards_certificate_may_be_renewed_or_be_missing_for_a_while(
    make_rig: MakeRig, web: PrivateNginx
) -> None:
    rig = await make_rig()
    await sold(rig, "janes")
    old = web.trusting()
    kept = web.certificate.read_bytes()
    web.certificate.unlink()
    install = await bought(rig, "next")
    waiting = await rig.until_told(install, InstallWaiting)
    assert waiting.reason == "needs_operator"
    assert "cannot load certificate" in (waiting.detail or "")
    assert await web.status(host("janes"), trusting=old) == BEHIND_NOBODY
    web.certificate.write_bytes(kept)
    await rig.ask("POST", f"/internal/installs/{install}/retry", {"reason": "it is back"})
    await rig.until_state(install, "active")
    web.certify("wildcard", f"*.{DOMAIN}")
    assert (await regenerated(rig))["changed"]
    assert await web.status(host("janes")) == BEHIND_NOBODY


async def test_rule_16_a_missing_certificate_stops_its_own_site_alone(make_rig: MakeRig, web: PrivateNginx) -> None:
    rig = await make_rig()
    nine = [f"site{n}" for n in range(9)]
    await sold(rig, *nine)
    install = await bought(rig, "certified", "certified")
    waiting = await rig.until_told(install, InstallWaiting)
    assert waiting.reason == "needs_operator"
    assert "own.crt cannot be used: No such file" in (waiting.detail or "")
    own = web.certify("own", host("certified"))
    await rig.ask("POST", f"/internal/installs/{install}/retry", {"reason": "it is there"})
    await rig.until_state(install, "active")
    assert await web.status(host("certified"), trusting=web.trusting(own[0])) == BEHIND_NOBODY
    renewed = web.certify("own", host("certified"))  # in place: served at once
    trusting = web.trusting(renewed[0])
    assert await web.status(host("certified"), trusting=trusting) == BEHIND_NOBODY
    own[0].unlink()
    with pytest.raises(httpx.ConnectError, match="alert internal error"):
        await web.get(host("certified"), trusting=trusting)
    await sold(rig, "tenth")
    assert {await web.status(host(name)) for name in [*nine, "tenth"]} == {BEHIND_NOBODY}


async def test_rule_16_where_nginx_cannot_reload_it_serves_on_and_the_file_is_as_before(
    make_rig: MakeRig, web: PrivateNginx
) -> None:
    rig = await make_rig()
    nine = [f"site{n}" for n in range(9)]
    await sold(rig, *nine)
    before = web.configuration.read_bytes()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        http = (f"127.0.0.1:{web.http}", f"127.0.0.1:{taken.getsockname()[1]}")
        elsewhere = _with(rig, http=http)
        with pytest.raises(
            NeedsOperator, match=r"goes on as before: .*bind\(\) to .* failed \(98: Address already in use\)"
        ):
            await elsewhere.apply()
        await elsewhere.close()
    assert web.configuration.read_bytes() == before
    assert {await web.status(host(name)) for name in nine} == {BEHIND_NOBODY}
    await sold(rig, "tenth")


def _with(rig: Rig, **layout: Any) -> Nginx:
    """As if the settings had been changed."""
    found = rig.service.deps.settings.layout
    assert found is not None
    return Nginx(replace(found, **layout), lambda: sites.all_of_them(rig.service.database), sites)


async def test_a_warning_of_nginx_is_a_no(make_rig: MakeRig, web: PrivateNginx) -> None:
    await make_rig(start=False)
    program = NginxProgram(web.folder)
    right, end = web.configuration.read_text().removesuffix("}\n"), "}\n"
    server = f"server {{ listen 127.0.0.1:{web.http}; server_name a.example; }}\n"
    assert await program.test(right + server + end) == ""
    assert 'conflicting server name "a.example"' in await program.test(right + server + server + end)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_nginx_stopped_in_the_middle_is_waited_for(
    make_rig: MakeRig, web: PrivateNginx, how: signal.Signals
) -> None:
    rig = await make_rig()
    await sold(rig, "first")
    removed = (await rig.one("SELECT id FROM installs")).id
    web.stop(how)
    install = await bought(rig, "second")
    waiting = await rig.until_told(install, InstallWaiting)
    assert (waiting.reason, waiting.detail) == ("not_ready", "nginx does not run")
    await rig.entitle(removed, 2, blueprint="alone", wanted="ended", delete_after=rig.clock.now())
    await rig.until_state(removed, "deleted")  # what does not run serves nothing
    await web.start()
    rig.clock.move(timedelta(seconds=10))
    await rig.until_state(install, "active")
    assert [await web.status(host(name)) for name in ("first", "second")] == [404, BEHIND_NOBODY]


async def test_changes_that_come_together_share_reloads_over_replicas_too(make_rig: MakeRig, web: PrivateNginx) -> None:
    rig = await make_rig()
    await make_rig()
    before = _reloads()
    installs = await asyncio.gather(*(bought(rig, f"many{n}") for n in range(30)))
    for install in installs:
        await rig.until_state(install, "active")
    assert 1 <= _reloads() - before < 15
    assert {await web.status(host(f"many{n}")) for n in range(30)} == {BEHIND_NOBODY}


def _reloads() -> float:
    return REGISTRY.get_sample_value("keyturn_nginx_reloads_total") or 0


async def test_two_orders_that_race_for_one_name_make_one_site(make_rig: MakeRig, web: PrivateNginx) -> None:
    rig = await make_rig()
    await make_rig()
    both = await asyncio.gather(bought(rig, "wanted"), bought(rig, "wanted"))
    for install in both:
        await rig.quiet(install)
    states = sorted([await rig.state(install) for install in both])
    assert states[0] == "active"
    assert len(await rig.rows("SELECT FROM sites WHERE hostname = $1", host("wanted"))) == 1


async def test_the_configuration_is_made_anew_byte_for_byte(make_rig: MakeRig, web: PrivateNginx) -> None:
    rig = await make_rig()
    await sold(rig, "janes", "toms")
    right = web.configuration.read_bytes()
    assert (await regenerated(rig))["changed"] is False
    web.configuration.write_bytes(right.replace(b"127.0.0.1:9;", b"127.0.0.1:10;"))
    shown = await regenerated(rig, dry=True)
    assert shown["changed"]
    assert [line[-32:] for line in shown["diff"] if line.startswith("+upstream")] == [
        "server 127.0.0.1:9; keepalive 4; }"[-32:]
    ] * 2
    assert web.configuration.read_bytes() != right
    assert (await regenerated(rig))["changed"]
    assert web.configuration.read_bytes() == right
    web.configuration.unlink()
    other = await make_rig()
    assert web.configuration.read_bytes() == right, f"{other} made it"
    assert {await web.status(host(name)) for name in ("janes", "toms")} == {BEHIND_NOBODY}
    acted = await rig.rows("SELECT convert_from(body, 'UTF8') AS body FROM outbox WHERE subject = 'nginx'")
    assert "nginx.regenerate" in acted[-1].body


async def test_without_an_nginx_of_ours_a_site_waits_for_an_operator(
    database_url: Any, tmp_path: Path, clock: MovableClock, wait_until: WaitUntil
) -> None:
    recipes = tmp_path / "blueprints"
    recipes.mkdir()
    (recipes / "alone.yaml").write_text(ALONE)
    settings = settings_for(await database_url("provisioner"), tmp_path)
    async with running(settings, clock, wait_until, recipes=recipes) as rig:
        install = await bought(rig, "janes")
        waiting = await rig.until_told(install, InstallWaiting)
        assert waiting.reason == "needs_operator"
        assert "NGINX_DIR" in (waiting.detail or "")
        room = await rig.ask("POST", "/internal/room", {"blueprint": "alone", "limits": {}})
        assert room.json() == {"room": False}
        asked = await rig.ask("POST", "/internal/nginx/regenerate", {"reason": "to see"})
        assert (asked.status_code, asked.json()["code"]) == (409, "nginx_not_ours")
