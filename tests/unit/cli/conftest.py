from pathlib import Path

import pytest

from keyturn_cli.config import Login, save
from support.operator_api import TOKEN, Server


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """A server that this machine is logged in to."""
    file = tmp_path / "config" / "login.json"
    save(Login("https://shop.example", TOKEN), file)
    return Server(file)
