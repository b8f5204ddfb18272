"""`memosctl load`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memosctl import names
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
    file: Annotated[Path, typer.Argument(help="File of JSON lines, a memory each.", exists=True, dir_okay=False)],
    vault: TargetVaultOption = names.MAIN_VAULT,
    embedder: Annotated[
        str, typer.Option("--embedder", help="Id of the embedder that made the vectors in the file.")
    ] = "",
) -> None:
    """Store many memories, a JSON object a line: "text", and as you like "name", "labels", "vector" ...

    Nothing is read into them, and nothing left out. One that is refused is reported and the others go on; a line that
    is no memory ends it. If the system goes away, it is waited for. What is stored is never stored twice, also when
    the file is loaded again.
    """
    from memos_client import DeadlineExceeded, Unavailable
    from memosctl.loading import Loaded, read_lines

    report, token, patience = Loaded(), "", Patience()
    with cli.client() as client, cli.output.progress("loading", _lines(file)) as advance:
        while True:
            try:
                with file.open("rb") as lines:
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
            except ValueError as error:
                raise Failure(
                    f"{error}.", "Mend this line; what came before it is stored.", reason="BAD_LINE"
                ) from error
            except (Unavailable, DeadlineExceeded) as error:
                patience.wait(error, begun=bool(token))
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
