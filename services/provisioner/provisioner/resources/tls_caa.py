"""CAA records (RFC 8659): which certificate authorities may issue for a name. Asked before ordering: an order that must
fail costs one of the few failures that a server allows."""

import re
from collections.abc import Collection

from provisioner.resources.dns_asking import Asking

_RECORD = re.compile(r'(\d{1,3}) ([A-Za-z0-9]+) "((?:[^"\\]|\\.)*)"')
KNOWN = frozenset({"issue", "issuewild", "iodef", "issuemail", "issuevmc", "contactemail", "contactphone"})
CRITICAL = 128


async def forbidden(asking: Asking, name: str, identities: Collection[str]) -> str | None:
    """Where none of the identities may issue for the name (`*.` for a wildcard): why. Raises `NoAnswer`."""
    if not identities:
        return None
    wildcard = name.startswith("*.")
    labels = name.removeprefix("*.").split(".")
    for at in range(len(labels)):
        asked = ".".join(labels[at:])
        if records := await asking.ask(asked, "CAA"):
            if permits(records, identities, wildcard=wildcard):
                return None
            return f"the CAA records of {asked} do not allow {' or '.join(sorted(identities))}"
    return None


def permits(records: Collection[str], identities: Collection[str], *, wildcard: bool) -> bool:
    """What the nearest set of records says: `issue "ca.example; parameters"`, or `issue ";"` for nobody."""
    found = [(int(one[1]), one[2].lower(), one[3]) for one in map(_RECORD.fullmatch, records) if one]
    if any(flags & CRITICAL and tag not in KNOWN for flags, tag, _ in found):
        return False
    tags = {tag for _, tag, _ in found}
    deciding = "issuewild" if wildcard and "issuewild" in tags else "issue"
    if deciding not in tags:
        return True
    return any(tag == deciding and value.partition(";")[0].strip().lower() in identities for _, tag, value in found)
