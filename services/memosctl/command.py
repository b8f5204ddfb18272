"""What every command shares: `--json`, where the state and the server are, and how failures are told.

A command is a function whose first parameter is a `Cli`; `command` puts the shared options in its place.
"""

import functools
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memos_kernel.errors import MemosError as KernelError
from memosctl.failures import Failure, usage
from memosctl.output import Output
from memosctl.state import StateDir
from memosctl.transcripts import is_unicode

if TYPE_CHECKING:
    from memos_client import Client

JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON to stdout and nothing else.")]
StateOption = Annotated[
    Path | None,
    typer.Option("--state-dir", metavar="DIR", help="State directory (MEMOS_STATE_DIR).", show_default=False),
]
AddressOption = Annotated[
    str | None,
    typer.Option("--address", metavar="HOST:PORT", help="Server to talk to (MEMOS_ADDRESS).", show_default=False),
]
KeyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--api-key-file", metavar="FILE", help="File with the API key (or MEMOS_API_KEY).", show_default=False
    ),
]
CaFileOption = Annotated[
    Path | None,
    typer.Option("--ca-file", metavar="FILE", help="CA of a server with TLS (MEMOS_CA_FILE).", show_default=False),
]

_LOCAL = {"as_json": (JsonOption, False), "state_dir": (StateOption, None)}
_REMOTE = {
    **_LOCAL,
    "address": (AddressOption, None),
    "api_key_file": (KeyFileOption, None),
    "ca_file": (CaFileOption, None),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cli:
    """What a command works with: where it writes, and the shared options as they were given."""

    output: Output
    state_option: Path | None = None
    address: str | None = None
    api_key_file: Path | None = None
    ca_file: Path | None = None

    @property
    def state(self) -> StateDir:
        """Return the state directory that the option or the environment names."""
        return StateDir.locate(self.state_option)

    def client(self) -> "Client":
        """Return a client of the server that the options, the environment or the state directory name."""
        from memosctl.connect import connect

        return connect(self)


Body = Callable[..., None]


def command(app: typer.Typer, name: str, *, remote: bool = True) -> Callable[[Body], Body]:
    """Add a function to the command line; `remote` adds the options that find a server."""

    def register(body: Body) -> Body:
        app.command(name)(_with_shared_options(body, _REMOTE if remote else _LOCAL))
        return body

    return register


def _with_shared_options(body: Body, shared: dict[str, tuple[Any, Any]]) -> Body:
    @functools.wraps(body)
    def run(**arguments: Any) -> None:
        given = {name: arguments.pop(name) for name in shared}
        output = Output(json=given.pop("as_json"))
        cli = Cli(output=output, state_option=given.pop("state_dir"), **given)
        code = run_body(body, cli, arguments)
        if code:
            raise typer.Exit(code)

    own = list(inspect.signature(body).parameters.values())[1:]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in shared.items()
    ]
    keyword_only = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    run.__signature__ = inspect.Signature(keyword_only + added)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *added)}
    return run


def run_body(body: Body, cli: Cli, arguments: dict[str, Any]) -> int:
    """Run a command and return its exit code; a failure is told in two lines, never as a traceback."""
    try:
        _require_unicode(arguments)
        body(cli, **arguments)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has left; so does the rest
        return 0
    except typer.Exit:
        raise
    except Exception as error:
        failure = explain(error, cli)
        cli.output.failure(failure)
        return failure.exit_code
    return 0


def _require_unicode(arguments: dict[str, Any]) -> None:
    """Refuse words of the command line that are no text; paths may be any bytes.

    Raises:
        Failure: one is.
    """
    for name, value in arguments.items():
        words = value if isinstance(value, list) else [value]
        if not all(is_unicode(word) for word in words if isinstance(word, str)):
            raise usage(f"{name.upper()} holds bytes that are no UTF-8.", "Write it in UTF-8; see the locale, LC_ALL.")


def explain(error: Exception, cli: Cli) -> Failure:
    """Return any error as a failure with its reason and what to do."""
    if isinstance(error, Failure):
        return error
    if os.environ.get("MEMOS_DEBUG"):
        raise error
    if "memos_client" in sys.modules:
        from memosctl.connect import explain_call

        if (failure := explain_call(error, cli)) is not None:
            return failure
    if isinstance(error, KernelError):
        return Failure(error.message, reason=error.reason, metadata=error.metadata, exit_code=2)
    if isinstance(error, OSError):
        return Failure(f"{error.filename or 'The system'}: {error.strerror or error}.", reason="OS_ERROR")
    return Failure(
        f"Unexpected {type(error).__name__}: {error}".rstrip(),
        "Set MEMOS_DEBUG=1 to see where it comes from.",
        reason="UNEXPECTED",
    )
