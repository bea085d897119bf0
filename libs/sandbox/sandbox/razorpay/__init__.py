"""A stand-in for Razorpay that the official SDK talks to unchanged: it remembers what was done to it, and tells."""

from sandbox.razorpay.app import build
from sandbox.razorpay.sandbox import RazorpaySandbox

__all__ = ["RazorpaySandbox", "build"]
