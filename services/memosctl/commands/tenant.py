"""`memosctl tenant`: tenants, made by whoever owns the machine of governance."""

import asyncio
from typing import Annotated

import typer

from memosctl.command import Cli, command
from memosctl.failures import Failure
from memosctl.options import ConfigOption

app = typer.Typer(name="tenant", help="Make tenants, on the machine of governance.", no_args_is_help=True)


@command(app, "create", remote=False)
def create(
    cli: Cli, tenant: Annotated[str, typer.Argument(help="Id of the tenant.")], config: ConfigOption = None
) -> None:
    """Make a tenant with the admin `admin` and the vault `main`. The admin's key is shown once.

    It works on governance's database, so it needs no key and no running server.
    """
    from rich.console import Group
    from rich.text import Text

    from memos_governance.local import LOCAL_ADMIN, LOCAL_VAULT, create_tenant
    from memos_kernel.ids import SystemClock
    from memos_kernel.names import TenantName
    from memos_wire.methods import GOVERNANCE
    from memosctl.settings import load_settings

    settings = load_settings(file=config, state_dir=cli.state_option)
    name = TenantName.parse(f"tenants/{tenant.removeprefix('tenants/')}")
    directory = settings.state().of(GOVERNANCE)
    secret = asyncio.run(create_tenant(settings.governance, directory, SystemClock(), name))
    if secret is None:
        raise Failure(f"{name} exists already.", "Choose another id.", reason="RESOURCE_EXISTS")
    document = {
        "tenant": str(name),
        "admin": f"{name}/principals/{LOCAL_ADMIN}",
        "vault": f"{name}/vaults/{LOCAL_VAULT}",
        "secret": secret,
    }
    cli.output.answer(
        document,
        lambda: Group(
            Text.assemble(("secret  ", "dim"), (secret, "bold")),
            Text(f"Keep the secret of {document['admin']} now; it is shown once only.", style="yellow"),
        ),
    )
