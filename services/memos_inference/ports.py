"""What the use cases need from models and telemetry."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from memos_inference.domain import (
    EmbedderDescription,
    Embeddings,
    Ended,
    EngineDescription,
    GenerationEvent,
    Prompt,
    Sampling,
)
from memos_kernel.cube import MemCube


class Embedder(Protocol):
    """Turns texts into vectors whose nearness is nearness in meaning."""

    async def describe(self) -> EmbedderDescription:
        """Return what the embedder is.

        Raises:
            DependencyUnavailable: it is not loaded.
        """
        ...

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Return one vector a text. What else is embedded at the same time does not change it (to rounding).

        Raises:
            Overloaded: too much is waiting.
            DependencyUnavailable: it is not loaded.
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

    def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[GenerationEvent]:
        """Yield pieces of the answer and then, last, how it ended. Closing the generator stops the work.

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
