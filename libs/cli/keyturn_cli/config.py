"""Where `login` keeps the server's address and the token: one file that only its owner can read."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from keyturn_cli.errors import UsageFailed


@dataclass(frozen=True)
class Login:
    """One server, and the token it knows us by."""

    url: str
    token: str = field(repr=False)


def config_file(environ: dict[str, str] | None = None) -> Path:
    """`$XDG_CONFIG_HOME/keyturn/login.json`, below `~/.config` where that is unset."""
    known = os.environ if environ is None else environ
    home = known.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "keyturn" / "login.json"


def save(login: Login, file: Path) -> None:
    """Replaces the file in one step, so that it is never readable to others and never half written."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_suffix(f".{os.getpid()}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        json.dump(asdict(login), opened)
    draft.replace(file)


def load(file: Path) -> Login:
    """The stored login. Raises `UsageFailed` where there is none."""
    try:
        known = json.loads(file.read_text())
        return Login(url=str(known["url"]), token=str(known["token"]))
    except FileNotFoundError:
        raise UsageFailed("not logged in: run `keyturn login` first") from None
    except (ValueError, KeyError, TypeError):
        raise UsageFailed(f"{file} is not a login file: run `keyturn login` again") from None
