"""What the status page says: every text that depends on how a purchase stands."""

from typing import Literal, TypeAlias

Mood: TypeAlias = Literal["busy", "good", "bad", "quiet"]
Told: TypeAlias = tuple[str, str, Mood]  # headline, what it means, and how it looks

CYCLES = {
    "once": "once",
    "one_time": "once",
    "month": "a month",
    "monthly": "a month",
    "quarterly": "a quarter",
    "year": "a year",
    "yearly": "a year",
    "biennial": "for two years",
    "triennial": "for three years",
}
STANDINGS = {
    "trialing": "Free trial",
    "active": "Active",
    "past_due": "A payment is missing",
    "suspended": "Suspended until it is paid",
    "ended": "Ended",
}

UNPAID: dict[str, Told] = {
    "pending": (
        "Waiting for your payment",
        "As soon as it arrives we start to build. This page shows it at once.",
        "busy",
    ),
    "failed": ("The payment did not work", "You have not been charged. You can try again.", "bad"),
    "expired": ("The payment page has closed", "Nobody paid in time. You can open it again.", "bad"),
}
HEADLINES: dict[str, Told] = {
    "pending": ("Thank you, we have your payment", "We start to build at any moment.", "busy"),
    "provisioning": (
        "We are building it for you",
        "This takes a few minutes. You can close this page and come back.",
        "busy",
    ),
    "failed": (
        "This takes longer than it should",
        "Something went wrong on our side, and our team is on it. Your payment is safe.",
        "bad",
    ),
    "setup_pending": (
        "Almost yours: choose a password",
        "Open the link in the mail that we sent you, and choose a password.",
        "busy",
    ),
    "active": ("It is yours", "Everything is set up and running.", "good"),
    "suspended": ("It is paused", "It cannot be used right now, and nothing is lost.", "bad"),
    "deleting": ("It is being removed", "Your install is on its way out.", "quiet"),
    "deleted": ("It is gone", "Everything of your install has been removed.", "quiet"),
}
STARTING = "Getting ready."

WAITS = {
    "retry": "One part did not answer as it should. We try again by ourselves.",
    "not_ready": "One part still needs a moment. We look again by ourselves.",
    "capacity": "All servers are busy. You are next in line.",
    "needs_operator": "Our team has to look at this, and has been told.",
    "needs_customer": "We need something from you. Please look at your mail.",
    "unknown_result": "We are making sure that a part was really built. Our team has been told.",
}
PAUSED = {
    "nonpayment": "A payment is missing. It goes on as soon as that has arrived.",
    "paused": "You have paused it. It goes on when you want.",
    "dispute": "The payment is disputed at your bank. It goes on when that is settled.",
    "abuse": "Our team has stopped it. Please answer the mail that we sent you.",
    "operator": "Our team has stopped it for now. Please write to us if you do not know why.",
}

# Blueprints name their resources for machines; those that many of them have, in words. Others are shown as they are.
PARTS = {
    "app": "Your application",
    "health": "Health check",
    "front_page": "Front page",
    "probe": "Final check",
    "database": "Database",
    "storage": "Storage",
    "volume": "Storage",
    "domain": "Domain name",
    "dns": "Domain name",
    "certificate": "Secure connection",
    "tls": "Secure connection",
    "mailbox": "Mailbox",
}
PART_STATES = {
    "pending": "not yet",
    "processing": "under way",
    "waiting": "waiting",
    "completed": "done",
    "failed": "did not work",
    "undone": "taken down",
}
