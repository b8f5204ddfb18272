"""`memosctl history`, `diff` and `rollback`: what a memory was."""

from typing import Annotated

import typer

from memosctl import names
from memosctl.command import Cli, command
from memosctl.options import EtagOption, PageSizeOption, PageTokenOption, RequestIdOption

app = typer.Typer()

CubeArgument = Annotated[str, typer.Argument(help="Name or id of the cube.")]


@command(app, "history")
def history(
    cli: Cli,
    cube: CubeArgument,
    page_size: PageSizeOption = 50,
    page_token: PageTokenOption = "",
) -> None:
    """List the revisions of a memory, newest first; those of a deleted one until its purge time."""
    from memos_api.v1 import memory_service_pb2 as pb
    from memosctl.documents import document
    from memosctl.views import revisions

    request = pb.ListMemoryRevisionsRequest(name=names.cube(cube), page_size=page_size, page_token=page_token)
    with cli.client() as client:
        response = client.call(request)
    cli.output.answer(document(response), lambda: revisions.history(response.revisions, response.next_page_token))


@command(app, "diff")
def diff(
    cli: Cli,
    cube: CubeArgument,
    from_revision: Annotated[int, typer.Argument(min=0, help="Revision; 0: the one before.")] = 0,
    to_revision: Annotated[int, typer.Argument(min=0, help="Revision; 0: the newest.")] = 0,
) -> None:
    """Show what differs between two revisions of a memory; without numbers, what the last change did."""
    from memos_api.v1 import memory_service_pb2 as pb
    from memosctl.documents import document
    from memosctl.views import revisions

    request = pb.DiffMemoryRevisionsRequest(name=names.cube(cube), from_revision=from_revision, to_revision=to_revision)
    with cli.client() as client:
        response = client.call(request)
    cli.output.answer(document(response), lambda: revisions.difference(response))


@command(app, "rollback")
def rollback(
    cli: Cli,
    cube: CubeArgument,
    revision: Annotated[int, typer.Argument(min=1, help="Revision to go back to; see memosctl history.")],
    etag: EtagOption = "",
    request_id: RequestIdOption = "",
) -> None:
    """Give a memory the text and the fields of an older revision, as a new revision."""
    from memos_api.v1 import memory_service_pb2 as pb
    from memosctl.documents import document
    from memosctl.views import cubes

    request = pb.RollbackMemoryRequest(name=names.cube(cube), revision=revision, etag=etag, request_id=request_id)
    with cli.client() as client:
        response = client.call(request)
    cli.output.answer(document(response), lambda: cubes.card(response.cube))
