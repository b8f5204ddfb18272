"""`memosctl add`, `update`, `delete`, `undelete`, `freeze` and `unfreeze`."""

from typing import Annotated, Any

import typer

from memosctl import inputs, names
from memosctl.command import Cli, command
from memosctl.failures import usage
from memosctl.options import EtagOption, LabelOption, RequestIdOption, TargetVaultOption

app = typer.Typer()


@command(app, "add")
def add(
    cli: Cli,
    texts: Annotated[list[str], typer.Argument(help="Texts to remember; `-` reads one from stdin.")],
    vault: TargetVaultOption = names.MAIN_VAULT,
    speaker: Annotated[str, typer.Option("--speaker", help="Who says it.")] = "",
    session: Annotated[str, typer.Option("--session", help="Conversation that it belongs to.")] = "",
    time: Annotated[str, typer.Option("--time", metavar="TIME", help="When it was said; default now.")] = "",
    label: LabelOption = None,
    sort: Annotated[inputs.Sort | None, typer.Option("--type", help="Sort of content.")] = None,
    expires: Annotated[str | None, typer.Option("--expires", metavar="TIME", help="Forget then, such as 30d.")] = None,
    keep_earlier: Annotated[
        bool,
        typer.Option("--keep-earlier", help="Leave what was said before as it is."),
    ] = False,
    request_id: RequestIdOption = "",
) -> None:
    """Remember texts. The next search finds them. What they make untrue ends to be valid; see memosctl links."""
    from memos_api.v1 import memory_service_pb2 as pb
    from memos_api.v1.memcube_pb2 import SemanticType
    from memosctl.documents import document
    from memosctl.views import cubes

    said = [inputs.text_or_stdin(text) for text in texts]
    request = pb.AddMemoriesRequest(
        vault=names.vault(vault), labels=inputs.labels(label), keep_earlier=keep_earlier, request_id=request_id
    )
    if speaker or session or time:
        when = inputs.moment(time, option="--time", past=True).isoformat() if time else ""
        request.messages.extend(pb.Message(speaker=speaker, session=session, time=when, text=text) for text in said)
    else:
        request.texts.extend(said)
    if sort:
        request.semantic_type = SemanticType.Value(f"SEMANTIC_TYPE_{sort.name}")
    if expires:
        request.expire_time.FromDatetime(inputs.moment(expires, option="--expires"))
    with cli.client() as client:
        response = client.call(request)
    cli.output.answer(document(response), lambda: cubes.added(response))


@command(app, "update")
def update(
    cli: Cli,
    cube: Annotated[str, typer.Argument(help="Name or id of the cube.")],
    text: Annotated[str | None, typer.Option("--text", help="New text; `-` reads it from stdin.")] = None,
    label: LabelOption = None,
    sort: Annotated[inputs.Sort | None, typer.Option("--type", help="Sort of content.")] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="TIME", help="Forget then; `never` takes it back.")
    ] = None,
    valid_until: Annotated[
        str | None, typer.Option("--valid-until", metavar="TIME", help="Until when it holds in the world.")
    ] = None,
    priority: Annotated[int | None, typer.Option("--priority", min=0, max=100, help="Weight in planning.")] = None,
    etag: EtagOption = "",
    request_id: RequestIdOption = "",
) -> None:
    """Change a memory, as a new revision. Labels given replace all labels."""
    from memos_api.v1 import memory_service_pb2 as pb
    from memos_api.v1.memcube_pb2 import MemCube, SemanticType
    from memosctl.documents import document
    from memosctl.views import cubes

    changed = MemCube(name=names.cube(cube), etag=etag)
    paths: list[str] = []
    if text is not None:
        changed.plaintext.text = inputs.text_or_stdin(text)
        paths.append("plaintext.text")
    if label is not None:
        changed.labels.update(inputs.labels(label))
        paths.append("labels")
    if sort is not None:
        changed.semantic_type = SemanticType.Value(f"SEMANTIC_TYPE_{sort.name}")
        paths.append("semantic_type")
    if expires is not None:
        if expires != "never":
            changed.expire_time.FromDatetime(inputs.moment(expires, option="--expires"))
        paths.append("expire_time")
    if valid_until is not None:
        changed.valid_until.FromDatetime(inputs.moment(valid_until, option="--valid-until"))
        paths.append("valid_until")
    if priority is not None:
        changed.priority = priority
        paths.append("priority")
    if not paths:
        raise usage("Nothing to change.", "Give --text, --label, --type, --expires, --valid-until or --priority.")
    request = pb.UpdateMemoryRequest(cube=changed, request_id=request_id)
    request.update_mask.paths.extend(paths)
    with cli.client() as client:
        response = client.call(request)
    cli.output.answer(document(response), lambda: cubes.card(response.cube))


@command(app, "delete")
def delete(
    cli: Cli,
    cube: Annotated[str, typer.Argument(help="Name or id of the cube.")],
    etag: EtagOption = "",
    request_id: RequestIdOption = "",
) -> None:
    """Take a memory out of every read and search."""
    from rich.text import Text

    from memos_api.v1 import memory_service_pb2 as pb
    from memosctl.documents import document
    from memosctl.views.text import moment

    request = pb.DeleteMemoryRequest(name=names.cube(cube), etag=etag, request_id=request_id)
    with cli.client() as client:
        response = client.call(request)
    cli.output.answer(
        document(response),
        lambda: Text(f"deleted {response.cube.name}; kept until {moment(response.cube.purge_time)}"),
    )


@command(app, "undelete")
def undelete(
    cli: Cli,
    cube: Annotated[str, typer.Argument(help="Name or id of the deleted cube.")],
    etag: EtagOption = "",
    request_id: RequestIdOption = "",
) -> None:
    """Take the deletion of a memory back, until its purge time."""
    from memos_api.v1 import memory_service_pb2 as pb

    request = pb.UndeleteMemoryRequest(name=names.cube(cube), etag=etag, request_id=request_id)
    _carry_out(cli, request, "undeleted")


@command(app, "freeze")
def freeze(
    cli: Cli,
    cube: Annotated[str, typer.Argument(help="Name or id of the cube.")],
    etag: EtagOption = "",
    request_id: RequestIdOption = "",
) -> None:
    """Forbid to change or delete a memory until it is unfrozen. It is still found and used."""
    from memos_api.v1 import memory_service_pb2 as pb

    request = pb.FreezeMemoryRequest(name=names.cube(cube), etag=etag, request_id=request_id)
    _carry_out(cli, request, "froze")


@command(app, "unfreeze")
def unfreeze(
    cli: Cli,
    cube: Annotated[str, typer.Argument(help="Name or id of the cube.")],
    etag: EtagOption = "",
    request_id: RequestIdOption = "",
) -> None:
    """Allow changes to a frozen memory again."""
    from memos_api.v1 import memory_service_pb2 as pb

    request = pb.UnfreezeMemoryRequest(name=names.cube(cube), etag=etag, request_id=request_id)
    _carry_out(cli, request, "unfroze")


def _carry_out(cli: Cli, request: Any, done: str) -> None:
    """Send a request that answers with a cube, and say what was done to it."""
    from rich.text import Text

    from memosctl.documents import document

    with cli.client() as client:
        response = client.call(request)
    cli.output.answer(document(response), lambda: Text(f"{done} {response.cube.name}"))
