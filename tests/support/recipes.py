"""Blueprints and catalogues of tests, written into a folder of theirs."""

import sys
from pathlib import Path
from typing import Any

import yaml

TINY = Path(__file__).with_name("tiny_app.py")


def tiny(app: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A blueprint of the tiny application, under the name of the one that is usually sold. `app`: more parameters of
    its program; `more`: other resources."""
    return {
        "name": "sandbox-app",
        "description": "The tiny application",
        "resources": {
            "app": {
                "type": "local.process",
                "argv": [sys.executable, "-I", "-S", str(TINY)],
                "env": {"ADMIN_EMAIL": "{customer.email}", "ADMIN_TOKEN": "{random.admin_token}"},
                **(app or {}),
            },
            "health": {"type": "http.check", "url": "{app.url}/health", "expect": {"json": {"status": "ok"}}},
            **more,
        },
        "outputs": {"url": "{app.url}/", "admin_url": "{app.url}/"},
        "setup": [
            {
                "type": "http.call",
                "method": "POST",
                "url": "{app.url}/api/first-password",
                "headers": {"Authorization": "Bearer {random.admin_token}"},
                "json": {"password": "{password}"},
                "expect": {"status": [204]},
                "refused": {422: "detail", 409: "detail"},
            }
        ],
    }


def sized() -> dict[str, Any]:
    """The same, started with what its plan gives."""
    made = tiny()
    made["resources"]["app"]["env"] |= {"MEMORY": "{plan.memory}"}
    return made | {"name": "sandbox-app-sized"}


def write(folder: Path, *blueprints: dict[str, Any]) -> str:
    """The value of BLUEPRINTS."""
    folder.mkdir(exist_ok=True)
    for blueprint in blueprints:
        (folder / f"{blueprint['name']}.yaml").write_text(yaml.safe_dump(blueprint, sort_keys=False))
    return str(folder)
