"""What is told of the model's work: spans and metrics, on the runtime's telemetry."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from memos_inference.domain.generation import Ended
from memos_kernel.cube import MemCube
from memos_runtime import semconv
from memos_runtime.telemetry import AttributeValue, Telemetry

_FIRST_TOKEN_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class TelemetryTracer:
    """Spans with links to the origins of the memories, and metrics of the model's work."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._tokens = telemetry.counter("inference_tokens", "tokens read and generated", ("direction",))
        self._first_token = telemetry.histogram(
            "inference_first_token_seconds", "start of the work to the first token", buckets=_FIRST_TOKEN_BUCKETS
        )
        self._queue = telemetry.histogram("inference_queue_seconds", "wait for the model", buckets=_FIRST_TOKEN_BUCKETS)

    @contextmanager
    def generation(self, *, model: str, cubes: Sequence[MemCube], max_tokens: int) -> Iterator[Callable[[Ended], None]]:
        """See `Tracer`."""
        attributes: dict[str, AttributeValue] = {
            semconv.GEN_AI_OPERATION: semconv.OPERATION_CHAT,
            semconv.GEN_AI_PROVIDER: "memos",
            semconv.GEN_AI_REQUEST_MODEL: model,
            semconv.GEN_AI_REQUEST_MAX_TOKENS: max_tokens,
            semconv.MEMOS_CUBE_COUNT: len(cubes),
        }
        with self._telemetry.span("generate", attributes=attributes) as span:
            for cube in cubes:
                if cube.origin_trace is not None:
                    span.add_link(
                        cube.origin_trace, {semconv.MEMOS_LINK: "injected", semconv.MEMOS_CUBE: str(cube.name)}
                    )

            def ended(end: Ended) -> None:
                span.set_attribute(semconv.GEN_AI_USAGE_INPUT_TOKENS, end.prompt_tokens)
                span.set_attribute(semconv.GEN_AI_USAGE_OUTPUT_TOKENS, end.completion_tokens)
                span.set_attribute(semconv.GEN_AI_RESPONSE_FINISH_REASONS, (end.finish_reason.value,))
                self._tokens.labels("read").inc(end.prompt_tokens)
                self._tokens.labels("generated").inc(end.completion_tokens)
                self._first_token.observe(end.first_token_ms / 1e3)
                self._queue.observe(end.queue_ms / 1e3)

            yield ended


class EngineMeasures:
    """Metrics of what the model has before it: by these one sees that more replicas are needed."""

    def __init__(self, telemetry: Telemetry, *, load: Callable[[], tuple[int, int]]) -> None:
        """Take what tells how many generations wait, and how many run."""
        telemetry.gauge("inference_waiting", "Generations that wait for the model.").set_function(lambda: load()[0])
        telemetry.gauge("inference_running", "Generations that share the model.").set_function(lambda: load()[1])
        self._copies = telemetry.counter(
            "inference_copies", "Uses of KV caches and adapters, by where the copy was.", ("kind", "place")
        )

    def used(self, kind: str) -> Callable[[str], None]:
        """Return what counts the uses of one kind by place."""
        places = {place: self._copies.labels(kind, place) for place in ("memory", "disk", "storage", "none")}
        return lambda place: places[place].inc()
