"""`memosctl vault`: namespaces of memory and who may use them."""

from typing import TYPE_CHECKING, Annotated

import typer

from memosctl import names
from memosctl.command import Cli, command
from memosctl.failures import usage as misused
from memosctl.inputs import LARGEST, Everybody, Purpose, Role
from memosctl.options import PageSizeOption, PageTokenOption, RequestIdOption

if TYPE_CHECKING:
    from memos_api.v1.vault_pb2 import VaultPolicy

app = typer.Typer(name="vault", help="Make vaults and share them.", no_args_is_help=True)

VaultArgument = Annotated[str, typer.Argument(help="Name of the vault.")]
PrincipalArgument = Annotated[str, typer.Argument(help="Principal, such as `alice`.")]
EverybodyOption = Annotated[
    Everybody | None, typer.Option("--everybody", help="Role of every principal of the tenant.", show_default=False)
]
MaxCubesOption = Annotated[
    int | None,
    typer.Option("--max-cubes", min=0, max=LARGEST, help="Most memories; 0 is no limit.", show_default=False),
]
MaxBytesOption = Annotated[
    str | None, typer.Option("--max-bytes", metavar="SIZE", help="Most bytes, such as 2GiB; or none.")
]
ColdAfterOption = Annotated[
    str | None,
    typer.Option("--cold-after", metavar="AGE", help="Archive what nobody changed or used for so long; or never."),
]
DeleteAfterOption = Annotated[
    str | None, typer.Option("--delete-after", metavar="AGE", help="Delete memories of this age; or never.")
]


@command(app, "create")
def create(
    cli: Cli,
    vault: VaultArgument,
    title: Annotated[str, typer.Option("--title", help="Title for people.")] = "",
    purpose: Annotated[Purpose, typer.Option("--type", help="What it is for.")] = Purpose.USER_PRIVATE,
    everybody: EverybodyOption = None,
    max_cubes: MaxCubesOption = None,
    max_bytes: MaxBytesOption = None,
    cold_after: ColdAfterOption = None,
    delete_after: DeleteAfterOption = None,
    request_id: RequestIdOption = "",
) -> None:
    """Make a vault; you become its owner. Rules that you leave out are those of its type."""
    from memos_api.v1.governance_service_pb2 import CreateVaultRequest
    from memos_api.v1.vault_pb2 import Vault, VaultType
    from memosctl.documents import document
    from memosctl.views import governance

    made = Vault(
        name=names.vault(vault),
        display_name=title,
        type=VaultType.Value(f"VAULT_TYPE_{purpose.name}"),
        policy=_policy(everybody, max_cubes, max_bytes, cold_after, delete_after),
    )
    with cli.client() as client:
        response = client.call(CreateVaultRequest(vault=made, request_id=request_id))
    cli.output.answer(document(response), lambda: governance.vaults([response.vault]))


@command(app, "update")
def update(
    cli: Cli,
    vault: VaultArgument,
    title: Annotated[str | None, typer.Option("--title", help="Title for people.", show_default=False)] = None,
    everybody: EverybodyOption = None,
    max_cubes: MaxCubesOption = None,
    max_bytes: MaxBytesOption = None,
    cold_after: ColdAfterOption = None,
    delete_after: DeleteAfterOption = None,
    request_id: RequestIdOption = "",
) -> None:
    """Change the title or rules of a vault; what you leave out stays. What is over a lowered limit stays, too."""
    from google.protobuf.field_mask_pb2 import FieldMask

    from memos_api.v1.governance_service_pb2 import UpdateVaultRequest
    from memos_api.v1.vault_pb2 import Vault
    from memosctl.documents import document
    from memosctl.views import governance

    policy = _policy(everybody, max_cubes, max_bytes, cold_after, delete_after)
    paths = [f"policy.{rule.name}" for rule, _ in policy.ListFields()]
    paths += ["display_name"] if title is not None else []
    if not paths:
        raise misused("There is nothing to change.", "Give --title or a rule; see `memosctl vault update --help`.")
    changed = Vault(name=names.vault(vault), display_name=title or "", policy=policy)
    request = UpdateVaultRequest(vault=changed, update_mask=FieldMask(paths=paths), request_id=request_id)
    with cli.client() as client:
        response = client.call(request)
    cli.output.answer(document(response), lambda: governance.vaults([response.vault]))


