"""What a deletion receipt says; `protos/README.md` describes the form."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from memos_storage.domain.purges import Doomed, Purge, Reach

FORM = "memos.deletion-receipt.v1"

OUT_OF_REACH = (
    "Backups, exports and copies made before, which hold what they held.",
    "The same fact in other words from another source: what was erased is stopped by its words and its place alone.",
    "Answers that readers got before, and stored cubes that do not say what they are derived from.",
    "Blocks of the disk that files no longer use, until the file system writes over them.",
)
"""What no erasure of this installation can reach."""


def statement(purge: Purge, cubes: Iterable[Doomed], tiers: Iterable[Reach], *, now: datetime) -> bytes:
    """Return the statement of a purge that has reached every tier: JSON with sorted keys, UTF-8."""
    said: dict[str, Any] = {
        "form": FORM,
        "purge": str(purge.name),
        "vault": str(purge.vault),
        "principal": str(purge.principal),
        "reason": purge.reason,
        "requested": _moment(purge.create_time),
        "completed": _moment(now),
        "cubes": [{"name": str(cube.name), "uid": cube.uid, "revisions": cube.revisions} for cube in cubes],
        "derived_made_stale": purge.stale,
        "derived_left": purge.kept,
        "tiers": [_tier(reach) for reach in tiers],
        "out_of_reach": list(OUT_OF_REACH),
    }
    return json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def _tier(reach: Reach) -> dict[str, str]:
    said = {"tier": reach.tier, "done": reach.done}
    if reach.remains:
        said["remains"] = reach.remains
    if reach.until is not None:
        said["until"] = _moment(reach.until)
    return said


def _moment(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
