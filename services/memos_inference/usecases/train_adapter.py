"""Train an adapter on memories."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

from memos_inference.domain.activation import check_bundle
from memos_inference.domain.seals import Seals
from memos_inference.ports import AdapterTraining, Engine, Trained
from memos_inference.usecases.files import measured, parts_of
from memos_kernel.blobs import SAFETENSORS
from memos_kernel.cube import BlobRef, MemCube, Parametric, RevisionRef
from memos_kernel.ids import Clock
from memos_kernel.names import VaultName
from memos_kernel.permission import Grant


@dataclass(frozen=True, slots=True)
class Adapted:
    """An adapter that was trained.

    Attributes:
        payload: its blob has no name yet.
        learned: which of the memories it knows, by index; the cube is derived from them alone.
        report: what there is to say of it.
    """

    payload: Parametric
    learned: Sequence[int]
    report: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainAdapter:
    """Has an adapter trained and examined, and hands it over.

    `folder` is where the file lies until it is stored; it is emptied when the process starts.
    """

    engine: Engine
    training: AdapterTraining
    clock: Clock
    seals: Seals
    folder: Path

    async def __call__(
        self, cubes: Sequence[MemCube], *, vault: VaultName, grant: Grant
    ) -> AsyncGenerator[float | Adapted | bytes]:
        """Yield the share that is done, then the adapter, then the bytes of its blob.

        Raises:
            GrantInvalid, MissingField, InvalidField, LimitExceeded, StateConflict: see `check_bundle`.
            AdapterRejected, FormUnsupported, Overloaded, DependencyUnavailable.
        """
        check_bundle(cubes, vault, grant=grant, now=self.clock.now())
        identity = (await self.engine.describe()).identity
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            async with aclosing(self.training.train(cubes, Path(folder), identity=identity)) as steps:
                async for step in steps:
                    if isinstance(step, Trained):
                        break
                    yield step
            assert isinstance(step, Trained)
            size, sha256 = await asyncio.to_thread(measured, step.path)
            payload = Parametric(BlobRef("", size, sha256, SAFETENSORS), identity, step.rank, activated=step.activated)
            sources = [RevisionRef(cubes[index].name, cubes[index].revision) for index in step.learned]
            sealed = replace(payload, seal=self.seals.of(payload, vault=vault, sources=sources))
            yield Adapted(sealed, step.learned, step.report)
            async for part in parts_of(step.path, size):
                yield part
