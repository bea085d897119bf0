"""A stand-in for Stripe that the official SDK talks to unchanged: it remembers what was done to it, and tells."""

from sandbox.stripe.app import build
from sandbox.stripe.sandbox import StripeSandbox

__all__ = ["StripeSandbox", "build"]
