"""The sandbox's mailbox and stand-ins ask for no password, so a web page elsewhere must not reach them: not even by a
name of its own that it lets point to 127.0.0.1 (DNS rebinding)."""

import httpx
from fastapi import FastAPI

from sandbox.loopback import Loopback


async def test_a_foreign_name_for_this_machine_is_refused() -> None:
    app = FastAPI()

    @app.get("/")
    async def mails() -> str:
        return "a setup link"

    server = Loopback()
    await server.start(app)
    try:
        async with httpx.AsyncClient(base_url=server.url) as client:
            assert (await client.get("/")).status_code == 200
            assert (await client.get("/", headers={"host": f"localhost:{server.port}"})).status_code == 200
            assert (await client.get("/", headers={"host": f"evil.example:{server.port}"})).status_code == 400
    finally:
        await server.stop()
