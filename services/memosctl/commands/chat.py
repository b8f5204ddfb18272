"""`memosctl chat`: one question, or a conversation."""

import contextlib
import sys
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from memosctl import inputs, names
from memosctl.command import Cli, command, explain
from memosctl.failures import usage
from memosctl.options import (
    AfterOption,
    BeforeOption,
    LabelOption,
    SessionOption,
    SpeakerOption,
    TimeZoneOption,
    VaultsOption,
)

if TYPE_CHECKING:
    from memos_api.v1.chat_service_pb2 import ChatRequest
    from memos_client import Client
    from memosctl.talk import Answer

app = typer.Typer()


class ChatForm(StrEnum):
    """How memories reach the model."""

    AUTO = "auto"
    TEXT = "text"
    KV = "kv"
    LORA = "lora"


_KEPT_MESSAGES = 32
"""Messages of an interactive conversation that go along with the next one."""


@command(app, "chat")
def chat(
    cli: Cli,
    text: Annotated[
        str | None, typer.Argument(help="Question; `-` reads stdin. Without it you talk.", show_default=False)
    ] = None,
    vault: VaultsOption = None,
    remember: Annotated[bool, typer.Option("--remember", help="Store question and answer as memories.")] = False,
    remember_in: Annotated[str, typer.Option("--remember-in", help="Vault for --remember.")] = names.MAIN_VAULT,
    show: Annotated[bool, typer.Option("--show", help="Show the memories that were used, and the times.")] = False,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=0, max=2048, help="Longest answer; 0: default.")] = 0,
    temperature: Annotated[float, typer.Option("--temperature", min=0, max=2, help="0 is greedy.")] = 0.0,
    form: Annotated[
        ChatForm,
        typer.Option("--form", help="How memories reach the model: text, a KV cache, an adapter, or what spares most."),
    ] = ChatForm.AUTO,
    label: LabelOption = None,
    speaker: SpeakerOption = None,
    session: SessionOption = None,
    after: AfterOption = None,
    before: BeforeOption = None,
    time_zone: TimeZoneOption = None,
) -> None:
    """Ask the model; it answers from your memories."""
    from memos_api.v1.chat_service_pb2 import ChatRequest, MemoryForm

    template = ChatRequest(
        vaults=[names.vault(item) for item in vault or ()],
        remember_in=names.vault(remember_in) if remember else "",
        max_tokens=max_tokens,
        temperature=temperature,
        form=MemoryForm.Value(f"MEMORY_FORM_{'UNSPECIFIED' if form is ChatForm.AUTO else form.name}"),
        filter=inputs.cube_filter(label=label, speaker=speaker, session=session, after=after, before=before),
        time_zone=inputs.time_zone(time_zone),
    )
    if text is None and not sys.stdin.isatty():
        text = "-"
    with cli.client() as client:
        talk = _Talk(cli, client, template, show)
        if text is not None:
            talk.ask(inputs.text_or_stdin(text))
        elif cli.output.json:
            raise usage("--json needs a question.", 'Write memosctl chat "..." --json.')
        else:
            talk.converse()


@dataclass(slots=True)
class _Talk:
    cli: Cli
    client: "Client"
    template: "ChatRequest"
    show: bool
    past: list[tuple[str, str]] = field(default_factory=list)

    def converse(self) -> None:
        """Ask what is typed until the end of input; a question that fails does not end the conversation."""
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  # line editing and history for input()
        from memos_client import PermissionDenied, Unauthenticated

        self.cli.output.note("Ask something; an empty line or Ctrl-D ends.")
        while line := _read_line():
            try:
                self.ask(line)
            except KeyboardInterrupt:
                self.cli.output.note("\n(stopped)")
            except (Unauthenticated, PermissionDenied, BrokenPipeError):
                raise  # the next question would fail in the same way
            except Exception as error:
                self._go_on_after(error)

    def ask(self, text: str) -> None:
        """Ask one question and print the answer as it comes."""
        from memosctl.talk import collect

        output = self.cli.output
        quiet = output.json
        answer = collect(
            self.client.stream(self._request(text)),
            on_text=(lambda _: None) if quiet else _write,
        )
        self.past += [("user", text), ("assistant", answer.end.text)]
        self._note_answer(answer)
        if quiet:
            output.answer(answer.document(), lambda: "")
            return
        _write("\n")
        if self.show:
            from memosctl.views import chat as view

            console = output.console()
            console.print(view.used(answer.plan))
            console.print(view.footer(answer.end))
        for refusal in answer.end.refusals:
            output.note(f"{names.short(refusal.cube)} was not used: {refusal.message}")
        if answer.plan.degraded:
            output.note("degraded: an optional part was missing; run memosctl doctor")

    def _go_on_after(self, error: Exception) -> None:
        """Tell why a question failed. A conversation that the model cannot hold any more loses its older half."""
        failure = explain(error, self.cli)
        self.cli.output.failure(failure)
        if failure.reason == "CONTEXT_EXCEEDED" and self.past:
            del self.past[: len(self.past) // 4 * 2 or len(self.past)]
            self.cli.output.note("(the older half of the conversation is forgotten; ask again)")

    def _request(self, text: str) -> "ChatRequest":
        from memos_api.v1.memory_service_pb2 import Message

        request = type(self.template)()
        request.CopyFrom(self.template)
        messages = [*self.past[-_KEPT_MESSAGES:], ("user", text)]
        request.messages.extend(Message(role=role, text=said) for role, said in messages)
        return request

    def _note_answer(self, answer: "Answer") -> None:
        if self.cli.state.root.is_dir():
            self.cli.state.last_answer_file.write_text(answer.end.answer + "\n", encoding="utf-8")


def _read_line() -> str:
    try:
        return input("you> ").strip()
    except EOFError:
        return ""


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
