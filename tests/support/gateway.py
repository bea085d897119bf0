"""The gateway's real application on a real database, asked without a network; the other services are stand-ins."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx
from sqlalchemy import text

from gateway.deps import GatewayDeps
from keyturn.service import Service


@dataclass
class Services:
    """Billing and the provisioner as the gateway sees them: a table from path to what answers."""

    answers: dict[str, Callable[[httpx.Request], httpx.Response]] = field(default_factory=dict)
    asked: list[httpx.Request] = field(default_factory=list)

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        for path, answer in self.answers.items():
            if request.url.path == path:
                return answer(request)
        raise httpx.ConnectError("away")


@dataclass
class Gateway:
    client: httpx.AsyncClient
    service: Service[GatewayDeps]
    services: Services

    async def rows(self, sql: str, **values: Any) -> list[Any]:
        async with self.service.database.transaction("look") as tx:
            return list((await tx.session.execute(text(sql), values)).all())

    async def count(self, table: str) -> int:
        return int((await self.rows(f"SELECT count(*) FROM {table}"))[0][0])


class Start(Protocol):
    def __call__(self, **settings: Any) -> Awaitable[Gateway]: ...
