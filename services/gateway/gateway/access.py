"""Proof that somebody opened a checkout: the access token its answer carries, and short-lived tickets for a stream.

Both are the purchase id and an expiry under a key of their own, derived from SESSION_KEY; nothing is stored.
"""

import base64
import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from pydantic import SecretStr

Kind = Literal["access", "ticket"]

LIFETIME: dict[Kind, timedelta] = {
    "access": timedelta(days=30),  # long enough to come back to the status page of a slow install
    "ticket": timedelta(minutes=2),  # stands in a URL, so it must be worthless once it is in somebody's history
}
COOKIE = "keyturn_access"


def ends(token: str) -> int:
    """When a token says that it ends, which proves nothing; 0 where it is none."""
    try:
        return int.from_bytes(base64.urlsafe_b64decode(token)[16:24], "big")
    except ValueError:
        return 0


class Access:
    """Signs and checks. One replica's tokens are good at every other one with the same key."""

    def __init__(self, session_key: SecretStr) -> None:
        self._key = session_key.get_secret_value().encode()

    def sign(self, purchase_id: UUID, kind: Kind, now: datetime) -> str:
        expires = int((now + LIFETIME[kind]).timestamp())
        claim = purchase_id.bytes + expires.to_bytes(8, "big")
        return base64.urlsafe_b64encode(claim + self._mac(kind, claim)).decode()

    def allows(self, token: str, purchase_id: UUID, kind: Kind, now: datetime) -> bool:
        """Whether the token proves access to this purchase now. Anything wrong is simply False."""
        try:
            raw = base64.urlsafe_b64decode(token)
        except ValueError:
            return False
        claim, mac = raw[:24], raw[24:]
        genuine = hmac.compare_digest(mac, self._mac(kind, claim))
        fresh = int.from_bytes(claim[16:], "big") > now.timestamp()
        return genuine and fresh and hmac.compare_digest(claim[:16], purchase_id.bytes)

    def _mac(self, kind: Kind, claim: bytes) -> bytes:
        subkey = hmac.digest(self._key, f"keyturn purchase {kind} v1".encode(), hashlib.sha256)
        return hmac.digest(subkey, claim, hashlib.sha256)
