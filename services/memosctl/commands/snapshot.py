"""`memosctl snapshot`: moments of a vault that have names, and the way back to one."""

from typing import Annotated

import typer

from memosctl import inputs, names
from memosctl.command import Cli, command
from memosctl.following import follow_job
from memosctl.options import AsOfOption, PageSizeOption, PageTokenOption, RequestIdOption, TargetVaultOption

app = typer.Typer(name="snapshot", help="Name moments of a vault, and go back to them.", no_args_is_help=True)

SnapshotArgument = Annotated[str, typer.Argument(help="Name or id of the snapshot.")]


@command(app, "create")
def create(
    cli: Cli,
    name: Annotated[str, typer.Argument(help="Name; one is made if it is left out.")] = "",
    vault: TargetVaultOption = names.MAIN_VAULT,
    as_of: AsOfOption = None,
    title: Annotated[str, typer.Option("--title", help="Title for people.")] = "",
    request_id: RequestIdOption = "",
) -> None:
    """Name a moment of a vault: now, or one of the past."""
    from memos_api.v1 import snapshot_service_pb2 as pb
    from memosctl.documents import document
    from memosctl.views import snapshots

    wanted = pb.Snapshot(
        name=names.snapshot(name), vault=names.vault(vault), as_of=inputs.as_of(as_of), display_name=title
    )
    with cli.client() as client:
        response = client.call(pb.CreateSnapshotRequest(snapshot=wanted, request_id=request_id))
    cli.output.answer(document(response), lambda: snapshots.overview([response.snapshot], ""))


@command(app, "list")
def list_(
    cli: Cli,
    vault: Annotated[str, typer.Option("--vault", "-v", metavar="NAME", help="Vault.")] = names.MAIN_VAULT,
    page_size: PageSizeOption = 50,
    page_token: PageTokenOption = "",
) -> None:
    """List the snapshots of a vault, the latest moment first."""
    from memos_api.v1 import snapshot_service_pb2 as pb
    from memosctl.documents import document
    from memosctl.views import snapshots

    request = pb.ListSnapshotsRequest(vault=names.vault(vault), page_size=page_size, page_token=page_token)
    with cli.client() as client:
        response = client.call(request)
    cli.output.answer(document(response), lambda: snapshots.overview(response.snapshots, response.next_page_token))


@command(app, "get")
def get(cli: Cli, snapshot: SnapshotArgument) -> None:
    """Show one snapshot."""
    from memos_api.v1 import snapshot_service_pb2 as pb
    from memosctl.documents import document
    from memosctl.views import snapshots

    with cli.client() as client:
        response = client.call(pb.GetSnapshotRequest(name=names.snapshot(snapshot)))
    cli.output.answer(document(response), lambda: snapshots.overview([response.snapshot], ""))


@command(app, "delete")
def delete(cli: Cli, snapshot: SnapshotArgument, request_id: RequestIdOption = "") -> None:
    """Forget the name of a moment; the moment can still be read."""
    from rich.text import Text

    from memos_api.v1 import snapshot_service_pb2 as pb
    from memosctl.documents import document

    request = pb.DeleteSnapshotRequest(name=names.snapshot(snapshot), request_id=request_id)
    with cli.client() as client:
        response = client.call(request)
    cli.output.answer(document(response), lambda: Text(f"deleted {request.name}"))


@command(app, "restore")
def restore(cli: Cli, snapshot: SnapshotArgument, request_id: RequestIdOption = "") -> None:
    """Take a vault back to a snapshot, and follow the job that does it; all of it is new revisions."""
    from memos_api.v1 import snapshot_service_pb2 as pb

    request = pb.RestoreSnapshotRequest(name=names.snapshot(snapshot), request_id=request_id)
    with cli.client() as client:
        follow_job(cli, client, client.call(request).job.name)
