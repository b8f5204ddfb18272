"""The running span, by the names of the semantic conventions."""

import logging
from collections.abc import Iterable

from memos_kernel.cube import TraceRef
from memos_runtime import semconv
from memos_runtime.context import current_trace
from memos_runtime.telemetry import current_span

_VAULT = (semconv.MEMOS_VAULT, semconv.GEN_AI_MEMORY_STORE_ID)
_CUBE = (semconv.MEMOS_CUBE, semconv.GEN_AI_MEMORY_ID)

_log = logging.getLogger(__name__)


class RunningSpan:
    """The port Spans: marks the server span of the call, which the runtime's interceptor has opened."""

    def mark(self, operation: str, *, about: str = "") -> None:
        """See the port."""
        span = current_span()
        span.set_attribute(semconv.GEN_AI_OPERATION, operation)
        if about:
            for name in _VAULT if "/vaults/" in about else _CUBE:
                span.set_attribute(name, about)

    def link(self, origins: Iterable[TraceRef | None], *, used_for: str) -> None:
        """See the port."""
        span = current_span()
        if span.trace is None:
            return
        for origin in dict.fromkeys(origins):
            if origin is not None:
                span.add_link(origin, {semconv.MEMOS_LINK: used_for})

    def foretold(self, *, expected_ms: float, actual_ms: float) -> None:
        """See the port; also in the log, for whoever has no traces."""
        if not expected_ms:
            return
        span = current_span()
        span.set_attribute(semconv.MEMOS_FIRST_EXPECTED_MS, expected_ms)
        span.set_attribute(semconv.MEMOS_FIRST_MS, actual_ms)
        _log.info("first token expected after %.0f ms, came after %.0f ms", expected_ms, actual_ms)

    def trace_id(self) -> str:
        """See the port."""
        trace = current_trace()
        return trace.trace_id if trace is not None else ""
