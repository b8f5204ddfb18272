"""`memosctl links` and `settle`: which memory makes which untrue, and which says the same."""

from enum import StrEnum
from typing import Annotated

import typer

from memosctl import names
from memosctl.command import Cli, command
from memosctl.options import RequestIdOption

app = typer.Typer()


class Kind(StrEnum):
    """What a memory does to an earlier one."""

    SUPERSEDES = "supersedes"
    MAY_SUPERSEDE = "may-supersede"
    UNRELATED = "unrelated"
    RESTATES = "restates"


@command(app, "links")
def links(cli: Cli, cube: Annotated[str, typer.Argument(help="Name or id of the cube.")]) -> None:
    """List which memories make this one untrue, or may, which it makes untrue, and which say the same."""
    from memos_api.v1 import memory_service_pb2 as pb
    from memosctl.documents import document
    from memosctl.views import memory_links

    with cli.client() as client:
        response = client.call(pb.ListMemoryLinksRequest(name=names.cube(cube)))
    cli.output.answer(document(response), lambda: memory_links.listed(response.links))


@command(app, "settle")
def settle(
    cli: Cli,
    newer: Annotated[str, typer.Argument(help="Name or id of the memory that was told later.")],
    older: Annotated[str, typer.Argument(help="Name or id of the one that was told before.")],
    kind: Annotated[Kind, typer.Argument(help="What the newer one does to the older one.")],
    request_id: RequestIdOption = "",
) -> None:
    """Say what a memory does to an earlier one: `supersedes` ends its validity, `unrelated` takes that back."""
    from memos_api.v1 import memory_service_pb2 as pb
    from memosctl.documents import document
    from memosctl.views import memory_links

    request = pb.SettleMemoryLinkRequest(
        newer=names.cube(newer),
        older=names.cube(older),
        kind=pb.LinkKind.Value(f"LINK_KIND_{kind.name}"),
        request_id=request_id,
    )
    with cli.client() as client:
        response = client.call(request)
    cli.output.answer(document(response), lambda: memory_links.listed([response.link]))
