"""The setup page: looking at a link changes nothing, sending the form once hands the install over."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Response
from pydantic import SecretStr

from gateway import limits
from gateway.api.setup import LONGEST, Password, complete, lookup
from gateway.deps import GatewayDeps
from gateway.pages.purchase import CUSTOMER
from gateway.pages.rendering import PageRoute, page
from keyturn.errors import Problem
from keyturn.service import get_deps

router = APIRouter(route_class=PageRoute, include_in_schema=False)
Deps = Annotated[GatewayDeps, Depends(get_deps)]
Secret = Annotated[str, Form(max_length=LONGEST)]

TITLES = {
    "open": "Choose your password",
    "completing": "One moment",
    "used": "It is yours",
    "expired": "This link has run out",
    "replaced": "There is a newer link",
}
# What the customer can mend by trying again on the same page.
AGAIN = {
    "passwords_differ": "The two passwords are not the same.",
    "instance_unreachable": "Your install did not answer just now. Nothing was changed: please try again in a moment.",
    "setup_in_progress": "This link is being used right now. Please wait a moment.",
}


@dataclass(frozen=True)
class Told:
    """What a page says besides the link's state."""

    problem: str | None = None
    notice: str | None = None
    status: int = 200


@router.get("/setup/{token}", dependencies=[limits.SETUP])
async def look(token: str, deps: Deps) -> Response:
    return _page(await lookup(deps, token), Told())


@router.post("/setup/{token}", dependencies=[limits.SETUP])
async def act(
    token: str,
    deps: Deps,
    password: Secret = "",
    confirm: Annotated[str, Form(alias="confirmPassword", max_length=LONGEST)] = "",
    again: Annotated[str, Form()] = "",
) -> Response:
    if again:
        return await _new_link(deps, token)
    if not password:
        return _page(await lookup(deps, token), Told("Please choose a password.", status=422))
    chosen = Password(password=SecretStr(password), confirm_password=SecretStr(confirm))
    try:
        await complete(deps, token, chosen)
    except Problem as problem:
        if problem.code == "setup_link_unknown":
            raise
        return _page(await lookup(deps, token), _refused(problem))
    return _page(await lookup(deps, token), Told())


async def _new_link(deps: GatewayDeps, token: str) -> Response:
    """Whoever holds an old link may have a new one sent: it goes to the customer's own address."""
    found = await lookup(deps, token)
    if found["state"] in ("expired", "replaced"):
        await deps.provisioner.request("POST", f"/internal/installs/{found['purchase_id']}/reissue", CUSTOMER, json={})
    return _page(found, Told(notice="A new link is on its way to your mailbox."))


def _refused(problem: Problem) -> Told:
    if problem.status == 410:
        return Told(status=410)  # the state on the page says it
    if problem.code == "password_refused":
        return Told(f"Your install did not take this password: {problem.detail}", status=422)
    return Told(AGAIN.get(problem.code, "That did not work. Please try again in a moment."), status=problem.status)


def _page(found: dict[str, Any], told: Told) -> Response:
    """The address holds the token: nothing on the page may carry it elsewhere."""
    state = found["state"]
    answer = page(
        "setup.html",
        status=told.status,
        title=TITLES[state],
        state=state,
        name=found.get("store_name"),
        email=found.get("email"),
        url=_link(found.get("url")),
        admin_url=_link(found.get("admin_url")),
        problem=told.problem,
        notice=told.notice,
    )
    if state == "completing":
        answer.headers["Refresh"] = "5"
    return answer


def _link(url: Any) -> str | None:
    return url if isinstance(url, str) and url.startswith(("https://", "http://")) else None
