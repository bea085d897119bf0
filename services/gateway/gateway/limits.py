"""Rate limits for what anybody may ask: dependencies of the routes, counted for all replicas together.

`@router.post("/api/checkout", dependencies=[CHECKOUT])`
"""

from dataclasses import dataclass

from fastapi import Depends, Request

from gateway import clients
from gateway.buckets import Limit
from gateway.deps import GatewayDeps
from gateway.repository import limits
from keyturn.errors import Problem
from keyturn.service import get_deps


@dataclass(frozen=True)
class RateLimit:
    """One bucket for each client address. `name` keeps the buckets of different limits apart."""

    name: str
    limit: Limit

    async def __call__(self, request: Request) -> None:
        """Raises `Problem` 429 with the seconds to wait."""
        deps: GatewayDeps = get_deps(request)
        key = f"{self.name}:{clients.address(request.scope, deps.settings.trusted_proxies)}"
        async with deps.database.transaction("rate_limit") as tx:
            wait = await limits.take_token(tx, key, self.limit)
        if wait:
            raise Problem(429, "rate_limited", "too many requests; wait a moment", retry_after=wait)


# Generous enough for an office behind one address; what they stop is a script.
CHECKOUT = Depends(RateLimit("checkout", Limit(burst=60, per_minute=60)))
STATUS = Depends(RateLimit("status", Limit(burst=300, per_minute=600)))
COUPON_CODES = RateLimit("coupon", Limit(burst=30, per_minute=30))
COUPON = Depends(COUPON_CODES)  # and of every order that names a code: nobody finds one by trying
DOCUMENT = Depends(RateLimit("document", Limit(burst=20, per_minute=30)))  # each is computed anew
SETUP = Depends(RateLimit("setup", Limit(burst=30, per_minute=30)))
EXPORT = Depends(RateLimit("export", Limit(burst=20, per_minute=2)))  # all that is kept about somebody
SIGN_IN = Depends(RateLimit("sign_in", Limit(burst=10, per_minute=10)))
