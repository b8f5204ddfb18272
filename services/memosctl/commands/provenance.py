"""`memosctl provenance`."""

from typing import TYPE_CHECKING, Annotated

import typer

from memosctl import names
from memosctl.command import Cli, command
from memosctl.failures import Failure, usage

if TYPE_CHECKING:
    from memos_api.v1.memory_service_pb2 import GetProvenanceResponse
    from memos_client import Client

app = typer.Typer()


@command(app, "provenance")
def provenance(
    cli: Cli,
    name: Annotated[
        str | None, typer.Argument(help="Cube, answer or plan: a name or its last part.", show_default=False)
    ] = None,
    last: Annotated[bool, typer.Option("--last", help="The newest answer of `memosctl chat`.")] = False,
    depth: Annotated[int, typer.Option("--depth", min=1, max=10, help="Steps to follow.")] = 4,
) -> None:
    """Draw where a memory or an answer comes from, and what was made of it."""
    from memosctl.documents import document
    from memosctl.views.provenance import tree

    candidates = names.roots(_root(cli, name, last=last))
    with cli.client() as client:
        response = _first_found(client, candidates, depth)
    cli.output.answer(document(response), lambda: tree(response.provenance))


def _root(cli: Cli, name: str | None, *, last: bool) -> str:
    if last == (name is not None):
        raise usage("Say what to trace.", "Give the name of a cube or an answer, or --last.")
    if name is not None:
        return name
    try:
        return cli.state.last_answer_file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise Failure(
            f"No answer is noted in {cli.state.root}.", "Ask something with memosctl chat first.", reason="NO_ANSWER"
        ) from None


def _first_found(client: "Client", candidates: tuple[str, ...], depth: int) -> "GetProvenanceResponse":
    from memos_api.v1.memory_service_pb2 import GetProvenanceRequest, GetProvenanceResponse
    from memos_client import NotFound

    for name in candidates:
        try:
            response: GetProvenanceResponse = client.call(GetProvenanceRequest(name=name, depth=depth))
        except NotFound:
            if len(candidates) == 1:
                raise
        else:
            return response
    raise Failure(
        f"There is no {' or '.join(candidates)} for you.",
        "memosctl search and memosctl list show cubes; --last is the newest answer.",
        reason="RESOURCE_NOT_FOUND",
    )
