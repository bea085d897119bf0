"""A certificate that nginx itself proves, shows and, after its renewal, shows anew, without being told."""

import asyncio
import os
import secrets
import ssl
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from keyturn.clock import MovableClock
from support import pebble as private_pebble
from support.certified import Certified, order
from support.nginx import PrivateNginx
from support.powerdns import PowerDns
from support.provisioning import WaitUntil

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("powerdns")]

RECIPE = """
name: certified-site
resources:
  certificate: {type: tls.certificate, names: ["{purchase.domain}"]}
  site:
    type: nginx.site
    hostname: "{purchase.domain}"
    upstream: "127.0.0.1:9"
    certificate: "{certificate.fullchain}"
    certificate_key: "{certificate.key}"
"""


async def test_a_site_has_its_own_certificate_proven_through_nginx_and_renewed_behind_it(
    database_url: Any,
    tmp_path: Path,
    powerdns: PowerDns,
    web: PrivateNginx,
    clock: MovableClock,
    wait_until: WaitUntil,
) -> None:
    domain = f"site-{secrets.token_hex(4)}.test"
    powerdns.create(domain)
    powerdns.put(domain, domain, "A", "127.0.0.1")
    with private_pebble.serving(powerdns, http_port=web.http) as pebble:
        certified = Certified(
            await database_url("provisioner"), tmp_path, web.challenges, powerdns, pebble, clock, wait_until
        )
        (certified.recipes() / "site.yaml").write_text(RECIPE)
        folder = web.challenges.parent / "tls"
        trust = ssl.create_default_context(cadata=pebble.root_certificate())
        async with certified.running(**web.settings, tls_data=folder) as rig:
            await rig.ask("POST", "/internal/nginx/regenerate", {"reason": "to begin"}, role="operator")
            await web.start()
            install = await rig.bought(**order("certified-site", domain))
            await rig.wait_until(lambda: rig.rows("SELECT 1 FROM certificates WHERE serial IS NOT NULL"), 20)
            await rig.wait_until(lambda: _belongs_to(web, folder), 10)
            await rig.until_state(install, "active", timeout=30)
            first = await _shown(web, domain, trust)
            assert first in pebble.issued()
            rig.clock.move(timedelta(minutes=41))
            await rig.wait_until(lambda: len(pebble.issued()) == 2, 20)
            await rig.wait_until(lambda: _belongs_to(web, folder, pebble.issued()[1]), 10)

            async def renewed() -> bool:
                return await _shown(web, domain, trust) == pebble.issued()[1] != first

            await rig.wait_until(renewed, 10)


def _belongs_to(web: PrivateNginx, folder: Path, serial: str = "") -> bool:
    """The provisioner and nginx are one user's; in a test as root nginx is another's, and is given what there is."""
    found = list(folder.rglob("key.pem"))
    with suppress(FileNotFoundError):  # not there yet, or an older one that is just going
        for path in (folder, *folder.rglob("*")):
            if web._who:
                os.chown(path, web._who["user"], web._who["group"], follow_symlinks=False)
        return any(serial in str(path.parent) for path in found)
    return False


async def _shown(web: PrivateNginx, host: str, trust: ssl.SSLContext) -> str:
    """The serial of what nginx shows for the name, if that is to be trusted."""
    _, writer = await asyncio.open_connection("127.0.0.1", web.https, ssl=trust, server_hostname=host)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return f"{x509.load_der_x509_certificate(shown).serial_number:x}"
