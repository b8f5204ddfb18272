"""`memosctl certs`."""

from pathlib import Path
from typing import Annotated

import typer

from memosctl.command import Cli, command

app = typer.Typer()


@command(app, "certs", remote=False)
def certs(
    cli: Cli,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to write them.")],
    namespace: Annotated[str, typer.Option("--namespace", help="Kubernetes namespace of the services.")] = "memos",
    host: Annotated[list[str] | None, typer.Option("--host", help="Further name or address; repeatable.")] = None,
    client: Annotated[bool, typer.Option("--client", help="Make one for a client, too.")] = False,
) -> None:
    """Make a development CA and a certificate for each service, with its SPIFFE identity.

    Run again, it renews the certificates under the same CA.
    """
    from rich.text import Text

    from memos_wire.methods import SERVICES
    from memosctl.certificates import LIFETIME, write_certificates

    wanted = (*SERVICES, "client") if client else SERVICES
    there = [name for name in wanted if (out / f"{name}.crt").exists()]
    written = write_certificates(out, wanted, namespace=namespace, extra_hosts=host or ())
    document = {
        "directory": str(out),
        "files": [path.name for path in written],
        "renewed": there,
        "days": LIFETIME.days,
    }
    line = f"{len(written)} files in {out}, good for {LIFETIME.days} days; keep ca.key to yourself"
    if there:
        authority = "a new" if out / "ca.crt" in written else "the same"
        line += f"\nrenewed, in place of those that were there, under {authority} CA: {', '.join(there)}"
    cli.output.answer(document, lambda: Text(line))
