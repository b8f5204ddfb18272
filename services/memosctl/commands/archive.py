"""`memosctl archive`: move vaults between installations."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memosctl import inputs, names
from memosctl.command import Cli, command
from memosctl.failures import Failure
from memosctl.options import (
    AfterOption,
    BeforeOption,
    LabelOption,
    SessionOption,
    SortOption,
    SpeakerOption,
    StatusOption,
    ValidOption,
)
from memosctl.waiting import Patience

if TYPE_CHECKING:
    from memos_client import Client

app = typer.Typer(name="archive", help="Move vaults between installations.", no_args_is_help=True)

DirectoryArgument = Annotated[
    Path, typer.Argument(metavar="DIRECTORY", help="The archive.", exists=True, file_okay=False)
]


class Redact(StrEnum):
    """What is looked for in texts."""

    EMAIL = "email"
    PHONE = "phone"
    CARD = "card"
    IBAN = "iban"
    IP = "ip"


@command(app, "export")
def export(
    cli: Cli,
    vault: Annotated[str, typer.Argument(help="Vault to export.")],
    directory: Annotated[
        Path, typer.Argument(help="Directory to write; that of an export which broke off goes on.", file_okay=False)
    ],
    label: LabelOption = None,
    sort: SortOption = None,
    state: StatusOption = None,
    speaker: SpeakerOption = None,
    session: SessionOption = None,
    after: AfterOption = None,
    before: BeforeOption = None,
    valid_at: ValidOption = None,
    revisions: Annotated[bool, typer.Option(help="With what the memories were before.")] = True,
    vectors: Annotated[bool, typer.Option(help="With the vectors of the texts.")] = True,
    blobs: Annotated[bool, typer.Option(help="With KV caches and adapters.")] = True,
    deleted: Annotated[bool, typer.Option("--deleted", help="With deleted texts, which can be undeleted.")] = False,
    without_tag: Annotated[
        list[str] | None, typer.Option("--without-tag", help="Sensitivity tag of what stays; repeatable.")
    ] = None,
    redact: Annotated[
        list[Redact] | None, typer.Option("--redact", help="What is replaced by its kind in all texts; repeatable.")
    ] = None,
) -> None:
    """Write a vault, or what fulfils all conditions, as a signed archive that others can import."""
    from rich.text import Text

    from memos_client import ArchiveOptions
    from memosctl.archives import summary

    wanted = inputs.cube_filter(
        label=label,
        sort=sort,
        state=state,
        speaker=speaker,
        session=session,
        after=after,
        before=before,
        valid_at=valid_at,
    )
    options = ArchiveOptions(
        filter=wanted if wanted.ByteSize() else None,
        revisions=revisions,
        vectors=vectors,
        blobs=blobs,
        deleted=deleted,
        excluded_tags=without_tag or (),
        redactions=[kind.name for kind in redact or ()],
    )
    try:
        with cli.client() as client, cli.output.counting("exporting") as count:
            for part in client.export_vault(names.vault(vault), directory, options=options):
                count(part.cubes)
    except FileExistsError as error:
        raise Failure(f"{error}.", "Choose another directory.", reason="DIRECTORY_IN_USE") from error
    said = summary(directory)
    cli.output.answer(
        said,
        lambda: Text(
            f"{directory}: {said['cubes']} memories in {said['revisions']} revisions, {said['blobs']} with bytes\n"
            f"signed by the installation {said['key']}"
        ),
    )


@command(app, "check")
def check(cli: Cli, directory: DirectoryArgument) -> None:
    """Compare every file of an archive with its hash, and the manifest with its signature; needs no server.

    Anybody can sign: compare the installation that is named with the one that you got it from.
    """
    from rich.text import Text

    from memosctl.archives import checked, size_of

    with cli.output.progress("checking", size_of(directory)) as advance:
        said = checked(directory, advance)
    cli.output.answer(
        said,
        lambda: Text(
            f"{directory}: {said['vault']} as of {said['asOf']}\n"
            f"{said['cubes']} memories in {said['revisions']} revisions, {said['blobs']} with bytes\n"
            f"signed by the installation {said['key']}; every file is as it was then"
        ),
    )


@command(app, "import")
def import_(
    cli: Cli,
    directory: DirectoryArgument,
    vault: Annotated[
        str, typer.Option("--vault", "-v", metavar="NAME", help="Vault to import into; by default its name there.")
    ] = "",
    create: Annotated[bool, typer.Option("--create", help="Make the vault if it is not there.")] = False,
    trust: Annotated[
        str, typer.Option("--trust", metavar="KEY", help="Installation whose archives you trust, as `export` names it.")
    ] = "",
    permissions: Annotated[
        bool,
        typer.Option("--permissions", help="Give the principals their roles; the same id is the same person."),
    ] = False,
    from_part: Annotated[int, typer.Option("--from-part", min=0, help="Go on with this part.")] = 0,
) -> None:
    """Take an archive into a vault: memories with all revisions, bytes and lineage.

    Nothing is stored twice; an archive that was made later brings what is newer. If the system goes away, it is waited
    for. Memories keep their identity and the times of their record: one is in a single vault of an installation, so a
    vault cannot be copied within one, and a snapshot from before does not take an import back.
    """
    from memos_client import Overloaded, Unavailable
    from memosctl.archives import Taken, checked, size_of
    from memosctl.views import archives

    with cli.output.progress("checking", size_of(directory)) as advance:
        said = checked(directory, advance)
    target = names.vault(vault or str(said["vault"]).rpartition("/")[2])
    report, patience = Taken(vault=target, next=from_part), Patience()
    with cli.client() as client, cli.output.progress("importing", int(str(said["cubes"]))) as advance:
        if create:
            _create(client, target)
        while True:
            try:
                for part in client.import_vault(
                    directory,
                    target,
                    trusted_key=trust,
                    permissions=permissions,
                    first_part=report.next,
                    compare=False,
                ):
                    advance(report.note(part))
                    patience.renew()
                break
            except (Unavailable, Overloaded) as error:
                patience.wait(error, begun=report.begun)
    cli.output.answer(report.document(), lambda: archives.taken(report))
    if report.failures:
        raise Failure(
            f"{len(report.failures)} memories were not imported.",
            "What is stored is not stored twice: mend what is told above and import again.",
            reason="CUBES_REFUSED",
        )


def _create(client: "Client", vault: str) -> None:
    from memos_api.v1.governance_service_pb2 import CreateVaultRequest
    from memos_api.v1.vault_pb2 import Vault
    from memos_client import AlreadyExists

    try:
        client.call(CreateVaultRequest(vault=Vault(name=vault)))
    except AlreadyExists:
        return
