"""`make conformance`: the suite of grafomem against a system that is started for it."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from deployment import Deployment

_PATIENCE = {"MEMOS_SCHEDULER__WATCH_SECONDS": "0.1"}  # the suite erases memories one by one, and watches each job
ADAPTER = "memos_adapter:MemosBackend"


def run(directory: Path, report: Path, *, seeds: int, quiet: bool = False) -> "subprocess.CompletedProcess[str]":
    """Start a system in a directory, run the suite with some seeds, and have its report (JSON) written."""
    with Deployment.one_process(directory / "state", env=_PATIENCE) as system:
        programs = Path(sys.executable).parent
        environment = {
            **os.environ,
            "MEMOS_STATE_DIR": str(system.state),
            "MEMOS_ADDRESS": system.address,
            "PATH": os.pathsep.join((str(programs), os.environ["PATH"])),
            "PYTHONPATH": os.pathsep.join((str(Path(__file__).parent), *sys.path)),
        }
        command = [programs / "grafomem", "conformance", "-b", ADAPTER, "-s", str(seeds), "-o", report]
        return subprocess.run(command, env=environment, check=False, capture_output=quiet, text=True)


def main() -> None:
    """Run it, and fail if anything that is claimed does not pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--report", type=Path, help="file for the report, JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        report = arguments.report or Path(directory, "report.json")
        done = run(Path(directory), report, seeds=arguments.seeds)
        failed = done.returncode or json.loads(report.read_text())["violations"]
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
