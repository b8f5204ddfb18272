"""What is remembered in a file as JSON, and can be found out again if the file is lost."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read_json(path: Path) -> dict[str, Any]:
    """Return what a file holds; nothing if there is none yet, or it is torn."""
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Put a value into a file, whole or not at all.

    It is written under a name of its own first: models that are loaded at once write here at once.
    """
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as fresh:
        json.dump(value, fresh, indent=1)
    Path(fresh.name).replace(path)
