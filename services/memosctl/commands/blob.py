"""`memosctl blob`: KV caches and LoRA adapters as memories."""

import json
from pathlib import Path
from typing import Annotated

import typer

from memosctl import inputs, names
from memosctl.command import Cli, command
from memosctl.failures import Failure, usage
from memosctl.options import LabelOption, TargetVaultOption

app = typer.Typer(
    name="blob", help="Store KV caches and LoRA adapters as memories, and get them back.", no_args_is_help=True
)


@command(app, "put")
def put(
    cli: Cli,
    file: Annotated[Path, typer.Argument(help="Safetensors file.", exists=True, dir_okay=False, readable=True)],
    identity: Annotated[
        Path,
        typer.Option("--identity", metavar="FILE", help="JSON object: the model that it fits.", exists=True),
    ],
    rank: Annotated[int, typer.Option("--rank", min=0, help="It is a LoRA adapter of this rank.")] = 0,
    tokens: Annotated[int, typer.Option("--tokens", min=0, help="It is a KV cache of so many tokens.")] = 0,
    vault: TargetVaultOption = names.MAIN_VAULT,
    name: Annotated[str, typer.Option("--name", help="Name of the cube; one is made if it is left out.")] = "",
    label: LabelOption = None,
) -> None:
    """Store a file as the payload of a new memory."""
    from memos_api.v1 import memcube_pb2
    from memos_api.v1.memory_service_pb2 import CreateMemoryRequest
    from memosctl.documents import document
    from memosctl.views import cubes

    if bool(rank) == bool(tokens):
        raise usage("Say what it is.", "Give --rank for a LoRA adapter, or --tokens for a KV cache.")
    fits = memcube_pb2.CompatibilityIdentity(**_identity(identity))
    cube = memcube_pb2.MemCube(name=names.cube(name), vault=names.vault(vault), labels=inputs.labels(label))
    with cli.client() as client:
        with cli.output.progress("uploading", file.stat().st_size) as advance:
            blob = client.upload_blob(cube.vault, file, progress=advance)
        if rank:
            cube.parametric.CopyFrom(memcube_pb2.ParametricPayload(blob=blob, identity=fits, rank=rank))
        else:
            cube.activation.CopyFrom(memcube_pb2.ActivationPayload(blob=blob, identity=fits, token_count=tokens))
        response = client.call(CreateMemoryRequest(cube=cube))
    cli.output.answer(document(response), lambda: cubes.card(response.cube))


@command(app, "get")
def get(
    cli: Cli,
    cube: Annotated[str, typer.Argument(help="Name or id of the cube.")],
    file: Annotated[Path, typer.Argument(help="File to write.", dir_okay=False)],
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write the payload of a memory to a file, once its size and hash are right."""
    from rich.text import Text

    if file.exists() and not force:
        raise usage(f"{file} is there already.", "Choose another name, or give --force.")
    with cli.client() as client:
        found = client.get(names.cube(cube)).message
        blob = found.parametric.blob if found.HasField("parametric") else found.activation.blob
        with cli.output.progress("downloading", blob.size_bytes) as advance:
            size = client.save_blob(found.name, file, progress=advance)
    answer = {"cube": found.name, "file": str(file), "sizeBytes": size, "sha256": blob.sha256}
    cli.output.answer(answer, lambda: Text(f"{file}: {size} bytes, SHA-256 {blob.sha256}"))


def _identity(file: Path) -> dict[str, str]:
    from memos_api.v1.memcube_pb2 import CompatibilityIdentity

    known = [field.name for field in CompatibilityIdentity.DESCRIPTOR.fields]
    try:
        read = json.loads(file.read_text())
    except ValueError as error:
        raise Failure(f"{file} is no JSON: {error}.", f"Write an object with {', '.join(known)}.") from error
    if not isinstance(read, dict) or not all(isinstance(value, str) for value in read.values()):
        raise Failure(f"{file} is no object of texts.", f"Write an object with {', '.join(known)}.")
    if strange := sorted(set(read) - set(known)):
        raise Failure(
            f"{file} has fields that no identity has: {', '.join(strange)}.", f"Known are {', '.join(known)}."
        )
    return read
