"""Runs the demo: a fresh system, a conversation, ten questions, and where the answers come from."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memosctl.demo.judge import ANSWERS_NEEDED, CONVERSATION, EVIDENCE_NEEDED, Question, load_questions
from memosctl.importing import Report, import_lines
from memosctl.talk import Answer, collect
from memosctl.transcripts import read

if TYPE_CHECKING:
    from memos_api.v1.memory_service_pb2 import AddMemoriesRequest, AddMemoriesResponse
    from memos_api.v1.provenance_pb2 import Provenance
    from memos_client import Client

VAULT = "tenants/local/vaults/main"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with what came back.

    Attributes:
        seconds: from the question to the end of the answer.
    """

    question: Question
    answer: Answer
    seconds: float

    @property
    def is_right(self) -> bool:
        """Whether the answer is the expected one."""
        return self.question.is_right(self.answer.end.text)

    @property
    def is_supported(self) -> bool:
        """Whether the evidence was among the memories in the prompt."""
        return self.question.is_supported(self.messages)

    @property
    def messages(self) -> list[str]:
        """Ids of the messages whose memories were in the prompt, in prompt order."""
        return [source.message_id for item in self.answer.plan.chosen for source in item.cube.sources]

    def document(self) -> dict[str, Any]:
        """Return the result as JSON."""
        return {
            "question": self.question.question,
            "expected": self.question.answer,
            "answer": self.answer.end.text,
            "right": self.is_right,
            "evidence": list(self.question.evidence),
            "evidence_used": self.is_supported,
            "messages_used": self.messages,
            "cubes_used": [item.cube.name for item in self.answer.plan.chosen],
            "timings_ms": {stage: round(value, 1) for stage, value in self.answer.end.timings_ms.items()},
            "name": self.answer.end.answer,
        }


@dataclass(frozen=True, slots=True)
class Summary:
    """What the demo shows, in numbers; medians are in milliseconds."""

    questions: int
    evidence: int
    right: int
    added: int
    add_p50_ms: float
    chat_p50_ms: float
    ready_seconds: float

    @property
    def passed(self) -> bool:
        """Whether enough evidence was found and enough answers are right."""
        return self.evidence >= EVIDENCE_NEEDED and self.right >= ANSWERS_NEEDED

    def document(self) -> dict[str, Any]:
        """Return the summary as JSON."""
        return {
            "questions": self.questions,
            "evidence_used": self.evidence,
            "answers_right": self.right,
            "messages_added": self.added,
            "add_p50_ms_a_message": round(self.add_p50_ms, 2),
            "chat_p50_ms": round(self.chat_p50_ms, 1),
            "ready_seconds": round(self.ready_seconds, 2),
            "passed": self.passed,
        }


@dataclass(slots=True)
class Ingested:
    """What the import of the conversation did; `each` holds seconds a message, one a request."""

    report: Report
    each: list[float]


def ingest(client: "Client", *, advance: Callable[[int], None]) -> Ingested:
    """Store the conversation."""
    done = Ingested(Report(), [])

    def send(request: "AddMemoriesRequest") -> "AddMemoriesResponse":
        begin = time.perf_counter()
        response: AddMemoriesResponse = client.call(request)
        done.each.append((time.perf_counter() - begin) / len(request.messages))
        return response

    lines = list(read(CONVERSATION.read_bytes().splitlines(keepends=True)))
    import_lines(lines, vault=VAULT, labels={}, send=send, advance=advance, report=done.report)
    return done


def conversation_length(path: Path = CONVERSATION) -> int:
    """Return the number of messages."""
    return sum(1 for line in path.read_bytes().splitlines() if line.strip())


def ask_all(client: "Client") -> Iterator[Asked]:
    """Ask the questions, one after the other. Nothing is remembered, so that no answer helps a later one."""
    from memos_api.v1.chat_service_pb2 import ChatRequest
    from memos_api.v1.memory_service_pb2 import Message

    for question in load_questions():
        begin = time.perf_counter()
        request = ChatRequest(vaults=[VAULT], messages=[Message(role="user", text=question.question)])
        answer = collect(client.stream(request))
        yield Asked(question, answer, time.perf_counter() - begin)


def origin(client: "Client", asked: Asked) -> "Provenance":
    """Return the provenance of an answer."""
    from memos_api.v1.memory_service_pb2 import GetProvenanceRequest, GetProvenanceResponse

    response: GetProvenanceResponse = client.call(GetProvenanceRequest(name=asked.answer.end.answer))
    return response.provenance


def summarise(asked: list[Asked], ingested: Ingested, *, ready_seconds: float) -> Summary:
    """Return the numbers."""
    return Summary(
        questions=len(asked),
        evidence=sum(one.is_supported for one in asked),
        right=sum(one.is_right for one in asked),
        added=ingested.report.added,
        add_p50_ms=statistics.median(ingested.each) * 1e3,
        chat_p50_ms=statistics.median(one.seconds for one in asked) * 1e3,
        ready_seconds=ready_seconds,
    )
