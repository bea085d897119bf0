"""The ways out to people and systems."""
