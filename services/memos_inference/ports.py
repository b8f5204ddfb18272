"""What the use cases need from models and telemetry."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from memos_inference.domain.activation import Encoded
from memos_inference.domain.generation import Ended, GenerationEvent, Prompt, Sampling
from memos_inference.domain.models import EmbedderDescription, Embeddings, EngineDescription, TokenUse
from memos_inference.domain.recovery import Probe
from memos_kernel.cube import MemCube
from memos_kernel.identity import CompatibilityIdentity
from memos_kernel.names import CubeName
from memos_kernel.speed import Speed


class Embedder(Protocol):
    """Turns texts into vectors whose nearness is nearness in meaning."""

    async def describe(self) -> EmbedderDescription:
        """Return what the embedder is.

        Raises:
            DependencyUnavailable: it is not loaded.
        """
        ...

    async def embed(self, texts: Sequence[str], *, tokens: TokenUse = TokenUse.NONE) -> Embeddings:
        """Return one vector a text. What else is embedded at the same time does not change it (to rounding).

        `tokens`: what vectors of the tokens are wanted for; an embedder that cannot give them leaves them out.

        Raises:
            Overloaded: too much is waiting.
            DependencyUnavailable: it is not loaded.
        """
        ...


class Cache(Protocol):
    """Keys and values of some tokens that prompts have, ready for the model. Requests share it; none changes it."""


class Adapter(Protocol):
    """A LoRA adapter, ready for the model. Requests share it; none changes it."""

    @property
    def probes(self) -> Sequence[Probe]:
        """How to ask for what it knows."""
        ...


Opened = TypeVar("Opened", covariant=True)


class Copies(Protocol[Opened]):
    """Blobs of derived cubes, brought to where the model is and opened.

    Attributes:
        fetching: how long it takes to bring one here, by its bytes; None if none has come yet.
    """

    @property
    def fetching(self) -> Speed | None:
        """See the attributes."""
        ...

    def use(self, cube: MemCube) -> AbstractAsyncContextManager[Opened]:
        """Hold what the blob of a cube is for the model; nothing removes it meanwhile.

        Raises:
            DataCorrupted, IncompatiblePayload, FormUnsupported: it cannot be used.
            DependencyUnavailable: it is not there yet.
            StoreFull, LimitExceeded, Overloaded: there is no room for it now.
        """
        ...


@dataclass(frozen=True, slots=True)
class Trained:
    """An adapter that has passed its exam.

    Attributes:
        path: of the file.
        rank: of the matrices.
        activated: whether it works from the first turn on only.
        learned: which of the memories it knows, by index.
        report: what there is to say of it.
    """

    path: Path
    rank: int
    activated: bool
    learned: Sequence[int]
    report: Mapping[str, str]


class AdapterTraining(Protocol):
    """Trains adapters of the model that runs."""

    def train(
        self, memories: Sequence[MemCube], folder: Path, *, identity: CompatibilityIdentity
    ) -> AsyncGenerator[float | Trained]:
        """Yield the share that is done, again and again, and then, last, the adapter. Closing it stops the training.

        Args:
            memories: what the adapter is to know.
            folder: where its file is written.
            identity: of the model that runs.

        Raises:
            AdapterRejected: it did not pass its exam.
            FormUnsupported: adapters of this model cannot be trained here.
            Overloaded: another training runs.
            DependencyUnavailable, InternalError.
        """
        ...


class BlobSource(Protocol):
    """Bytes of cubes, from storage."""

    async def fetch(self, name: CubeName, path: Path) -> str:
        """Write the bytes of a cube's payload to a file, and return their hex SHA-256.

        Raises:
            CubeNotFound: it is not there for the caller.
            DataCorrupted, DependencyUnavailable.
            OSError: the disk has no room.
        """
        ...


class Engine(Protocol):
    """Generates text."""

    async def describe(self) -> EngineDescription:
        """Return what the model is.

        Raises:
            DependencyUnavailable: it could not be loaded.
        """
        ...

    async def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """Return the number of tokens of each text, without any that mark a beginning or an end.

        Raises:
            Overloaded: too much is waiting.
            DependencyUnavailable: it could not be loaded.
        """
        ...

    async def encode(self, memories: Sequence[MemCube], path: Path, *, tenant: str = "") -> Encoded:
        """Write keys and values of the tokens that each prompt with these memories first begins with.

        Tenants share the engine evenly.

        Raises:
            FormUnsupported: the model has no such cache.
            ContextExceeded: the memories leave no room for an answer.
            Overloaded, DependencyUnavailable.
        """
        ...

    async def words_of(self, cache: Cache) -> str:
        """Return the text whose keys and values a cache has."""
        ...

    def generate(
        self,
        prompt: Prompt,
        sampling: Sampling,
        *,
        tenant: str = "",
        caches: Sequence[Cache] = (),
        adapter: Adapter | None = None,
    ) -> AsyncGenerator[GenerationEvent]:
        """Yield pieces of the answer and then, last, how it ended. Closing the generator stops the work.

        Answers are written side by side, and none depends on another; tenants share the engine evenly. With a cache
        of what the prompt begins with the answer is the same, and comes sooner; with caches of other parts of it, it
        comes near, and they are used only where the description says so. With an adapter the model knows more than the
        prompt tells; keys and values are then others, so a cache is used beside one only if it works from the first
        turn on.

        Raises:
            ContextExceeded: the prompt leaves no room for an answer, see `check_room`.
            Overloaded: too many generations are waiting.
            DependencyUnavailable: the model could not be loaded.
            InvalidField: the model's template refuses the turns.
        """
        ...


class Tracer(Protocol):
    """Records work, without its content."""

    def generation(
        self, *, model: str, cubes: Sequence[MemCube], max_tokens: int
    ) -> AbstractContextManager[Callable[[Ended], None]]:
        """Time a generation, linked to the origin of each cube; the value takes its end."""
        ...
