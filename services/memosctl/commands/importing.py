"""`memosctl import`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memosctl import inputs, names
from memosctl.command import Cli, command
from memosctl.failures import Failure
from memosctl.importing import Report
from memosctl.options import LabelOption, TargetVaultOption

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer()


@command(app, "import")
def import_(
    cli: Cli,
    file: Annotated[Path, typer.Argument(help="File of JSON lines; `-` reads stdin.")],
    vault: TargetVaultOption = names.MAIN_VAULT,
    label: LabelOption = None,
) -> None:
    """Remember a conversation: a message a line, with id, role, speaker, session, time and text.

    A line that cannot be stored is reported and the others go on. The same file can be imported again, mended or
    grown: what the vault holds is known and not stored twice.
    """
    from memosctl.connect import sender
    from memosctl.importing import import_lines
    from memosctl.transcripts import read

    with inputs.opened(file) as source:
        lines = list(read(source.read().splitlines(keepends=True)))
    report = Report()
    with cli.client() as client, cli.output.progress("importing", len(lines)) as advance:
        try:
            import_lines(
                lines,
                vault=names.vault(vault),
                labels=inputs.labels(label),
                send=sender(client),
                advance=advance,
                report=report,
            )
        except BaseException:
            done = f"{report.added} of {len(lines)} lines were added before it stopped; run it again to go on."
            cli.output.note(done)
            raise
    cli.output.answer(report.document(), lambda: _view(report))
    if report.errors:
        raise Failure(
            f"{len(report.errors)} of {len(lines)} lines were not stored.",
            "Mend these lines and run it again; what is stored is not stored twice.",
            reason="LINES_REFUSED",
        )


def _view(report: Report) -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    summary = f"{report.added} added, {report.known} known before, {len(report.skipped)} left out"
    lines = [Text(summary, style="green")]
    lines += [Text(f"line {bad.number} left out: {bad.reason}", style="dim") for bad in report.skipped]
    lines += [Text(f"line {bad.number} refused: {bad.reason}", style="red") for bad in report.sorted_errors()]
    if report.degraded:
        lines.append(Text("degraded: an optional part was missing; run memosctl doctor", style="yellow"))
    return Group(*lines)
