"""`memosctl load`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memosctl import inputs, names
from memosctl.command import Cli, command
from memosctl.failures import Failure
from memosctl.options import TargetVaultOption
from memosctl.waiting import Patience

if TYPE_CHECKING:
    from rich.console import RenderableType

    from memosctl.loading import Loaded

app = typer.Typer()

_SHOWN = 20


@command(app, "load")
def load(
    cli: Cli,
    file: Annotated[Path, typer.Argument(help="File of JSON lines, a memory each; `-` reads stdin.")],
    vault: TargetVaultOption = names.MAIN_VAULT,
    embedder: Annotated[
        str, typer.Option("--embedder", help="Id of the embedder that made the vectors in the file.")
    ] = "",
) -> None:
    """Store many memories, a JSON object a line: "text", and as you like "name", "labels", "vector" ...

    Nothing is read into them, and nothing left out. One that is refused is reported and the others go on; a line that
    is no memory ends it. If the system goes away, it is waited for, unless the lines come through a pipe. What is
    stored is never stored twice, also when the file is loaded again.
    """
    from memos_client import DeadlineExceeded, RequestError, Unavailable
    from memosctl.loading import Loaded, line_at_fault, read_lines

    report, token, patience = Loaded(), "", Patience()
    lasting = not inputs.is_stdin(file) and file.is_file()  # what a pipe has given it does not give again
    shown = cli.output.progress("loading", _lines(file)) if lasting else cli.output.counting("loading")
    with cli.client() as client, shown as advance:
        while True:
            try:
                with inputs.opened(file) as lines:
                    items = read_lines(lines)
                    for answer in client.import_memories(
                        names.vault(vault), items, embedder=embedder, resume_token=token
                    ):
                        report.note(answer)
                        advance(len(answer.results))
                        token = answer.resume_token
                        if answer.results:
                            patience.renew()
                break
            except (RequestError, ValueError) as error:
                if (refused := line_at_fault(error)) is None:
                    raise
                raise refused from error
            except (Unavailable, DeadlineExceeded) as error:
                patience.wait(error, begun=lasting and bool(token))
    cli.output.answer(report.document(), lambda: _view(report))
    if report.errors:
        raise Failure(
            f"{len(report.errors)} of {report.total} lines were not stored.",
            "Mend these lines and load the file again; what is stored is not stored twice.",
            reason="LINES_REFUSED",
        )


def _lines(file: Path) -> int:
    with file.open("rb") as lines:
        return sum(1 for _ in lines)


def _view(report: "Loaded") -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    summary = f"{report.added} added, {report.known} known before"
    lines = [Text(summary, style="green")]
    lines += [Text(f"line {bad.index + 1} refused: {bad.error}", style="red") for bad in report.errors[:_SHOWN]]
    if len(report.errors) > _SHOWN:
        lines.append(Text(f"and {len(report.errors) - _SHOWN} more; --json lists all", style="red"))
    if report.degraded:
        lines.append(Text("degraded: an optional part was missing; run memosctl doctor", style="yellow"))
    return Group(*lines)
