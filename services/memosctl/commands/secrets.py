"""`memosctl secrets`."""

import json
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from memosctl.command import Cli, command
from memosctl.options import ConfigOption

app = typer.Typer()


@command(app, "secrets", remote=False)
def secrets(
    cli: Cli,
    namespace: Annotated[str, typer.Option("--namespace", help="Kubernetes namespace of the services.")] = "memos",
    dev_stores: Annotated[
        bool, typer.Option("--dev-stores", help="Make passwords for PostgreSQL and S3 in the cluster, too.")
    ] = False,
    cert_manager: Annotated[
        bool, typer.Option("--cert-manager", help="Leave out certificates: cert-manager issues them.")
    ] = False,
    host: Annotated[
        list[str] | None, typer.Option("--host", help="Further name or address of the interface; repeatable.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Print the secrets of an installation on Kubernetes, for `kubectl create -f -`.

    What the configuration gives is taken, the rest is made at random. Run once: `create` refuses to replace what is
    there, and with other keys the blobs of before could not be read.
    """
    from memos_wire.methods import SERVICES
    from memosctl.cluster_secrets import ClusterSecrets
    from memosctl.settings import load_settings

    made = ClusterSecrets(
        settings=load_settings(file=config, state_dir=cli.state_option),
        namespace=namespace,
        services=() if cert_manager else SERVICES,
        dev_stores=dev_stores,
        hosts=host or (),
    )
    items = made.manifests(datetime.now(UTC))
    if sys.stdout.isatty():
        cli.output.note("These are secrets. Pipe them: memosctl secrets ... | kubectl create -f -")
    sys.stdout.write(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=2) + "\n")
