"""`memosctl search`, `get` and `list`; each also of a moment of the past."""

from typing import Annotated

import typer

from memosctl import inputs, names
from memosctl.command import Cli, command
from memosctl.options import (
    AfterOption,
    AsOfOption,
    BeforeOption,
    LabelOption,
    PageSizeOption,
    PageTokenOption,
    SessionOption,
    SortOption,
    SpeakerOption,
    StatusOption,
    TimeZoneOption,
    ValidOption,
    VaultsOption,
)

app = typer.Typer()


@command(app, "search")
def search(
    cli: Cli,
    query: Annotated[str, typer.Argument(help="What to look for.")],
    vault: VaultsOption = None,
    top: Annotated[int, typer.Option("--top", "-k", min=1, max=100, help="Most memories.")] = 10,
    label: LabelOption = None,
    sort: SortOption = None,
    speaker: SpeakerOption = None,
    session: SessionOption = None,
    after: AfterOption = None,
    before: BeforeOption = None,
    valid_at: ValidOption = None,
    as_of: AsOfOption = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Leg or stage of the ranking to leave out: dense, lexical, neighbours, speaker, form,"
            " late_interaction, time, validity, hops, sessions, ranker, identifiers or updates; repeatable.",
        ),
    ] = None,
    tokens: Annotated[
        int, typer.Option("--tokens", min=0, help="Most tokens of all texts together, by estimate; 0 is no limit.")
    ] = 0,
    time_zone: TimeZoneOption = None,
    tree: Annotated[
        bool, typer.Option("--tree", help="Show how the hits hang together: topic, concept, memory.")
    ] = False,
) -> None:
    """Find the memories that fit a query best."""
    from memos_api.v1 import memory_service_pb2 as pb
    from memosctl.documents import document
    from memosctl.views import found

    request = pb.SearchMemoriesRequest(
        vaults=[names.vault(item) for item in vault or ()],
        query=query,
        top_k=top,
        filter=inputs.cube_filter(
            label=label,
            sort=sort,
            speaker=speaker,
            session=session,
            after=after,
            before=before,
            valid_at=valid_at,
        ),
        as_of=inputs.as_of(as_of),
        ranking=pb.Ranking(without=without or (), token_budget=tokens),
        paths=tree,
        time_zone=inputs.time_zone(time_zone),
    )
    with cli.client() as client:
        response = client.call(request)
    view = found.tree if tree else found.hits
    cli.output.answer(document(response), lambda: view(response, time_zone=request.time_zone))


@command(app, "get")
def get(
    cli: Cli,
    cube: Annotated[str, typer.Argument(help="Name or id of the cube.")],
    as_of: AsOfOption = None,
) -> None:
    """Show one memory."""
    from memos_api.v1 import memory_service_pb2 as pb
    from memosctl.documents import document
    from memosctl.views import cubes

    with cli.client() as client:
        response = client.call(pb.GetMemoryRequest(name=names.cube(cube), as_of=inputs.as_of(as_of)))
    cli.output.answer(document(response), lambda: cubes.card(response.cube))


@command(app, "list")
def list_(
    cli: Cli,
    vault: Annotated[str, typer.Option("--vault", "-v", metavar="NAME", help="Vault to list.")] = names.MAIN_VAULT,
    label: LabelOption = None,
    sort: SortOption = None,
    state: StatusOption = None,
    speaker: SpeakerOption = None,
    session: SessionOption = None,
    after: AfterOption = None,
    before: BeforeOption = None,
    valid_at: ValidOption = None,
    as_of: AsOfOption = None,
    page_size: PageSizeOption = 50,
    page_token: PageTokenOption = "",
) -> None:
    """List the memories of a vault, newest first."""
    from memos_api.v1 import memory_service_pb2 as pb
    from memosctl.documents import document
    from memosctl.views import cubes

    request = pb.ListMemoriesRequest(
        vault=names.vault(vault),
        filter=inputs.cube_filter(
            label=label,
            sort=sort,
            state=state,
            speaker=speaker,
            session=session,
            after=after,
            before=before,
            valid_at=valid_at,
        ),
        as_of=inputs.as_of(as_of),
        page_size=page_size,
        page_token=page_token,
    )
    with cli.client() as client:
        response = client.call(request)
    cli.output.answer(document(response), lambda: cubes.headers(response.cubes, response.next_page_token))
