"""What the demo shows: each question with its answer and evidence, one tree, the numbers."""

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from memosctl.views.chat import timings
from memosctl.views.provenance import tree
from memosctl.views.text import content, excerpt, milliseconds, said, verdict

if TYPE_CHECKING:
    from memos_api.v1.provenance_pb2 import Provenance
    from memosctl.demo.run import Asked, Summary


def question(asked: "Asked", *, number: int) -> RenderableType:
    """Return one question with its answer, the memories that were used, and the times."""
    head = Text.assemble((f"{number}. {asked.question.question}", "bold"))
    answer = Text.assemble(f"{asked.answer.end.text}  ", verdict(asked.is_right))
    if not asked.is_right:
        answer.append(f" (expected: {asked.question.answer})", style="dim")
    found = Text("evidence among the memories used" if asked.is_supported else "evidence not found")
    found.stylize("green" if asked.is_supported else "red")
    used = Table(box=None, show_header=False, padding=(0, 1))
    for column in ("mark", "said", "text"):
        used.add_column(column, no_wrap=column != "text", style="" if column == "text" else "dim")
    for item in asked.answer.plan.chosen:
        is_evidence = any(source.message_id in asked.question.evidence for source in item.cube.sources)
        used.add_row("→" if is_evidence else " ", said(item.cube), excerpt(content(item.cube), width=120))
    times = Text(timings(asked.answer.end.timings_ms), style="dim")
    return Group(head, Padding(Group(answer, found, used, times), (0, 0, 1, 3)))


def end(shown: "Asked", graph: "Provenance", summary: "Summary") -> RenderableType:
    """Return where one answer comes from, and the numbers."""
    title = Text(f"Where the answer to “{shown.question.question}” comes from", style="bold")
    numbers = Text.assemble(
        ("evidence ", "dim"), (f"{summary.evidence}/{summary.questions}", "bold"),
        ("   right answers ", "dim"), (f"{summary.right}/{summary.questions}", "bold"),
        ("   add p50 ", "dim"), f"{milliseconds(summary.add_p50_ms)} a message",
        ("   chat p50 ", "dim"), milliseconds(summary.chat_p50_ms),
    )  # fmt: skip
    return Group(title, tree(graph), Text(), numbers)
