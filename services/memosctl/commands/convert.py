"""`memosctl convert`: memories in forms that a model reads faster or knows, and such forms as text again."""

from typing import TYPE_CHECKING, Annotated

import typer

from memosctl import inputs, names
from memosctl.command import Cli, command
from memosctl.failures import usage
from memosctl.following import follow_job
from memosctl.options import LabelOption, RequestIdOption, SessionOption, SpeakerOption, TargetVaultOption

if TYPE_CHECKING:
    from memos_api.v1 import conversion_service_pb2 as pb
    from memos_api.v1.memory_service_pb2 import CubeFilter
    from memos_client import Client

app = typer.Typer(
    name="convert", help="Bring memories into forms that a model reads faster or knows, and back.", no_args_is_help=True
)

_MOST = 100
"""Memories of one conversion."""


CubesArgument = Annotated[
    list[str] | None,
    typer.Argument(help="Memories; without any, those that the options select.", show_default=False),
]


@command(app, "activation")
def activation(
    cli: Cli,
    cubes: CubesArgument = None,
    vault: TargetVaultOption = names.MAIN_VAULT,
    label: LabelOption = None,
    speaker: SpeakerOption = None,
    session: SessionOption = None,
    request_id: RequestIdOption = "",
) -> None:
    """Have the model read memories once, and keep what that gives as a KV cache for later chats."""
    from memos_api.v1 import conversion_service_pb2 as pb

    chosen = inputs.cube_filter(label=label, speaker=speaker, session=session)
    _convert(cli, pb.BuildActivationRequest(vault=names.vault(vault), request_id=request_id), cubes, chosen)


@command(app, "adapter")
def adapter(
    cli: Cli,
    cubes: CubesArgument = None,
    vault: TargetVaultOption = names.MAIN_VAULT,
    label: LabelOption = None,
    speaker: SpeakerOption = None,
    session: SessionOption = None,
    request_id: RequestIdOption = "",
) -> None:
    """Train a LoRA adapter on memories, so that the model knows them by itself: chat --form lora."""
    from memos_api.v1 import conversion_service_pb2 as pb

    chosen = inputs.cube_filter(label=label, speaker=speaker, session=session)
    _convert(cli, pb.TrainAdapterRequest(vault=names.vault(vault), request_id=request_id), cubes, chosen)


@command(app, "text")
def text(
    cli: Cli,
    cube: Annotated[str, typer.Argument(help="A KV cache or an adapter.")],
    vault: TargetVaultOption = names.MAIN_VAULT,
    request_id: RequestIdOption = "",
) -> None:
    """Write down as text what a KV cache or an adapter holds; it is told how sure that is."""
    from memos_api.v1 import conversion_service_pb2 as pb

    request = pb.RecoverTextRequest(vault=names.vault(vault), name=names.cube(cube), request_id=request_id)
    with cli.client() as client:
        follow_job(cli, client, client.call(request).job.name)


def _convert(
    cli: Cli,
    request: "pb.BuildActivationRequest | pb.TrainAdapterRequest",
    cubes: list[str] | None,
    chosen: "CubeFilter",
) -> None:
    """Send a request for the memories that are named or selected, and follow its job."""
    with cli.client() as client:
        request.names.extend([names.cube(cube) for cube in cubes or ()] or _selected(client, request.vault, chosen))
        follow_job(cli, client, client.call(request).job.name)


def _selected(client: "Client", vault: str, filter: "CubeFilter") -> list[str]:
    """Return the texts of a vault that a filter lets through."""
    from memos_api.v1 import memcube_pb2
    from memos_api.v1 import memory_service_pb2 as pb

    filter.kinds.append(memcube_pb2.CUBE_KIND_PLAINTEXT)
    answer = client.call(pb.ListMemoriesRequest(vault=vault, filter=filter, page_size=_MOST))
    if not answer.cubes:
        raise usage("No memory is selected.", f"memosctl list --vault {names.short(vault)} shows what there is.")
    if answer.next_page_token:
        raise usage(
            f"More than {_MOST} memories are selected.", "Name them, or narrow the choice with --session or --label."
        )
    return [cube.name for cube in answer.cubes]
