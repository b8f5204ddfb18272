"""Make a KV cache of memories."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from memos_inference.domain.activation import check_bundle
from memos_inference.domain.seals import Seals
from memos_inference.ports import Engine
from memos_inference.usecases.files import measured, parts_of
from memos_kernel.blobs import SAFETENSORS
from memos_kernel.cube import Activation, BlobRef, MemCube, RevisionRef
from memos_kernel.ids import Clock
from memos_kernel.names import VaultName
from memos_kernel.permission import Grant


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildActivation:
    """Lets the model read memories once, and hands over what that gives for all later prompts that begin with them.

    `folder` is where the file lies until it is stored; it is emptied when the process starts.
    """

    engine: Engine
    clock: Clock
    seals: Seals
    folder: Path

    async def __call__(
        self, cubes: Sequence[MemCube], *, vault: VaultName, grant: Grant
    ) -> AsyncGenerator[Activation | bytes]:
        """Yield the payload of a cube that is derived from these, in this order, and then the bytes of its blob.

        The blob has no name yet. The caller stores it: it takes the model minutes to read a long text, and a grant does
        not last as long.

        Raises:
            GrantInvalid, MissingField, InvalidField, LimitExceeded, StateConflict: see `check_bundle`.
            ContextExceeded, FormUnsupported, Overloaded, DependencyUnavailable.
        """
        check_bundle(cubes, vault, grant=grant, now=self.clock.now())
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            path = Path(folder) / "cache.safetensors"
            encoded = await self.engine.encode(cubes, path, tenant=str(grant.tenant))
            size, sha256 = await asyncio.to_thread(measured, path)
            payload = Activation(BlobRef("", size, sha256, SAFETENSORS), encoded.identity, encoded.token_count)
            sources = [RevisionRef(cube.name, cube.revision) for cube in cubes]
            yield replace(payload, seal=self.seals.of(payload, vault=vault, sources=sources))
            async for part in parts_of(path, size):
                yield part
