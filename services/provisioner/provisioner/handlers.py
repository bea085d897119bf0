"""What the provisioner hears and what it does. The tables at the end are its contents."""

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from keyturn import erasing
from keyturn.database import Transaction
from keyturn.events import CustomerErased, EntitlementChanged, EntitlementsListed, SetupLinkUnsent
from keyturn.handling import Handlers
from keyturn.work import RetryPolicy, WorkKind
from provisioner.auditing import on_entitlements_listed
from provisioner.care import REISSUE, applying_died, reissue_unsent, setup_applying, tidy, watch
from provisioner.certificates import watch as certificate_watch
from provisioner.certificates import work as certificates
from provisioner.certificates.using import CERTIFICATE
from provisioner.deps import ProvisionerDeps
from provisioner.domain import Install
from provisioner.engine.jobs import JOB, died
from provisioner.engine.run import run_job
from provisioner.erasing import erase
from provisioner.regenerating import mind
from provisioner.repository import installs
from provisioner.resealing import reseal


async def on_entitlement_changed(event: EntitlementChanged, tx: Transaction) -> None:
    """A level: an older version changes nothing, a newer one is obeyed at the next step boundary of any job."""
    wanted = _from(event, tx)
    if await installs.insert(tx, wanted):
        tx.schedule(JOB, str(wanted.id), subject=str(wanted.id))
        return
    install = await installs.locked(tx, wanted.id)
    assert install is not None
    if install.version < event.version:
        if install.state == "deleted":
            await installs.note(tx, install.id, "entitled_after_deletion", wanted=event.wanted, version=event.version)
        for name in ENTITLED:
            setattr(install, name, getattr(wanted, name))
        if not install.removal_asked:  # else an operator has said when the data goes
            install.delete_after = event.delete_after
        install.version = event.version
        install.revision += 1
        tx.schedule(JOB, str(install.id), subject=str(install.id))


ENTITLED = (
    "wanted",
    "reasons",
    "product",
    "plan",
    "blueprint",
    "parameters",
    "limits",
    "contact",
)


def _from(event: EntitlementChanged, tx: Transaction) -> Install:
    return Install(
        id=UUID(event.subject),
        state="pending",
        state_since=tx.now,
        version=event.version,
        revision=1,
        wanted=event.wanted,
        reasons=event.reasons,
        own_reasons=[],
        product=event.product,
        plan=event.plan,
        blueprint=event.blueprint,
        parameters=event.parameters,
        limits=dict(event.limits),
        contact=event.contact.model_dump(mode="json"),
        delete_after=event.delete_after,
        created_at=tx.now,
    )


async def on_setup_link_unsent(event: SetupLinkUnsent, tx: Transaction) -> None:
    """A link that never reached its customer is worth nothing: a new one is made, and its mail sent."""
    tx.schedule(REISSUE, event.subject, {"link_id": event.link_id}, subject=event.subject)


HANDLERS: Handlers = {
    EntitlementChanged: on_entitlement_changed,
    SetupLinkUnsent: on_setup_link_unsent,
    EntitlementsListed: on_entitlements_listed,
    CustomerErased: erasing.on_customer_erased,
}

# A job counts its attempts by step and says itself when it gives up; what fails here is a bug or an outage of ours.
_PATIENT = RetryPolicy(attempts=30, first=timedelta(seconds=1), cap=timedelta(minutes=10))

WORK: Mapping[str, WorkKind[ProvisionerDeps]] = {
    JOB: WorkKind(run_job, retry=_PATIENT, died=died),  # bring one install to what is wanted
    REISSUE: WorkKind(reissue_unsent),  # a new setup link for one whose mail never went out
    # Has a password that takes minutes been set?
    "setup_applying": WorkKind(setup_applying, retry=_PATIENT, died=applying_died),
    "watch": WorkKind(watch, every=timedelta(seconds=10)),  # which programs of ours have died?
    "nginx": WorkKind(mind, every=timedelta(minutes=10)),  # does it have what the database says?
    "reseal": WorkKind(reseal, every=timedelta(minutes=10)),  # while a sealing key is changed: to the new one
    erasing.ERASE: erasing.work_kind(erase),  # a customer is forgotten
    # One certificate: ordered, renewed, removed.
    CERTIFICATE: WorkKind(certificates.certificate, retry=_PATIENT, slots=8, died=certificates.died),
    # 04:00: which of them end soon?
    certificate_watch.WATCH: WorkKind(certificate_watch.watch, every=timedelta(days=1)),
    "tidy": WorkKind(tidy, every=timedelta(hours=1)),  # lapsed reservations and links
}
