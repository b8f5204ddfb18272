"""`memosctl vault`: namespaces of memory and who may use them."""

from typing import Annotated

import typer

from memosctl import names
from memosctl.command import Cli, command
from memosctl.inputs import Role
from memosctl.options import PageSizeOption, PageTokenOption, RequestIdOption

app = typer.Typer(name="vault", help="Make vaults and share them.", no_args_is_help=True)

VaultArgument = Annotated[str, typer.Argument(help="Name of the vault.")]
PrincipalArgument = Annotated[str, typer.Argument(help="Principal, such as `alice`.")]


@command(app, "create")
def create(
    cli: Cli,
    vault: VaultArgument,
    title: Annotated[str, typer.Option("--title", help="Title for people.")] = "",
    request_id: RequestIdOption = "",
) -> None:
    """Make a vault; you become its owner."""
    from memos_api.v1.governance_service_pb2 import CreateVaultRequest
    from memos_api.v1.vault_pb2 import Vault
    from memosctl.documents import document
    from memosctl.views import governance

    made = Vault(name=names.vault(vault), display_name=title)
    with cli.client() as client:
        response = client.call(CreateVaultRequest(vault=made, request_id=request_id))
    cli.output.answer(document(response), lambda: governance.vaults([response.vault]))


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
