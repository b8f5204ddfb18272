"""`memosctl doctor`."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from memosctl.command import Cli, command
from memosctl.failures import Failure
from memosctl.options import ConfigOption

if TYPE_CHECKING:
    from rich.console import RenderableType

    from memosctl.checks import Finding
    from memosctl.settings import Settings

app = typer.Typer()

_STYLES = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "dim"}


@command(app, "doctor")
def doctor(
    cli: Cli,
    config: ConfigOption = None,
    tiers: Annotated[
        bool, typer.Option("--tiers", help="Compare catalogue, vector index and blobs too; reads every blob.")
    ] = False,
    repair: Annotated[bool, typer.Option("--repair", help="As --tiers, and mend what can be mended.")] = False,
) -> None:
    """Look for what is wrong: versions, files, keys, databases, audit chain, models, and the running system."""
    from memosctl.checks import Verdict
    from memosctl.settings import load_settings

    settings = load_settings(file=config, state_dir=cli.state_option)
    with cli.output.waiting("looking"):
        found = [*_findings(cli, settings), *(_tiers(settings, repair=repair) if tiers or repair else ())]
    cli.output.answer(
        {
            "findings": [
                {"check": one.check, "verdict": one.verdict.value, "detail": one.detail, "hint": one.hint}
                for one in found
            ]
        },
        lambda: _view(found),
    )
    if bad := [one for one in found if one.verdict is Verdict.FAILED]:
        raise Failure(f"{len(bad)} of {len(found)} checks failed.", reason="CHECKS_FAILED")


def _findings(cli: Cli, settings: "Settings") -> "Iterator[Finding]":
    from memosctl.checks import files, machine, skipped
    from memosctl.lock import is_locked

    state = settings.state()
    yield from machine.versions()
    yield from machine.models(settings)
    yield from machine.milvus(settings)
    yield from files.directory(state)
    yield from files.keys(settings, state)
    yield from files.databases(state)
    yield from files.audit(settings, state)
    running = is_locked(state)
    if running or cli.address:
        from memosctl.checks import server

        if running and state.health_file.exists():
            yield from server.health(state.health_file.read_text(encoding="utf-8").split())
        yield from server.access(cli)
    else:
        yield skipped("system", f"nothing serves from {state.root}")
        yield from machine.ports(settings)


def _tiers(settings: "Settings", *, repair: bool) -> "Iterator[Finding]":
    from memosctl.checks.tiers import comparison
    from memosctl.lock import is_locked

    state = settings.state()
    yield from comparison(settings, state, repair=repair, running=is_locked(state))


def _view(found: "Iterable[Finding]") -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 1))
    for column in ("verdict", "check"):
        table.add_column(column, no_wrap=True)
    table.add_column("detail")
    for one in found:
        detail = Text(one.detail)
        if one.hint:
            detail.append(f"\n{one.hint}", style="bold")
        table.add_row(Text(one.verdict.value, style=_STYLES[one.verdict.value]), one.check, detail)
    return table
