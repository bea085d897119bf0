"""The HTTP API of PowerDNS: zones, and the sets of records in them, with the mark that says whose they are.

A zone carries its owner in `account`, a set in a comment beside it. That needs a backend that keeps comments: one of
the SQL backends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import httpx

from provisioner.resources.port import Given, NeedsOperator, Permanent, Transient

TIMEOUT = 10.0
LONGEST_MESSAGE = 200


@dataclass(frozen=True)
class Owner:
    """`account` says which install (40 characters: no SQL backend takes more), `mark` which resource of it."""

    account: str
    mark: str

    @classmethod
    def of(cls, given: Given[Any]) -> "Owner":
        return cls(f"keyturn:{given.install.hex}", given.mark)

    def has(self, found: "RecordSet") -> bool:
        return (self.account, self.mark) in found.marks


@dataclass(frozen=True)
class RecordSet:
    """All records of one name and type."""

    name: str
    type: str
    ttl: int
    contents: frozenset[str]
    marks: frozenset[tuple[str, str]] = frozenset()

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.type

    def same_as(self, other: "RecordSet") -> bool:
        return (self.key, self.ttl, self.contents) == (other.key, other.ttl, other.contents)


@dataclass(frozen=True)
class Server:
    """One PowerDNS. Every method raises `DriverError`s; names are in the one form of `dns_names`."""

    client: httpx.AsyncClient
    url: str
    key: str

    async def account(self, zone: str) -> str | None:
        """Whose the zone is: empty where nobody says so. None where there is no such zone."""
        answer = await self._ask("GET", _path(zone), {"rrsets": "false"}, or_none=404)
        return None if answer is None else str(answer.json().get("account") or "")

    async def create_zone(self, zone: str, nameservers: Sequence[str], account: str) -> None:
        """Nothing happens where there is one already: whose it is, is then to be looked at."""
        body = {"name": f"{zone}.", "kind": "Native", "nameservers": [f"{n}." for n in nameservers], "account": account}
        await self._ask("POST", "/zones", body=body, or_none=409)

    async def delete_zone(self, zone: str) -> bool:
        return await self._ask("DELETE", _path(zone), or_none=404) is not None

    async def sets(self, zone: str, name: str) -> dict[str, RecordSet]:
        """What stands at a name, by type. The server also lists comments of other names, without their records."""
        answer = await self._ask("GET", _path(zone), {"rrset_name": f"{name}."}, or_none=404)
        listed = answer.json().get("rrsets", []) if answer is not None else []
        found = [_set(one) for one in listed if one["records"] and one["name"].removesuffix(".").lower() == name]
        return {one.type: one for one in found}

    async def write(
        self, zone: str, sets: Sequence[RecordSet], owner: Owner, remove: Sequence[tuple[str, str]] = ()
    ) -> None:
        """All of them or none."""
        changes = [_replacing(one, owner) for one in sets]
        changes += [{"name": f"{name}.", "type": kind, "changetype": "DELETE"} for name, kind in remove]
        if changes:
            await self._ask("PATCH", _path(zone), body={"rrsets": changes})

    async def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Any = None,
        or_none: int | None = None,
    ) -> httpx.Response | None:
        """None where the server answers with `or_none`."""
        if not self.url:
            raise NeedsOperator("there is no DNS server: POWERDNS_URL is not set")
        headers = {"X-API-Key": self.key, "Accept": "application/json"}  # else errors come as plain text
        url = f"{self.url.rstrip('/')}/api/v1/servers/localhost{path}"
        try:
            answer = await self.client.request(
                method, url, params=query, json=body, headers=headers, timeout=TIMEOUT, follow_redirects=False
            )
        except httpx.HTTPError as error:
            raise Transient(f"the DNS server's API gave no answer: {type(error).__name__}") from None
        if answer.status_code == or_none:
            return None
        _check(answer)
        return answer


def _path(zone: str) -> str:
    return f"/zones/{quote(zone, safe='')}."


def _check(answer: httpx.Response) -> None:
    status = answer.status_code
    if answer.is_success:
        return
    if status in {401, 403}:
        raise NeedsOperator("the DNS server refuses our key: POWERDNS_API_KEY")
    if status in {408, 429} or status >= 500:
        after = answer.headers.get("retry-after", "")
        retry_after = timedelta(seconds=int(after)) if after.isdigit() else None
        raise Transient(f"the DNS server's API answered {status}", retry_after=retry_after)
    raise Permanent(f"the DNS server refuses it ({status}): {_said(answer)}")


def _said(answer: httpx.Response) -> str:
    try:
        said = str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return "without a reason"
    return "".join(char if char.isprintable() else " " for char in said[:LONGEST_MESSAGE])


def _set(listed: Mapping[str, Any]) -> RecordSet:
    return RecordSet(
        name=listed["name"].removesuffix(".").lower(),
        type=listed["type"],
        ttl=int(listed["ttl"]),
        contents=frozenset(one["content"] for one in listed["records"]),
        marks=frozenset((one.get("account", ""), one.get("content", "")) for one in listed.get("comments", [])),
    )


def _replacing(wanted: RecordSet, owner: Owner) -> dict[str, Any]:
    return {
        "name": f"{wanted.name}.",
        "type": wanted.type,
        "ttl": wanted.ttl,
        "changetype": "REPLACE",
        "records": [{"content": content, "disabled": False} for content in sorted(wanted.contents)],
        "comments": [{"account": owner.account, "content": owner.mark}],
    }
