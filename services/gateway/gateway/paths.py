"""Every path of the API answers with and without a trailing slash: a redirect would lose the body of a POST.

An address with a NUL is refused here, for all routes: no database takes one, so nothing can be found under it.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from keyturn.errors import Problem
from keyturn.http import answer


class PlainPaths:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and ("\0" in scope["path"] or b"%00" in scope["query_string"]):
            await answer(Problem(400, "invalid_address", "the address has a NUL in it"))(scope, receive, send)
            return
        if scope["type"] == "http" and scope["path"].startswith("/api/") and scope["path"].endswith("/"):
            scope = {**scope, "path": scope["path"][:-1]}
        await self._app(scope, receive, send)
