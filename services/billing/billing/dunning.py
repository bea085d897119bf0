"""What comes over a subscription that nobody pays: it is suspended, and at last it ends and its install is deleted.

Each is told ahead, by the event of the fall itself or by a warning. Where that came late, as after an outage, the
consequence moves: nobody is overtaken by what was not told in time. A date that was told holds, whatever the policy
says later.
"""

from datetime import timedelta

from billing.policy import Policy

EARLY = timedelta(hours=1)  # a warning that goes out some minutes later than it should moves nothing


def wait(policy: Policy, state: str) -> timedelta:
    """From the fall into this state until its consequence."""
    return timedelta(days=policy.grace_days if state == "past_due" else policy.delete_after_nonpayment_days)


def ahead(policy: Policy, state: str) -> timedelta:
    """How long before the consequence it is told at the latest."""
    return timedelta(days=policy.suspension_warning_days if state == "past_due" else policy.deletion_warning_days)