@command(app, "usage")
def usage(cli: Cli, vault: VaultArgument) -> None:
    """Show how much a vault holds, and may hold."""
    from memos_api.v1.governance_service_pb2 import GetVaultRequest, GetVaultUsageRequest
    from memosctl.documents import document
    from memosctl.views import governance

    with cli.client() as client:
        found = client.call(GetVaultRequest(name=names.vault(vault)))
        response = client.call(GetVaultUsageRequest(name=names.vault(vault)))
    cli.output.answer(document(response), lambda: governance.usage(found.vault, response.usage))


@command(app, "list")
def list_(cli: Cli, page_size: PageSizeOption = 50, page_token: PageTokenOption = "") -> None:
    """List the vaults in which you have a role."""
    from memos_api.v1.governance_service_pb2 import ListVaultsRequest
    from memosctl.documents import document
    from memosctl.views import governance

    with cli.client() as client:
        response = client.call(ListVaultsRequest(page_size=page_size, page_token=page_token))
    cli.output.answer(document(response), lambda: governance.vaults(response.vaults))


@command(app, "get")
def get(cli: Cli, vault: VaultArgument) -> None:
    """Show one vault."""
    from memos_api.v1.governance_service_pb2 import GetVaultRequest
    from memosctl.documents import document
    from memosctl.views import governance

    with cli.client() as client:
        response = client.call(GetVaultRequest(name=names.vault(vault)))
    cli.output.answer(document(response), lambda: governance.vaults([response.vault]))


@command(app, "permissions")
def permissions(
    cli: Cli, vault: VaultArgument, page_size: PageSizeOption = 50, page_token: PageTokenOption = ""
) -> None:
    """List who has which role in a vault."""
    from memos_api.v1.governance_service_pb2 import ListVaultPermissionsRequest
    from memosctl.documents import document
    from memosctl.views import governance

    request = ListVaultPermissionsRequest(vault=names.vault(vault), page_size=page_size, page_token=page_token)
    with cli.client() as client:
        response = client.call(request)
    cli.output.answer(document(response), lambda: governance.permissions(response.permissions))


@command(app, "grant")
def grant(
    cli: Cli, vault: VaultArgument, principal: PrincipalArgument, role: Annotated[Role, typer.Argument(help="Role.")]
) -> None:
    """Give a principal a role in a vault."""
    _set_role(cli, vault, principal, f"VAULT_ROLE_{role.name}")


@command(app, "revoke")
def revoke(cli: Cli, vault: VaultArgument, principal: PrincipalArgument) -> None:
    """Take a principal's role in a vault."""
    _set_role(cli, vault, principal, "VAULT_ROLE_UNSPECIFIED")


def _policy(
    everybody: Everybody | None,
    max_cubes: int | None,
    max_bytes: str | None,
    cold_after: str | None,
    delete_after: str | None,
) -> "VaultPolicy":
    """Return the rules that are given."""
    from memos_api.v1.vault_pb2 import VaultPolicy, VaultRole
    from memosctl import inputs

    policy = VaultPolicy(max_cubes=max_cubes)
    if everybody is not None:
        role = "UNSPECIFIED" if everybody is Everybody.NONE else everybody.name
        policy.member_role = VaultRole.Value(f"VAULT_ROLE_{role}")
    if max_bytes is not None:
        policy.max_bytes = inputs.size(max_bytes, option="--max-bytes")
    if cold_after is not None:
        policy.cold_after.FromTimedelta(inputs.age(cold_after, option="--cold-after"))
    if delete_after is not None:
        policy.delete_after.FromTimedelta(inputs.age(delete_after, option="--delete-after"))
    return policy


def _set_role(cli: Cli, vault: str, principal: str, role: str) -> None:
    from memos_api.v1.governance_service_pb2 import SetVaultPermissionRequest
    from memos_api.v1.vault_pb2 import VaultPermission, VaultRole
    from memosctl.documents import document
    from memosctl.views import governance

    permission = VaultPermission(
        vault=names.vault(vault), principal=names.principal(principal), role=VaultRole.Value(role)
    )
    with cli.client() as client:
        response = client.call(SetVaultPermissionRequest(permission=permission))
    cli.output.answer(document(response), lambda: governance.permissions([response.permission]))
