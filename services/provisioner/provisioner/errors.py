"""What can go wrong in the provisioner, apart from what a driver says (`provisioner.resources.port`).

KeyturnError
├── BlueprintError              (Misconfigured) a recipe that cannot be used; found when it is loaded
├── TemplateError               a text with braces that cannot be read or filled in
├── NameConflictError           a name is somebody else's
├── ImpossibleTransitionError   refused, and recorded
├── OvertakenError              an install was changed between reading and writing it: to be done once more
└── SupersededError             a newer entitlement: the job under way ends at this step boundary
"""

from pathlib import Path

from keyturn.errors import KeyturnError, Misconfigured


class BlueprintError(Misconfigured):
    """Reads `file:line: what is wrong`."""

    def __init__(self, file: Path, line: int, message: str) -> None:
        super().__init__(f"{file}:{line}: {message}")
        self.file = file
        self.line = line


class TemplateError(KeyturnError):
    """Names the place in the text, never a value that was filled in."""


class NameConflictError(KeyturnError):
    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"the {kind} {name} is taken")
        self.kind = kind
        self.name = name


class ImpossibleTransitionError(KeyturnError):
    def __init__(self, what: str, before: str, after: str) -> None:
        super().__init__(f"{what}: {before} does not become {after}")


class OvertakenError(KeyturnError):
    """Nothing was written."""


class SupersededError(KeyturnError):
    """Raised inside a job; ends in another job."""
