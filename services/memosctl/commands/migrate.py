"""`memosctl migrate`."""

import importlib

import typer

from memosctl.command import Cli, command
from memosctl.options import ConfigOption

app = typer.Typer()

SERVICES_WITH_SCHEMA = ("governance", "storage", "scheduler")
"""Services that keep something in a database; each has `wiring.migrate(config, state_dir)`."""


@command(app, "migrate", remote=False)
def migrate(cli: Cli, config: ConfigOption = None) -> None:
    """Bring the databases of all services to the newest schema.

    On one machine `memosctl up` does it by itself. It is safe to run twice.
    """
    from memosctl.settings import load_settings

    settings = load_settings(file=config, state_dir=cli.state_option)
    state = settings.state().make()
    for service in SERVICES_WITH_SCHEMA:
        wiring = importlib.import_module(f"memos_{service}.wiring")
        wiring.migrate(settings.section(service), state.of(service))
    done = {"migrated": list(SERVICES_WITH_SCHEMA)}
    cli.output.answer(done, lambda: f"{', '.join(SERVICES_WITH_SCHEMA)} have the newest schema")
