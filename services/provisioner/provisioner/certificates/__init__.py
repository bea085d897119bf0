"""Certificates: ordered, renewed, watched, and removed, each by work of its own; the engine's driver waits for them."""
