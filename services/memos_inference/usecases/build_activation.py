"""Make a KV cache of memories."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from memos_inference.domain.activation import check_bundle
from memos_inference.ports import BlobSink, Engine
from memos_kernel.cube import Activation, MemCube
from memos_kernel.ids import Clock
from memos_kernel.names import VaultName
from memos_kernel.permission import Grant


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildActivation:
    """Lets the model read memories once, and stores what that gives for all later prompts that begin with them."""

    engine: Engine
    blobs: BlobSink
    clock: Clock

    async def __call__(self, cubes: Sequence[MemCube], *, vault: VaultName, grant: Grant) -> Activation:
        """Return the payload of a cube that is derived from these, in this order. Its bytes wait in the vault.

        Raises:
            GrantInvalid, MissingField, InvalidField, LimitExceeded, StateConflict: see `check_bundle`.
            ContextExceeded, FormUnsupported, Overloaded, QuotaExceeded, StoreFull, DependencyUnavailable.
        """
        check_bundle(cubes, vault, grant=grant, now=self.clock.now())
        with tempfile.TemporaryDirectory(prefix="memos-kv-") as folder:
            path = Path(folder) / "cache.safetensors"
            encoded = await self.engine.encode(cubes, path)
            blob = await self.blobs.write(vault, path)
        return Activation(blob, encoded.identity, encoded.token_count)
