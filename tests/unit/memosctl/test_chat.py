"""A conversation at the terminal goes on where one question fails."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from memos_api.v1.chat_service_pb2 import ChatDelta, ChatEnd, ChatPlan, ChatRequest, ChatResponse
from memos_client import MemosError, PermissionDenied, PreconditionFailed, Unauthenticated, Unavailable
from memosctl.command import Cli
from memosctl.commands.chat import _Talk
from memosctl.output import Output


class Server:
    """Answers each question with its own words, or fails as it is told to; keeps what it was asked."""

    def __init__(self) -> None:
        self.failures: dict[str, MemosError] = {}
        self.asked: list[list[str]] = []

    def stream(self, request: ChatRequest) -> Iterator[ChatResponse]:
        said = [message.text for message in request.messages]
        self.asked.append(said)
        yield ChatResponse(plan=ChatPlan(name="p"))
        if (failure := self.failures.get(said[-1])) is not None:
            raise failure
        yield ChatResponse(delta=ChatDelta(text=f"re {said[-1]}"))
        yield ChatResponse(end=ChatEnd(text=f"re {said[-1]}"))


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def converse(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def run(*lines: str) -> None:
        typed = iter((*lines, ""))
        monkeypatch.setattr("builtins.input", lambda _: next(typed))
        _Talk(Cli(output=Output(), state_option=tmp_path), server, ChatRequest(), False).converse()

    return run


def test_a_question_that_fails_is_told_and_the_conversation_goes_on(server, converse, capsys) -> None:
    server.failures["two"] = Unavailable(
        "The engine's queue is full.", code="RESOURCE_EXHAUSTED", reason="OVERLOADED", retry_after=1.0
    )

    converse("one", "two", "three")

    assert server.asked == [["one"], ["one", "re one", "two"], ["one", "re one", "three"]]
    shown = capsys.readouterr()
    assert "The engine's queue is full." in shown.err
    assert "Try again in a moment." in shown.err
    assert "re three" in shown.out


@pytest.mark.parametrize(
    "failure",
    [
        Unauthenticated("The key is unknown.", code="UNAUTHENTICATED", reason="CREDENTIAL_INVALID"),
        PermissionDenied("You may not read it.", code="PERMISSION_DENIED", reason="PERMISSION_DENIED"),
    ],
)
def test_a_caller_who_may_not_ask_is_not_asked_for_more(failure, server, converse) -> None:
    server.failures["one"] = failure

    with pytest.raises(type(failure)):
        converse("one", "two")

    assert server.asked == [["one"]]


def test_a_conversation_that_no_longer_fits_loses_its_older_half(server, converse, capsys) -> None:
    server.failures["three"] = PreconditionFailed(
        "The prompt is too long.", code="FAILED_PRECONDITION", reason="CONTEXT_EXCEEDED"
    )

    converse("one", "two", "three", "four")

    assert server.asked[-1] == ["two", "re two", "four"]
    assert "the older half of the conversation is forgotten" in capsys.readouterr().err
