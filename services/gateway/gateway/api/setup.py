"""The setup link: GET looks and changes nothing, POST hands the install over to whoever holds the link.

The provisioner decides; the token and the password pass through here and are kept nowhere.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic.alias_generators import to_camel

from gateway import limits
from gateway.api import proofs
from gateway.api.camel import camel
from gateway.checkout import VISITOR
from gateway.deps import GatewayDeps
from keyturn.errors import Problem
from keyturn.service import get_deps

router = APIRouter(tags=["setup"], dependencies=[Depends(proofs.private), limits.SETUP])
Deps = Annotated[GatewayDeps, Depends(get_deps)]
LIVE = ("open", "completing")
LONGEST = 1024  # of a password; what a good one is, the install says


class Password(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    password: SecretStr = Field(min_length=1, max_length=LONGEST)
    confirm_password: SecretStr = Field(max_length=LONGEST)


@router.get("/api/setup/{token}")
async def look(token: str, deps: Deps) -> dict[str, Any]:
    found = await lookup(deps, token)
    return {"valid": found["state"] == "open", **camel(found)}


@router.post("/api/setup/{token}")
async def finish(token: str, password: Password, response: Response, deps: Deps) -> dict[str, Any]:
    done = await complete(deps, token, password)
    response.status_code = 202 if done.get("state") == "completing" else 200
    return {"success": True, **camel(done)}


async def lookup(deps: GatewayDeps, token: str) -> dict[str, Any]:
    """The link's state. Raises `Problem` 404 for a token that never was.

    Of a link that is over not the address: with the purchase's id it is a proof, and old links lie about."""
    found: dict[str, Any] = await deps.provisioner.request(
        "POST", "/internal/setup/lookup", VISITOR, json={"token": token}
    )
    return found if found["state"] in LIVE else found | {"email": None}


async def complete(deps: GatewayDeps, token: str, password: Password) -> dict[str, Any]:
    """Sets the password. Raises the provisioner's `Problem` where the link or the install refuses."""
    chosen = password.password.get_secret_value()
    if chosen != password.confirm_password.get_secret_value():
        raise Problem(422, "passwords_differ", "the two passwords are not the same")
    body = {"token": token, "password": chosen}
    done: dict[str, Any] = await deps.provisioner.request("POST", "/internal/setup/complete", VISITOR, json=body)
    return done
