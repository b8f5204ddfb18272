"""`memosctl purge`: erase memories for good, with proof."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memosctl import inputs, names
from memosctl.command import Cli, command
from memosctl.failures import Failure, usage
from memosctl.following import follow_job
from memosctl.options import (
    AfterOption,
    BeforeOption,
    LabelOption,
    PageSizeOption,
    PageTokenOption,
    RequestIdOption,
    SessionOption,
    SortOption,
    SpeakerOption,
    StatusOption,
    TargetVaultOption,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from memos_api.v1.purge_service_pb2 import Purge, PurgeMemoriesRequest
    from memos_client import Client

app = typer.Typer(name="purge", help="Erase memories for good, and prove it.", no_args_is_help=True)

PurgeArgument = Annotated[str, typer.Argument(help="Name or id of the purge.")]


@command(app, "run")
def run(
    cli: Cli,
    cube: Annotated[list[str] | None, typer.Argument(help="Names or ids of cubes, deleted or not.")] = None,
    vault: TargetVaultOption = names.MAIN_VAULT,
    label: LabelOption = None,
    sort: SortOption = None,
    state: StatusOption = None,
    speaker: SpeakerOption = None,
    session: SessionOption = None,
    after: AfterOption = None,
    before: BeforeOption = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; it stays in the receipt.")] = "",
    count: Annotated[
        int | None, typer.Option("--count", min=1, help="How many memories this erases; asked for if left out.")
    ] = None,
    request_id: RequestIdOption = "",
) -> None:
    """Erase memories with all their revisions and what is derived from them; nothing brings them back.

    Give cubes, or conditions that all have to hold.
    """
    from memos_api.v1 import purge_service_pb2 as pb

    wanted = inputs.cube_filter(
        label=label, sort=sort, state=state, speaker=speaker, session=session, after=after, before=before
    )
    if bool(cube) == bool(wanted.ByteSize()):
        raise usage("Give either cubes or conditions such as --label.", "memosctl purge run --help")
    request = pb.PurgeMemoriesRequest(
        vault=names.vault(vault),
        names=[names.cube(name) for name in cube or ()],
        filter=wanted if not cube else None,
        reason=reason,
        request_id=request_id,
    )
    with cli.client() as client:
        request.expected_count = count or _confirmed(cli, client, request)
        answer = client.call(request)
        follow_job(cli, client, answer.job.name)
        cli.output.event(*_read(client, answer.purge.name))


@command(app, "list")
def list_(
    cli: Cli,
    vault: Annotated[str, typer.Option("--vault", "-v", metavar="NAME", help="Vault.")] = names.MAIN_VAULT,
    page_size: PageSizeOption = 50,
    page_token: PageTokenOption = "",
) -> None:
    """List the purges of a vault, the newest first."""
    from memos_api.v1 import purge_service_pb2 as pb
    from memosctl.documents import document
    from memosctl.views import purges

    request = pb.ListPurgesRequest(vault=names.vault(vault), page_size=page_size, page_token=page_token)
    with cli.client() as client:
        response = client.call(request)
    cli.output.answer(document(response), lambda: purges.overview(response.purges, response.next_page_token))


@command(app, "get")
def get(cli: Cli, purge: PurgeArgument) -> None:
    """Show a purge, and its receipt once it is done; with `--json` the receipt itself."""
    with cli.client() as client:
        cli.output.answer(*_read(client, names.purge(purge)))


@command(app, "lift")
def lift(cli: Cli, purge: PurgeArgument, request_id: RequestIdOption = "") -> None:
    """Let what a purge erased be stored again when it is told again."""
    from memos_api.v1 import purge_service_pb2 as pb
    from memosctl.documents import document
    from memosctl.views import purges

    with cli.client() as client:
        response = client.call(pb.LiftPurgeRequest(name=names.purge(purge), request_id=request_id))
    cli.output.answer(document(response), lambda: purges.overview([response.purge], ""))


@command(app, "verify", remote=False)
def verify(
    cli: Cli,
    file: Annotated[Path, typer.Argument(help="What `memosctl purge get --json` printed; `-` is standard input.")],
    key: Annotated[str, typer.Option("--key", help="Id that the key of the installation has to have.")] = "",
) -> None:
    """Check the signature of a receipt, without a server."""
    from google.protobuf.json_format import Parse, ParseError

    from memos_api.v1.purge_service_pb2 import Purge
    from memosctl import receipts
    from memosctl.views import purges

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
        purge = Parse(text, Purge(), ignore_unknown_fields=True)
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}.") from None
    except (ParseError, UnicodeDecodeError):
        raise Failure(
            f"{file} does not hold a purge.", hint="Save the output of `memosctl purge get --json`."
        ) from None
    said, found = receipts.verified(purge.receipt), receipts.key_id(purge.receipt)
    if key and key != found:
        raise Failure(f"The receipt is signed by key {found}, not by {key}.")
    if not key:
        cli.output.note(f"Anybody can make a key: compare {found} with what the installation shows, or give --key.")
    cli.output.answer({"key": found, "statement": said}, lambda: purges.receipt(said, found))


def _confirmed(cli: Cli, client: "Client", request: "PurgeMemoriesRequest") -> int:
    """Show what would be erased, and return the count that the person typed."""
    from memos_api.v1 import purge_service_pb2 as pb
    from memosctl.views import purges

    asked = pb.PurgeMemoriesRequest()
    asked.CopyFrom(request)
    asked.validate_only, asked.request_id = True, ""
    counted = client.call(asked)
    if not counted.count:
        raise Failure("No memory fits, so there is nothing to erase.")
    if cli.output.json or not sys.stdin.isatty():
        raise usage(
            f"This erases memories for good: {counted.count} of them.",
            f"If that is right, repeat it with --count {counted.count}.",
        )
    cli.output.console(stderr=True).print(purges.counted(counted))
    typed = typer.prompt("Type the number to erase them, anything else to leave", err=True)
    if typed.strip() != str(counted.count):
        raise Failure("Nothing was erased.")
    return int(counted.count)


def _read(client: "Client", name: str) -> "tuple[object, Callable[[], RenderableType]]":
    """Return a purge as programs and as people read it."""
    from memos_api.v1 import purge_service_pb2 as pb
    from memosctl import receipts
    from memosctl.documents import document
    from memosctl.views import purges

    purge: Purge = client.call(pb.GetPurgeRequest(name=name)).purge
    if not purge.HasField("receipt"):
        return document(purge), lambda: purges.overview([purge], "")
    said, key = receipts.verified(purge.receipt), receipts.key_id(purge.receipt)
    return document(purge), lambda: purges.receipt(said, key)
