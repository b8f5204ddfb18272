"""`memosctl migrate`."""

import importlib
from typing import Annotated

import typer

from memosctl.command import Cli, command
from memosctl.failures import usage
from memosctl.options import ConfigOption

app = typer.Typer()

SERVICES_WITH_SCHEMA = ("governance", "storage", "scheduler")
"""Services that keep something in a database; each has `wiring.migrate(config, state_dir)`."""


@command(app, "migrate", remote=False)
def migrate(
    cli: Cli,
    services: Annotated[
        list[str] | None, typer.Argument(help=f"{', '.join(SERVICES_WITH_SCHEMA)}; all of them if none is named.")
    ] = None,
    wait: Annotated[
        float, typer.Option("--wait", min=0, metavar="SECONDS", help="How long to wait for databases that are away.")
    ] = 0,
    config: ConfigOption = None,
) -> None:
    """Bring the databases of services to the newest schema.

    On one machine `memosctl up` does it by itself. It is safe to run twice, and several times at once.
    """
    from memos_runtime import logging as runtime_logging
    from memosctl.migrating import migrate_waiting
    from memosctl.settings import load_settings

    chosen = tuple(services or SERVICES_WITH_SCHEMA)
    if unknown := [name for name in chosen if name not in SERVICES_WITH_SCHEMA]:
        raise usage(f"{unknown[0]!r} has no database.", f"Those with one are {', '.join(SERVICES_WITH_SCHEMA)}.")
    settings = load_settings(file=config, state_dir=cli.state_option)
    runtime_logging.configure(settings.telemetry)
    state = settings.state().make()
    for service in chosen:
        wiring = importlib.import_module(f"memos_{service}.wiring")
        migrate_waiting(wiring.migrate, settings.section(service), state.of(service), service=service, seconds=wait)
    cli.output.answer({"migrated": list(chosen)}, lambda: f"newest schema: {', '.join(chosen)}")
