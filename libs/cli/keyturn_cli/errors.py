"""How a command can fail, and the exit code each failure ends with. Scripts rely on the codes: never renumber."""

from typing import Any

PROBLEM, USAGE, UNREACHABLE, NOT_ALLOWED = 1, 2, 3, 4


class CommandFailed(Exception):
    """Ends the command with `exit_code`; the text is for the person at the terminal."""

    exit_code = PROBLEM


class UsageFailed(CommandFailed):
    """The command cannot start as it was called."""

    exit_code = USAGE


class ServerUnreachable(CommandFailed):
    """No answer, or no answer of Keyturn."""

    exit_code = UNREACHABLE


class ServerProblem(CommandFailed):
    """The server's problem document (RFC 9457)."""

    def __init__(self, status: int, document: dict[str, Any]) -> None:
        self.status = status
        self.document = document
        self.exit_code = NOT_ALLOWED if status in (401, 403) else PROBLEM
        super().__init__(str(document.get("detail") or document.get("title") or f"the server answered {status}"))

    @property
    def code(self) -> str:
        return str(self.document.get("code") or f"http_{self.status}")
