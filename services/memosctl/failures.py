"""What a person sees when a command fails: one line with the reason, one with what to do, and the exit code."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(eq=False)
class Failure(Exception):
    """A command cannot do what was asked.

    Attributes:
        message: the reason, in one sentence.
        hint: what to do about it; empty if the message says it.
        reason: machine-readable reason; the contract's ErrorReason where a server gave one.
        metadata: details for programs.
        exit_code: 1 for a failure, 2 for a call that is wrong in itself.
    """

    message: str
    hint: str = ""
    reason: str = "FAILED"
    metadata: Mapping[str, str] = field(default_factory=dict)
    exit_code: int = 1

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()

    def document(self) -> dict[str, object]:
        """Return the failure as JSON for programs."""
        return {
            "error": {
                "reason": self.reason,
                "message": self.message,
                "hint": self.hint,
                "metadata": dict(self.metadata),
            }
        }


def usage(message: str, hint: str = "") -> Failure:
    """Return the failure of a call that is wrong in itself."""
    return Failure(message, hint, reason="USAGE", exit_code=2)
