"""Archives on disk, and what became of one that is imported."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memosctl.failures import Failure

if TYPE_CHECKING:
    from memos_client import FailedCube, ImportedPart
    from memos_client._archive_files import Signed


@dataclass(slots=True)
class Taken:
    """What became of an archive; `next` is the number of the part that comes next."""

    vault: str
    next: int = 0
    created: int = 0
    extended: int = 0
    unchanged: int = 0
    embedded: int = 0
    roles: int = 0
    lineage_left_out: int = 0
    begun: bool = False
    degraded: bool = False
    failures: "list[FailedCube]" = field(default_factory=list)
    unknown_principals: list[str] = field(default_factory=list)

    def note(self, part: "ImportedPart") -> int:
        """Count what became of a part; return the number of its cubes."""
        done = part.created + part.extended + part.unchanged + len(part.failures)
        self.created += part.created
        self.extended += part.extended
        self.unchanged += part.unchanged
        self.embedded += part.embedded
        self.roles += part.roles
        self.lineage_left_out += part.lineage_left_out
        self.begun = True
        self.degraded |= part.degraded
        self.failures += part.failures
        self.unknown_principals += part.unknown_principals
        self.next = max(self.next, part.number + 1)
        return done

    def document(self) -> dict[str, object]:
        """Return it as JSON."""
        failures = [{"name": one.name, "reason": one.error.reason, "message": str(one.error)} for one in self.failures]
        return {
            "vault": self.vault,
            "created": self.created,
            "extended": self.extended,
            "unchanged": self.unchanged,
            "embedded": self.embedded,
            "roles": self.roles,
            "lineageLeftOut": self.lineage_left_out,
            "unknownPrincipals": self.unknown_principals,
            "failures": failures,
            "degraded": self.degraded,
        }


def summary(directory: Path) -> dict[str, Any]:
    """Return what an archive says of itself.

    Raises:
        RequestError: it has no manifest that can be read.
    """
    from memos_client._archive_files import Signed

    return _told(directory, Signed.read(directory))


def checked(directory: Path, progress: Callable[[int], None]) -> dict[str, Any]:
    """Compare an archive with its manifest, and this with its signature; return what it says of itself.

    Raises:
        RequestError: a file is missing or changed.
        Failure: the signature does not fit.
    """
    from memos_client._archive_files import Signed, check
    from memos_wire.signatures import fits

    signed = Signed.read(directory)
    if not fits(signed.statement, signature=signed.signature, public_key=signed.public_key):
        raise Failure(
            "manifest.json was changed: its signature does not fit.", "Get the archive again.", reason="ARCHIVE_INVALID"
        )
    check(directory, signed, progress=progress)
    return _told(directory, signed)


def size_of(directory: Path) -> int:
    """Return the bytes of the files of an archive."""
    return sum(path.stat().st_size for path in directory.glob("parts/**/*") if path.is_file())


def _told(directory: Path, signed: "Signed") -> dict[str, Any]:
    said = signed.said
    return {
        "directory": str(directory),
        "vault": said["vault"]["name"],
        "asOf": said["as_of"],
        "exportedBy": said["exported_by"],
        **said["counts"],
        "parts": len(said["parts"]),
        "key": signed.key[:16],
        "options": said["options"],
    }
