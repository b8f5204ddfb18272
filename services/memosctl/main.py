"""The command line, put together from its groups."""

import os
import sys
import threading
from typing import Annotated

import typer

from memos_inference.adapters.model_loader import THREAD as LOADING_THREAD
from memosctl.commands import (
    archive,
    audit,
    backup,
    blob,
    certs,
    chat,
    config,
    convert,
    demo,
    doctor,
    history,
    importing,
    jobs,
    key,
    links,
    loading,
    migrate,
    provenance,
    purge,
    read,
    secrets,
    snapshot,
    tenant,
    up,
    vault,
    watch,
    write,
)

app = typer.Typer(
    name="memosctl",
    help="Memory for language models: run it, feed it, ask it, and see where answers come from.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for flat in (
    up,
    write,
    importing,
    loading,
    read,
    watch,
    history,
    links,
    chat,
    provenance,
    demo,
    doctor,
    config,
    migrate,
    backup,
    certs,
    secrets,
):
    app.add_typer(flat.app)
for group in (vault, archive, blob, convert, snapshot, purge, key, tenant, jobs, audit):
    app.add_typer(group.app)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"memosctl {version('memos-grpc')}")
        except PackageNotFoundError:
            typer.echo("memosctl, not installed")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line."""
    # read by gRPC's core when it is imported: its own log is for its developers, and nothing here forks a Python
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    os.environ.setdefault("GRPC_EXPERIMENTAL_RING_HASH_SET_REQUEST_HASH_KEY", "true")  # channels.AFFINITY_SWITCH
    # read by NumPy: a search multiplies one matrix by one vector, and threads of its own would only wait for the cores
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        app()
    except SystemExit as ended:
        _leave_loads_behind(ended.code)
        raise


def _leave_loads_behind(code: str | int | None) -> None:
    """End the process now if a model is still being fetched, whose threads would keep it until all of it is here."""
    if any(thread.name == LOADING_THREAD for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))
