"""`memosctl up` and `memosctl serve`."""

from typing import TYPE_CHECKING, Annotated

import typer

from memosctl.command import Cli, command
from memosctl.failures import usage
from memosctl.options import ConfigOption

if TYPE_CHECKING:
    from memosctl.running import Ready

app = typer.Typer()

ListenOption = Annotated[
    str | None, typer.Option("--address", metavar="HOST:PORT", help="Where to listen.", show_default=False)
]


@command(app, "up", remote=False)
def up(cli: Cli, address: ListenOption = None, config: ConfigOption = None) -> None:
    """Start all six services in this process, for this machine.

    The first start makes keys, the tenant `local`, the vault `main` and a file with the admin's API key.
    """
    from memosctl import running
    from memosctl.settings import load_settings

    settings = load_settings(file=config, state_dir=cli.state_option, address=address)
    running.up(settings, announce=lambda ready: _announce(cli, ready))


@command(app, "serve", remote=False)
def serve(
    cli: Cli,
    services: Annotated[
        list[str], typer.Argument(help="governance, storage, inference, lifecycle, scheduler, interface.")
    ],
    address: ListenOption = None,
    config: ConfigOption = None,
) -> None:
    """Start some of the services in this process; they meet the others over TCP.

    Several services listen on consecutive ports, in the order given, and so do their health endpoints.
    """
    from memos_wire.methods import SERVICES
    from memosctl import running
    from memosctl.settings import load_settings

    if unknown := [name for name in services if name not in SERVICES]:
        raise usage(f"{unknown[0]!r} is no service.", f"Services are {', '.join(SERVICES)}.")
    if len(set(services)) < len(services):
        raise usage("A service is named twice.")
    settings = load_settings(file=config, state_dir=cli.state_option, address=address)
    running.serve(settings, services, announce=lambda ready: _announce(cli, ready))


def _announce(cli: Cli, ready: "Ready") -> None:
    from rich.text import Text

    document = {
        "event": "ready",
        "services": list(ready.services),
        "addresses": list(ready.addresses),
        "health": list(ready.health),
        "seconds": round(ready.seconds, 3),
        "key_file": str(ready.key_file) if ready.key_file else None,
    }
    where = ", ".join(ready.addresses)
    line = Text.assemble(("ready", "bold green"), f" in {ready.seconds:.1f} s on {where}")
    if ready.key_file:
        line.append(f"\nAPI key of the local admin: {ready.key_file}")
    cli.output.event(document, lambda: line)
