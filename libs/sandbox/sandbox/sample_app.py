"""The sample application that the sandbox sells: what a blueprint provisions where no real product is at hand.

It has what Keyturn needs of any application: a health address, a way to set the first password with a token that
only its deployer knows, and a login of its own. State is one file in `DATA_DIR`; passwords are kept as scrypt hashes.
"""

import hashlib
import hmac
import json
import os
import secrets
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, Form, Header, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel

SHORTEST_PASSWORD = 10


class FirstPassword(BaseModel):
    password: str


class Login(BaseModel):
    email: str
    password: str


@dataclass
class Account:
    """The one account of this instance, on disk so that it survives a restart."""

    file: Path

    def hashed(self) -> str | None:
        return json.loads(self.file.read_text())["password"] if self.file.exists() else None

    def set(self, password: str) -> None:
        salt = secrets.token_bytes(16)
        temporary = self.file.with_suffix(".new")
        temporary.write_text(json.dumps({"password": salt.hex() + ":" + _hash(password, salt)}))
        temporary.chmod(0o600)
        temporary.replace(self.file)

    def accepts(self, password: str) -> bool:
        if (hashed := self.hashed()) is None:
            return False
        salt, expected = hashed.split(":")
        return hmac.compare_digest(_hash(password, bytes.fromhex(salt)), expected)


def _hash(password: str, salt: bytes) -> str:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**12, r=8, p=1).hex()


def _page(request: Request, title: str, body: str) -> HTMLResponse:
    name = escape(request.app.state.site_name)
    return HTMLResponse(
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<meta name=color-scheme content='light dark'><link rel=icon href='data:,'><title>{name}</title>"
        f"<body style='font:1rem/1.5 system-ui;max-width:32rem;margin:4rem auto;padding:0 1rem'>"
        f"<main><h1>{name}</h1><h2>{escape(title)}</h2>{body}</main>"
    )


def build(*, site_name: str, admin_email: str, admin_token: str, data: Path) -> FastAPI:  # noqa: C901 - a list of routes
    """The application of one instance; `data` must be a folder it may write to."""
    app = FastAPI(title=site_name, openapi_url=None)
    app.state.site_name = site_name
    account = Account(data / "account.json")

    def deployer(authorization: Annotated[str, Header()] = "") -> None:
        if not hmac.compare_digest(authorization.encode(), f"Bearer {admin_token}".encode()):
            raise HTTPException(401, "wrong token")

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/api/first-password", dependencies=[Depends(deployer)], status_code=204)
    def first_password(asked: FirstPassword) -> Response:
        if account.hashed() is not None:
            return Response(status_code=204 if account.accepts(asked.password) else 409)
        if len(asked.password) < SHORTEST_PASSWORD:
            return JSONResponse({"detail": f"Use at least {SHORTEST_PASSWORD} characters."}, status_code=422)
        account.set(asked.password)
        return Response(status_code=204)

    def knows(email: str, password: str) -> bool:
        right = account.accepts(password)
        return hmac.compare_digest(email.strip().lower().encode(), admin_email.lower().encode()) and right

    @app.post("/login")
    def login(asked: Login) -> dict[str, str]:
        if not knows(asked.email, asked.password):
            raise HTTPException(401, "wrong e-mail address or password")
        return {"token": secrets.token_urlsafe(24)}

    @app.get("/")
    @app.get("/admin/")
    async def front(request: Request) -> HTMLResponse:
        form = (
            "<form method=post action=/sign-in><p><label>E-mail<br><input name=email type=email required></label>"
            "<p><label>Password<br><input name=password type=password required></label>"
            "<p><button>Sign in</button></form>"
        )
        return _page(request, "Sign in", form)

    @app.post("/sign-in")
    def sign_in(request: Request, email: Annotated[str, Form()], password: Annotated[str, Form()]) -> HTMLResponse:
        if not knows(email, password):
            return _page(request, "That is not right", "<p><a href=/>Try again</a>")
        return _page(request, "You are in", "<p>This instance is yours alone.")

    return app


def main() -> None:
    """Reads PORT, DATA_DIR, SITE_NAME, ADMIN_EMAIL and ADMIN_TOKEN; listens on loopback."""
    data = Path(os.environ["DATA_DIR"])
    data.mkdir(parents=True, exist_ok=True)
    app = build(
        site_name=os.environ.get("SITE_NAME", "Sample application"),
        admin_email=os.environ["ADMIN_EMAIL"],
        admin_token=os.environ["ADMIN_TOKEN"],
        data=data,
    )
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")


if __name__ == "__main__":
    main()
