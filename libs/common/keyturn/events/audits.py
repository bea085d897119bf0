"""The daily comparison of money with machines. `subject` is `audit:<run id>`: it is about many purchases."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from keyturn.events.entitlements import Wanted
from keyturn.events.envelope import Event

Mismatch = Literal[
    "install_missing",
    "install_behind",
    "install_ahead",
    "install_without_payment",
    "paid_but_off",
    "suspended_but_running",
    "ended_but_running",
    "ended_but_there",
    "plan_not_followed",
]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Listed(_Value):
    """What a customer is entitled to, as EntitlementChanged last said it. `since`: when that was."""

    purchase_id: str
    version: int
    wanted: Wanted
    since: AwareDatetime


class Compared(_Value):
    """An install that is not as its entitlement wants it, and has had the time to be. `cause`: why its job waits."""

    purchase_id: str
    mismatch: Mismatch
    cause: str | None = None


class EntitlementsListed(Event, wire="entitlements.listed.v1", publisher="billing"):
    """Every entitlement of the purchases whose id is greater than `after`, and at most `upto` where that is not None:
    the provisioner compares its installs of this span with them."""

    run_id: str
    page: str
    after: str
    upto: str | None = None
    items: list[Listed] = Field(max_length=500)


class InstallsCompared(Event, wire="installs.compared.v1", publisher="provisioner"):
    """What does not fit in a page of entitlements. `truncated`: there is more, which a later comparison finds."""

    run_id: str
    page: str
    found: list[Compared] = Field(max_length=500)
    truncated: bool = False


class CanaryFailed(Event, wire="canary.failed.v1", publisher="billing"):
    """The sign-up canary did not get through: nor would a customer. `subject` is its purchase. `step`: where it
    stands."""

    run_id: str
    cause: str
    step: Literal["checkout", "install", "deletion"] | None = None


class AuditFound(Event, wire="audit.found.v1", publisher="billing"):
    """Money and machines do not fit. `counts`: how many of each kind; `examples`: some of their purchases; `mended`: of
    how many the entitlement was told once more."""

    run_id: str
    counts: dict[str, int]
    mended: int = 0
    examples: list[str] = Field(default_factory=list, max_length=20)
