"""One answer of Chat, collected from its stream of events."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from memosctl.failures import Failure

if TYPE_CHECKING:
    from memos_api.v1.chat_service_pb2 import ChatEnd, ChatPlan, ChatResponse


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished answer: what was planned, and how it ended."""

    plan: "ChatPlan"
    end: "ChatEnd"

    def document(self) -> dict[str, Any]:
        """Return the answer as JSON."""
        from memosctl.documents import document

        return {"plan": document(self.plan), "end": document(self.end)}


def collect(
    events: "Iterable[ChatResponse]",
    *,
    on_plan: "Callable[[ChatPlan], None]" = lambda _: None,
    on_text: Callable[[str], None] = lambda _: None,
) -> Answer:
    """Read the stream to its end; pieces of text are handed on as they come.

    Raises:
        Failure: the stream ended before the answer did.
    """
    plan: ChatPlan | None = None
    end: ChatEnd | None = None
    for event in events:
        kind = event.WhichOneof("event")
        if kind == "plan":
            plan = event.plan
            on_plan(plan)
        elif kind == "delta":
            on_text(event.delta.text)
        elif kind == "end":
            end = event.end
    if plan is None or end is None:
        raise Failure("The answer broke off.", "Ask again; memosctl doctor shows what is wrong.", reason="BROKE_OFF")
    return Answer(plan, end)
