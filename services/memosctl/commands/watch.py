"""`memosctl watch`: what changes in a vault, as it happens."""

import functools
from typing import Annotated

import typer

from memosctl import names
from memosctl.command import Cli, command

app = typer.Typer()


@command(app, "watch")
def watch(
    cli: Cli,
    vault: Annotated[str, typer.Option("--vault", "-v", metavar="NAME", help="Vault to follow.")] = names.MAIN_VAULT,
    resume: Annotated[str, typer.Option("--resume", metavar="TOKEN", help="Go on behind this token.")] = "",
    full: Annotated[bool, typer.Option("--full", help="Show the texts.")] = False,
) -> None:
    """Follow the changes of a vault until interrupted. With `--json` each line has the token to resume from."""
    from memos_api.v1 import memcube_pb2
    from memos_api.v1 import memory_service_pb2 as pb
    from memosctl.documents import document
    from memosctl.views import changes

    view = memcube_pb2.CUBE_VIEW_FULL if full else memcube_pb2.CUBE_VIEW_BASIC
    request = pb.WatchMemoriesRequest(vault=names.vault(vault), resume_token=resume, view=view)
    token = resume
    try:
        with cli.client() as client:
            for answer in client.stream(request):
                token = answer.resume_token
                if cli.output.json:
                    cli.output.event(document(answer), str)
                    continue
                for change in answer.changes:
                    cli.output.event(None, functools.partial(changes.line, change))
    except KeyboardInterrupt:
        cli.output.note(f"Go on behind this with: memosctl watch --vault {names.short(vault)} --resume {token}")
