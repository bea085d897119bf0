"""Every path of the API answers with and without a trailing slash: a redirect would lose the body of a POST."""

from starlette.types import ASGIApp, Receive, Scope, Send


class PlainPaths:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/api/") and scope["path"].endswith("/"):
            scope = {**scope, "path": scope["path"][:-1]}
        await self._app(scope, receive, send)
