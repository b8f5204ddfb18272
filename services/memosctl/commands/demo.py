"""`memosctl demo`."""

from typing import TYPE_CHECKING

import typer

from memosctl.command import Cli, command
from memosctl.failures import Failure

if TYPE_CHECKING:
    from memos_client import Client
    from memosctl.child import Child
    from memosctl.demo.run import Summary

app = typer.Typer()


@command(app, "demo", remote=False)
def demo(cli: Cli) -> None:
    """Start a fresh system, store a conversation, ask ten questions, show where the answers come from, stop.

    It uses a temporary directory and free ports; nothing of yours is touched.
    """
    from memosctl.child import running_system
    from memosctl.connect import connect
    from memosctl.demo.judge import ANSWERS_NEEDED, EVIDENCE_NEEDED

    with running_system(waiting=cli.output.waiting) as child:
        cli.output.note(f"six services are ready after {child.ready_seconds:.1f} s, on {child.address}")
        local = Cli(output=cli.output, state_option=child.state.root, address=child.address)
        with connect(local, environ={}) as client:
            summary = _show(cli, client, child)
    if not summary.passed:
        raise Failure(
            f"The demo needs evidence for {EVIDENCE_NEEDED} and right answers to {ANSWERS_NEEDED} of "
            f"{summary.questions} questions; it got {summary.evidence} and {summary.right}.",
            reason="DEMO_FAILED",
        )


def _show(cli: Cli, client: "Client", child: "Child") -> "Summary":
    from memosctl.demo import run
    from memosctl.documents import document
    from memosctl.views import demo as view

    output = cli.output
    with output.progress("storing the conversation", run.conversation_length()) as advance:
        ingested = run.ingest(client, advance=advance)
    if ingested.report.errors:
        first = ingested.report.errors[0]
        raise Failure(f"Line {first.number} of the conversation was refused: {first.reason}", reason="LINES_REFUSED")
    output.note(f"{ingested.report.added} messages are stored; ten questions follow\n")
    console = output.console()
    asked: list[run.Asked] = []
    for one in run.ask_all(client):
        asked.append(one)
        if not output.json:
            console.print(view.question(one, number=len(asked)))
    shown = next((one for one in asked if one.is_right and one.is_supported), asked[0])
    graph = run.origin(client, shown)
    summary = run.summarise(asked, ingested, ready_seconds=child.ready_seconds)
    output.answer(
        {
            "questions": [one.document() for one in asked],
            "provenance": document(graph),
            "summary": summary.document(),
        },
        lambda: view.end(shown, graph, summary),
    )
    return summary
