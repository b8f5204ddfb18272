"""Which KV caches and adapters were made here: numbers are not words that anybody could read and judge."""

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from memos_kernel.cube import Activation, MemCube, Parametric, RevisionRef
from memos_kernel.names import VaultName


@dataclass(frozen=True, slots=True)
class Seals:
    """Seals under the secret of inference. None can be made elsewhere, or moved to other bytes, memories or vaults."""

    secret: bytes = field(repr=False)

    def of(self, payload: Activation | Parametric, *, vault: VaultName, sources: Sequence[RevisionRef]) -> str:
        """Return the seal of a payload: HMAC-SHA256, hex, of everything that it is, but for the name of its blob."""
        said = {
            "vault": str(vault),
            "sha256": payload.blob.sha256,
            "size": payload.blob.size_bytes,
            **_measures(payload),
            "identity": asdict(payload.identity),
            "sources": [[str(ref.name), ref.revision] for ref in sources],
        }
        return hmac.new(self.secret, json.dumps(said, sort_keys=True).encode(), hashlib.sha256).hexdigest()

    def fits(self, cube: MemCube) -> bool:
        """Return whether a cube has the seal of what it is."""
        assert isinstance(cube.payload, Activation | Parametric)
        wanted = self.of(cube.payload, vault=cube.vault, sources=cube.derived_from)
        return hmac.compare_digest(cube.payload.seal.encode(), wanted.encode())


def _measures(payload: Activation | Parametric) -> dict[str, int | bool]:
    if isinstance(payload, Activation):
        return {"tokens": payload.token_count}
    return {"rank": payload.rank, "activated": payload.activated}
