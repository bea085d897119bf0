"""The worked example of docs/selling.md: its program, blueprint and catalogue, as they stand there, sell."""

from pathlib import Path

import httpx
import pytest

from keyturn.http import new_client
from sandbox.postgres import SERVICES
from sandbox.shopper import Bought, Shopper
from sandbox.system import System
from support import pages
from support.databases import Databases

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("docs")]
PAGE = "selling.md"
PASSWORD = "correct horse battery"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The three files, each where the page says, below one folder."""
    folder = tmp_path / "notes"
    (folder / "blueprints").mkdir(parents=True)
    program = folder / "notes.py"
    program.write_text(pages.marked(PAGE, "notes-program").text)
    blueprint = pages.marked(PAGE, "notes-blueprint").text.replace("/srv/notes/notes.py", str(program))
    (folder / "blueprints/notes.yaml").write_text(blueprint)
    (folder / "catalog.yaml").write_text(pages.marked(PAGE, "notes-catalog").text)
    return folder


async def test_the_worked_example_sells_an_instance_that_takes_the_customers_password(
    files: Path, tmp_path: Path, databases: Databases
) -> None:
    given = {f"{name.upper()}_DATABASE_URL": await databases.create(name) for name in SERVICES}
    made = list(given.values())
    given |= {"CATALOG": str(files / "catalog.yaml"), "BLUEPRINTS": str(files / "blueprints")}
    try:
        async with System(tmp_path / "system", given=given) as system, new_client(base_url=system.url) as client:
            shopper = Shopper(client, system.stripe, system.razorpay, system.mailbox)
            token = system.token_file.read_text().strip()
            bought = await shopper.order("ada@example.com", storeName="Ada's notes")
            assert (bought.answer["plan"], bought.answer["amount"]) == ("notes-small", 1900)
            shopper.pay(bought)
            await _hear(shopper, bought, token, "setup_link.issued.v1")
            await system.mailbox.wait_for(bought.email, subject="choose your password")
            link = shopper.setup_link(bought)
            assert link
            with pytest.raises(httpx.HTTPStatusError, match="Ten characters at least, please"):
                await shopper.set_password(link, "short")
            url = (await shopper.set_password(link, PASSWORD))["url"]
            await _hear(shopper, bought, token, "install.activated.v1")
            assert (await client.get(url)).json() == {"status": "ok", "site": "Ada's notes", "memory": "128M"}
            welcome = await client.post(f"{url}login", json={"password": PASSWORD})
            assert welcome.json() == {"welcome": "ada@example.com"}
            operator = {"authorization": f"Bearer {token}"}
            path = f"/api/installs/{bought.purchase_id}/delete"
            (
                await client.post(path, headers=operator, json={"reason": "the test is over", "now": True})
            ).raise_for_status()
            await _hear(shopper, bought, token, "install.deleted.v1")
    finally:
        for url in made:
            await databases.drop(url)


async def _hear(shopper: Shopper, bought: Bought, token: str, wire: str) -> None:
    async for event in shopper.watch(bought.purchase_id, {"authorization": f"Bearer {token}"}):
        if event["type"] == wire:
            return
