"""`dns.domain`: a customer's own domain, which the customer must point at us, and prove to be theirs.

Nothing is made: it is asked again, ever more seldom, until the customer's DNS says both, and then never held up again.
The proof keeps somebody from taking a domain over that only still happens to point here.
"""

import hashlib
from datetime import datetime, timedelta
from typing import ClassVar

from provisioner.resources.dns import Dns
from provisioner.resources.dns_asking import NoAnswer
from provisioner.resources.dns_names import HostName
from provisioner.resources.port import (
    DriverError,
    Given,
    Gone,
    Health,
    NeedsCustomer,
    Notes,
    NotReady,
    Outputs,
    Pace,
    Parameters,
    Resource,
    Transient,
)

PROOF = "_keyturn"
# How long it has waited, and how long until it is asked again: 1, 2, 5, 10, 30 minutes.
PAUSES = [(timedelta(minutes=upto), timedelta(minutes=pause)) for upto, pause in ((5, 1), (20, 2), (60, 5), (360, 10))]
SELDOM = timedelta(minutes=30)
AT_MOST = timedelta(days=7)


class DomainParameters(Parameters):
    """`target`: the name of ours that it must lead to, by a CNAME or by the same addresses."""

    name: HostName
    target: HostName


class Domain(Resource[DomainParameters]):
    Parameters = DomainParameters
    outputs = frozenset({"name"})
    pace: ClassVar[Pace] = Pace(together=32, failures=1000)
    patience = 2 * AT_MOST  # what it waits for is said by itself

    def __init__(self, given: Given[DomainParameters], tools: Dns) -> None:
        super().__init__(given, tools)
        self._tools = tools
        self._proof = f"keyturn-{hashlib.sha256(given.mark.encode()).hexdigest()[:40]}"

    async def ensure(self, notes: Notes) -> Outputs:
        name = self.parameters.name
        if notes.get("proven") == name:
            return {"name": name}
        wrong = await self._wrong()
        if wrong is None:
            await notes.save(proven=name, since=None, asked=None)
            return {"name": name}
        raise await self._wait(notes, wrong)

    async def probe(self, notes: Notes) -> Health:
        proven = notes.get("proven") == self.parameters.name
        return Health(ok=proven, detail="" if proven else "the domain is not proven yet")

    async def destroy(self, notes: Notes) -> Gone:  # noqa: ARG002 - the records are the customer's
        return "not_found"

    async def _wait(self, notes: Notes, wrong: str) -> DriverError:
        """What to raise. After a week it is parked; whoever has it tried again then gives it another week."""
        now = self._tools.clock.now()
        since = datetime.fromisoformat(notes.get("since") or now.isoformat())
        if notes.get("asked") != self.parameters.name or notes.get("parked"):
            since = now
        waited = now - since
        over = waited >= AT_MOST
        await notes.save(since=since.isoformat(), asked=self.parameters.name, parked=over or None)
        if over:
            return NeedsCustomer(wrong)
        return NotReady(wrong, after=next((pause for upto, pause in PAUSES if waited < upto), SELDOM))

    async def _wrong(self) -> str | None:
        """What the customer has to set; None where it is set."""
        name, target = self.parameters.name, self.parameters.target
        try:
            proofs = await self._tools.resolver.ask(f"{PROOF}.{name}", "TXT")
            theirs, ours = await self._addresses(name), await self._addresses(target)
        except NoAnswer as error:
            raise Transient(str(error)) from None
        lacking = [] if f'"{self._proof}"' in proofs else [f"a TXT record {PROOF}.{name} with {self._proof}"]
        if not theirs or not theirs <= ours:
            addresses = f", or its addresses {', '.join(sorted(ours))}" if ours else ""
            lacking.append(f"a CNAME record {name} to {target}{addresses}")
        return f"waiting for {' and '.join(lacking)}" if lacking else None

    async def _addresses(self, name: str) -> frozenset[str]:
        return await self._tools.resolver.ask(name, "A") | await self._tools.resolver.ask(name, "AAAA")
