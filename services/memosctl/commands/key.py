"""`memosctl key`: API keys."""

import asyncio
from typing import Annotated

import typer

from memosctl import names
from memosctl.command import Cli, command
from memosctl.failures import Failure
from memosctl.options import ConfigOption, PageSizeOption, PageTokenOption, RequestIdOption

app = typer.Typer(name="key", help="Make, list and revoke API keys (for admins).", no_args_is_help=True)


@command(app, "create")
def create(
    cli: Cli,
    principal: Annotated[str, typer.Argument(help="Principal that the key speaks for; made if it is new.")],
    title: Annotated[str, typer.Option("--title", help="Title for people.")] = "",
    admin: Annotated[bool, typer.Option("--admin", help="Make the principal an admin of the tenant.")] = False,
    request_id: RequestIdOption = "",
) -> None:
    """Make a key. Its secret is shown once."""
    from memos_api.v1.governance_service_pb2 import CreateApiKeyRequest
    from memosctl.documents import document
    from memosctl.views import governance

    request = CreateApiKeyRequest(
        principal=names.principal(principal), display_name=title, admin=admin, request_id=request_id
    )
    with cli.client() as client:
        response = client.call(request)
    cli.output.answer(document(response), lambda: governance.made_key(response))


@command(app, "list")
def list_(cli: Cli, page_size: PageSizeOption = 50, page_token: PageTokenOption = "") -> None:
    """List the keys, without their secrets."""
    from memos_api.v1.governance_service_pb2 import ListApiKeysRequest
    from memosctl.documents import document
    from memosctl.views import governance

    with cli.client() as client:
        response = client.call(ListApiKeysRequest(page_size=page_size, page_token=page_token))
    cli.output.answer(document(response), lambda: governance.keys(response.keys))


@command(app, "revoke")
def revoke(cli: Cli, key: Annotated[str, typer.Argument(help="Name or id of the key.")]) -> None:
    """End a key; it stops working within 60 seconds."""
    from memos_api.v1.governance_service_pb2 import RevokeApiKeyRequest
    from memosctl.documents import document
    from memosctl.views import governance

    with cli.client() as client:
        response = client.call(RevokeApiKeyRequest(name=names.key(key)))
    cli.output.answer(document(response), lambda: governance.keys([response.key]))


@command(app, "recover", remote=False)
def recover(cli: Cli, config: ConfigOption = None) -> None:
    """Make a new key file for the local admin, on the machine of governance.

    Whoever can write its database needs no key to be trusted. Older keys go on working until they are revoked.
    """
    from rich.text import Text

    from memos_governance.local import recover_local_key
    from memos_kernel.ids import SystemClock
    from memos_wire.methods import GOVERNANCE
    from memosctl.settings import load_settings
    from memosctl.state import write_private

    settings = load_settings(file=config, state_dir=cli.state_option)
    state = settings.state()
    try:
        secret = asyncio.run(recover_local_key(settings.governance, state.of(GOVERNANCE), SystemClock()))
    except LookupError:
        raise Failure(
            f"There is no local tenant in {state.root}.", "memosctl up makes it with its key.", reason="NO_TENANT"
        ) from None
    write_private(state.admin_key_file, secret.encode() + b"\n")
    cli.output.answer({"key_file": str(state.admin_key_file)}, lambda: Text(f"new key in {state.admin_key_file}"))
