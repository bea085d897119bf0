"""Every route of every service, and the role that it demands: read from the routes themselves, for `docs/routes.md`."""

import importlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, cast

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from gateway.app import ROUTERS
from gateway.operators import Demands as OperatorToken
from gateway.sessions import Demands as Session
from keyturn.internal import Demands as InternalToken
from keyturn.operations_api import work_router

ANYBODY = "anybody"
INTRO = """\
# Routes and roles

Generated from the routes by `make docs`; a test asks each of them in every role. A role may do what those before it do:
public, customer, viewer, operator, admin. People with a token are one of the last three; a customer is who has signed
in by a mailed link, and at the gateway nobody else is one; below `/internal` only the
gateway's signed token counts, which it makes in a visitor's, a customer's or an operator's name. What is open to
anybody looks for its own proof where it needs one: an access token, a ticket, a setup token, an e-mail address. The
webhooks' addresses stand in front of these routes and want the provider's signature."""


class Row(NamedTuple):
    method: str
    path: str
    role: str


def rows(routes: Iterable[Any], prefix: str = "") -> Iterator[Row]:
    """Also of routers that an application, or another router, only refers to."""
    for route in routes:
        if inner := getattr(route, "original_router", None):
            yield from rows(inner.routes, prefix + route.include_context.prefix)
        elif isinstance(route, APIRoute):
            for method in sorted(route.methods or ()):
                yield Row(method, prefix + route.path, role_of(route.dependant))


def role_of(dependant: Dependant) -> str:
    calls = [dependant.call, *(inner.call for inner in dependant.dependencies)]
    return next((call.role for call in calls if isinstance(call, OperatorToken | InternalToken | Session)), ANYBODY)


def of_service(name: str) -> list[Row]:
    own = ROUTERS if name == "gateway" else [importlib.import_module(f"{name}.api").router]
    shared = work_router(cast("Any", None))  # the database is asked for by none of its signatures
    return sorted(
        {row for router in (shared, *own) for row in rows(router.routes)}, key=lambda row: (row.path, row.method)
    )


def page(services: Iterable[str]) -> str:
    parts = [INTRO]
    for name in services:
        table = [f"| {row.method} | `{row.path}` | {row.role} |" for row in of_service(name)]
        parts.append("\n".join([f"## {name}\n", "| | route | role |", "|---|---|---|", *table]))
    return "\n\n".join(parts) + "\n"
