"""`keyturn login`: check a token and keep it."""

import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from keyturn_cli.client import Client
from keyturn_cli.config import Login, save
from keyturn_cli.errors import UsageFailed
from keyturn_cli.session import session

Url = Annotated[str, typer.Option(help="Where the gateway answers.", envvar="KEYTURN_URL", prompt="Address")]
TokenFile = Annotated[Path | None, typer.Option(help="Read the token from this file; `-` is standard input.")]


def login(ctx: typer.Context, *, url: Url, token_file: TokenFile = None) -> None:
    """Check an operator token and keep it, readable to you alone. The token never stands on the command line."""
    here = session(ctx)
    known = Login(url=_checked(url), token=_token(token_file))
    me = Client(known, here.transport).get("/api/me")
    save(known, here.file)
    here.out.done(f"logged in to {known.url} as {me.get('actor')} ({me.get('role')})", me)


def _token(file: Path | None) -> str:
    if file is None:
        text = typer.prompt("Token", hide_input=True)
    else:
        try:
            text = sys.stdin.read() if str(file) == "-" else file.read_text()
        except OSError as error:
            raise UsageFailed(f"cannot read {file}: {error.strerror}") from None
    token = str(text).strip()
    if not token.isascii() or not token.isprintable() or not token:
        raise UsageFailed("that is no token")
    return token


def _checked(url: str) -> str:
    """Raises `UsageFailed` where the token would cross a network in the clear."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return url.rstrip("/")
    if parts.scheme == "http" and _loopback(parts.hostname or ""):
        return url.rstrip("/")
    raise UsageFailed("the address must begin with https:// (http:// only for this machine)")


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
