"""`memosctl audit`: who did what."""

from typing import Annotated

import typer

from memosctl import inputs, names
from memosctl.command import Cli, command
from memosctl.options import PageSizeOption, PageTokenOption

app = typer.Typer(name="audit", help="Query the audit log (for admins).", no_args_is_help=True)


@command(app, "query")
def query(
    cli: Cli,
    principal: Annotated[str, typer.Option("--principal", help="Only what this principal did.")] = "",
    action: Annotated[str, typer.Option("--action", help="Only this action, such as cube.read.")] = "",
    resource: Annotated[str, typer.Option("--resource", help="Only what was done to this resource.")] = "",
    after: Annotated[str | None, typer.Option("--after", metavar="TIME", help="At this time or later.")] = None,
    before: Annotated[str | None, typer.Option("--before", metavar="TIME", help="Before this time.")] = None,
    page_size: PageSizeOption = 50,
    page_token: PageTokenOption = "",
) -> None:
    """Show audit events, newest first. They hold no content of memories."""
    from memos_api.v1.governance_service_pb2 import QueryAuditRequest
    from memosctl.documents import document
    from memosctl.views import governance

    request = QueryAuditRequest(
        principal=names.principal(principal),
        action=action,
        resource=resource,
        page_size=page_size,
        page_token=page_token,
    )
    if after:
        request.after.FromDatetime(inputs.moment(after, option="--after", past=True))
    if before:
        request.before.FromDatetime(inputs.moment(before, option="--before", past=True))
    with cli.client() as client:
        response = client.call(request)
    cli.output.answer(document(response), lambda: governance.audit(response.events))
