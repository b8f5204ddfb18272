"""`memosctl backup` and `memosctl restore`: a whole installation on one machine."""

from pathlib import Path
from typing import Annotated

import typer

from memosctl.command import Cli, command
from memosctl.options import ConfigOption

app = typer.Typer()

_MIB = 1024 * 1024


@command(app, "backup", remote=False)
def backup(
    cli: Cli,
    directory: Annotated[Path, typer.Argument(help="Directory to make.", file_okay=False)],
    config: ConfigOption = None,
) -> None:
    """Copy everything that this machine keeps, while it is served or not: databases, keys, blobs.

    Whoever has the copy has all memories and keys: keep it as safe as the machine.
    """
    from rich.text import Text

    from memosctl import backup as backups
    from memosctl.settings import load_settings

    settings = load_settings(file=config, state_dir=cli.state_option)
    backups.check_settings(settings)
    with cli.output.counting("bytes copied:") as count:
        made = backups.back_up(settings.state(), directory, progress=count)
    cli.output.answer(
        made.document(),
        lambda: Text(f"{directory}: {len(made.files)} files, {made.size_bytes / _MIB:.1f} MiB, made {made.made}"),
    )


@command(app, "restore", remote=False)
def restore(
    cli: Cli,
    directory: Annotated[Path, typer.Argument(help="The backup.", exists=True, file_okay=False)],
    config: ConfigOption = None,
) -> None:
    """Put a backup into an empty state directory; `memosctl up` then goes on from there.

    The vector index is filled from the catalogue in the background; until then searches say that they are degraded.
    """
    from rich.text import Text

    from memosctl import backup as backups
    from memosctl.settings import load_settings

    settings = load_settings(file=config, state_dir=cli.state_option)
    backups.check_settings(settings)
    found, state = backups.read_backup(directory), settings.state()
    with cli.output.progress("comparing", found.size_bytes) as advance:
        backups.restore(found, state, progress=advance)
    cli.output.answer(
        {**found.document(), "stateDir": str(state.root)},
        lambda: Text(f"{state.root}: as it was on {found.made}; start it with memosctl up"),
    )
