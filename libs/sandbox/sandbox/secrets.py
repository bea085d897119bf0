"""The sandbox's own secrets: made at first start, kept in its data folder with mode 0600, the same ever after."""

import base64
import json
import os
import secrets
from pathlib import Path

from keyturn.bus.topology import MONITORING, SERVICES


def load(folder: Path) -> dict[str, str]:
    """Every secret that the system needs, by the name of its setting."""
    file = folder / "secrets.json"
    kept = dict(json.loads(file.read_text())) if file.exists() else {}
    made = _make() | kept
    if made != kept:
        folder.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as out:
            json.dump(made, out, indent=1)
        fresh.replace(file)
    return made


def _make() -> dict[str, str]:
    ring = {name: f"sandbox:{_key()}" for name in ("PROVISIONER_SEALING_KEYS", "MAIL_KEYS")}
    bus = {f"{name.upper()}_BUS_PASSWORD": secrets.token_hex(16) for name in (*SERVICES, MONITORING)}
    return (
        ring
        | bus
        | {
            "SESSION_KEY": _key(),
            "ADDRESS_KEY": _key(),
            "INTERNAL_SIGNING_KEY": _key(),
            "STRIPE_SECRET_KEY": f"sk_test_{secrets.token_hex(12)}",
            "STRIPE_WEBHOOK_SECRET": f"whsec_{secrets.token_hex(16)}",
            "RAZORPAY_KEY_ID": f"rzp_test_{secrets.token_hex(7)}",
            "RAZORPAY_KEY_SECRET": secrets.token_hex(12),
            "RAZORPAY_WEBHOOK_SECRET": secrets.token_hex(16),
        }
    )


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()
