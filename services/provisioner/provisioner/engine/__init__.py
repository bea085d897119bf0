"""The engine: turns what is wanted of an install into what is there. Knows nothing of vendors."""
