"""Generate the Python code of the contract into clients/python, or check that it is fresh.

python protos/generate.py           write
python protos/generate.py --check   exit 1 and list the files that differ
"""

import filecmp
import shutil
import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "clients" / "python"
PACKAGE = "memos_api"


def generate(target: Path) -> None:
    """Write the generated code of every file of the contract below `target`."""
    files = sorted(str(path.relative_to(HERE)) for path in (HERE / PACKAGE).rglob("*.proto"))
    scripts = Path(sys.executable).parent
    arguments = [
        "protoc",
        f"-I{HERE}",
        f"-I{HERE / 'third_party'}",
        f"-I{Path(grpc_tools.__file__).parent / '_proto'}",
        f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
        f"--python_out={target}",
        f"--grpc_python_out={target}",
        f"--mypy_out=quiet:{target}",
        f"--mypy_grpc_out=quiet,only_async:{target}",
        *files,
    ]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed; see above")
    for path in (target / PACKAGE).rglob("*_pb2_grpc.py"):
        # A file without a service has nothing to offer but imports.
        if "Stub" not in path.read_text():
            path.unlink()
            path.with_suffix(".pyi").unlink()


def stale(fresh: Path) -> list[str]:
    """Return the generated files that differ from the committed ones, or are missing on one side."""
    names = {
        path.relative_to(root)
        for root in (fresh, TARGET)
        for path in (root / PACKAGE).rglob("*_pb2*.py*")
        if path.suffix in (".py", ".pyi")
    }
    return sorted(
        str(name)
        for name in names
        if not ((fresh / name).exists() and (TARGET / name).exists())
        or not filecmp.cmp(fresh / name, TARGET / name, shallow=False)
    )


def main() -> None:
    """Run the command."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        generate(fresh)
        differing = stale(fresh)
        if "--check" in sys.argv[1:]:
            if differing:
                raise SystemExit("run `make protos`; these are stale:\n  " + "\n  ".join(differing))
            return
        for name in differing:
            (TARGET / name).unlink(missing_ok=True)
            if (fresh / name).exists():
                (TARGET / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(fresh / name, TARGET / name)
        sys.stdout.write(f"{len(differing)} files written\n")


if __name__ == "__main__":
    main()
