"""What an image holds and what it runs.

The project's own are read from the tree of a release, k8s/images/Dockerfile: variables and entry point; and of the
packages that are installed here a container sees those of its group in pyproject.toml, with what they need. PostgreSQL
and Milvus are the programs of their wheels, in the places and under the variables of the public images.
"""

import lzma
import os
import re
import shutil
import stat
import sys
import sysconfig
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import Distribution, distributions
from importlib.util import find_spec
from pathlib import Path

from dockerfile_parse import DockerfileParser
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[3]
SITE = Path(sysconfig.get_path("purelib"))
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
OPEN_HOME = {f"{Path.home()}/.container": ""}
"""A file in the home folder, so that it is in the layer, and open there: Python may be installed in it."""

POSTGRES = """#!/bin/sh
# What the public image's entry point does with its variables.
set -e
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    printf '%s' "$POSTGRES_PASSWORD" > /tmp/password
    initdb --username="$POSTGRES_USER" --pwfile=/tmp/password --auth-host=scram-sha-256 --auth-local=trust >/dev/null
    rm /tmp/password
    echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
    pg_ctl -w -o "-c listen_addresses='' -k /tmp" start >/dev/null
    createdb -h /tmp -U "$POSTGRES_USER" -E UTF8 -T template0 "$POSTGRES_DB"
    pg_ctl -m fast -w stop >/dev/null
fi
exec postgres -c listen_addresses='*' -k /var/run/postgresql
"""


@dataclass(frozen=True)
class Image:
    """An image.

    Attributes:
        entry: program that arguments are given to.
        env: variables.
        folder: where the program starts.
        hidden: paths of this machine that it does not hold.
        files: texts that it holds, beside the files of this machine.
        unpacked: compressed files that it holds.
        kept: folders of this machine that it holds even where a volume is mounted over them, such as /tmp.
    """

    entry: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    folder: str = "/"
    hidden: tuple[Path, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    unpacked: Mapping[str, Path] = field(default_factory=dict)
    kept: tuple[Path, ...] = (Path(sys.prefix), Path(sys.base_prefix))

    def write(self, layer: Path) -> Path:
        """Write what differs from this machine, as the upper layer of an overlay; return its folder."""
        for path in self.hidden:
            place = _place(layer, path)
            os.mknod(place, stat.S_IFCHR | 0o600, os.makedev(0, 0))
        for path, text in self.files.items():
            place = _place(layer, Path(path))
            place.write_text(text)
            place.chmod(0o755 if text.startswith("#!") else 0o644)
        for path, packed in self.unpacked.items():
            place = _place(layer, Path(path))
            with lzma.open(packed) as source, place.open("wb") as target:
                shutil.copyfileobj(source, target)
            place.chmod(0o755)
        for folder in [layer, *(path for path in layer.rglob("*") if path.is_dir())]:
            folder.chmod(0o755)  # a home that is closed would hide the interpreter from the container's user
        return layer


@cache
def image(reference: str, tree: Path = ROOT) -> Image:
    """Return an image by its reference, built from the tree of a release; tags and digests say nothing here."""
    name = re.split(r"[:@]", reference)[0]
    match name.split("/"):
        case ["memos", "dev-s3"]:
            return _own("dev-s3", target="dev-s3", tree=tree)
        case ["memos", service]:
            return _own(service, target="service", tree=tree)
        case ["postgres"]:
            return _postgres()
        case ["milvusdb", "milvus"]:
            return _milvus()
    raise LookupError(f"there is no image {reference}")


def _own(group: str, *, target: str, tree: Path) -> Image:
    entry, env = _built(target, tree)
    env |= {"PATH": f"{Path(sys.executable).parent}:{SYSTEM_PATH}"}
    if target == "service":  # the wheel
        env |= python_path(tree)
    return Image(
        entry=entry,
        env=env,
        hidden=tuple(_not_in_group(group, tree)),
        files=OPEN_HOME,
        kept=(Path(sys.prefix), Path(sys.base_prefix), tree),
    )


def python_path(tree: Path) -> dict[str, str]:
    """Return the variable by which Python takes the packages of a release before those that are installed."""
    return {"PYTHONPATH": os.pathsep.join(str(tree / each) for each in ("services", "clients/python"))}


def _postgres() -> Image:
    programs = Path(_package("pgserver")) / "pginstall" / "bin"
    return Image(
        entry=("/usr/local/bin/docker-entrypoint.sh",),
        env={"PATH": f"{programs}:{SYSTEM_PATH}"},
        files={
            "/usr/local/bin/docker-entrypoint.sh": POSTGRES,
            "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\npostgres:x:70:70::/tmp:/bin/sh\n",
            **OPEN_HOME,
        },
    )


def _milvus() -> Image:
    data = Path(_package("milvus")) / "data"
    places = {
        "etcd_data_dir": "etcd",
        "local_storage_dir": "data",
        "rocksmq_data_dir": "rdb",
        "system_log_path": "logs",
    }
    config = (data / "config.yaml.template").read_text()
    for name, folder in places.items():
        config = config.replace(f"{{{{ {name} }}}}", f"/var/lib/milvus/{folder}")
    config = re.sub(r"\{\{ \w+(?:\(\w+\))?: ([^}]*?) \}\}", r"\1", config)
    return Image(
        env={"PATH": f"/milvus/bin:{SYSTEM_PATH}", "LD_LIBRARY_PATH": "/milvus/bin", "DEPLOY_MODE": "STANDALONE"},
        folder="/milvus",
        files={"/milvus/configs/milvus.yaml": config, "/milvus/configs/glog.conf": "--logtostderr=true\n"},
        unpacked={f"/milvus/bin/{packed.stem}": packed for packed in (data / "bin").glob("*.lzma")},
    )


def _built(target: str, tree: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return entry point and variables of a stage of the Dockerfile, those of the stages below it included."""
    parser = DockerfileParser(str(tree / "k8s" / "images" / "Dockerfile"))
    stages: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {}
    name, entry, env = "", (), {}
    for step in parser.structure:
        value = step["value"]
        match step["instruction"]:
            case "FROM":
                base, _, name = value.partition(" AS ")
                entry, env = stages.get(base, ((), {}))
            case "ENV":
                env = env | dict(re.findall(r"(\w+)=(\S+)", value))
            case "ENTRYPOINT":
                entry = tuple(re.findall(r'"([^"]*)"', value))
        stages[name] = entry, env
    return stages[target][0], dict(stages[target][1])


def _not_in_group(name: str, tree: Path) -> Iterator[Path]:
    """Return the files of installed packages that a group of pyproject.toml does not need."""
    installed = _installed()
    wanted = closure(group(name, tree))
    kept = {top for name in wanted for top in _tops(installed[name])}
    hidden = {top for name, each in installed.items() if name not in wanted for top in _tops(each)} - kept
    yield from sorted(path for path in hidden if path.exists())


def group(name: str, tree: Path = ROOT) -> list[str]:
    """Return the packages of a group of pyproject.toml."""
    groups = tomllib.loads((tree / "pyproject.toml").read_text())["dependency-groups"]
    listed: list[str] = []
    for each in groups[name]:
        listed += group(each["include-group"], tree) if isinstance(each, dict) else [each]
    return listed


def closure(wanted: Iterable[str]) -> set[str]:
    """Return the names of packages, of what they need, and so on."""
    installed = _installed()
    found: set[tuple[str, frozenset[str]]] = set()
    left = [Requirement(each) for each in wanted]
    while left:
        requirement = left.pop()
        key = plain(requirement.name), frozenset(requirement.extras)
        if key in found or key[0] not in installed:
            continue
        found.add(key)
        for needed in map(Requirement, installed[key[0]].requires or ()):
            extras = {"", *requirement.extras}
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                left.append(needed)
    return {name for name, _ in found}


@cache
def _installed() -> Mapping[str, Distribution]:
    return {plain(each.name): each for each in distributions(path=[str(SITE)])}


def _tops(distribution: Distribution) -> set[Path]:
    """Return what a package has directly in the folder of packages."""
    return {SITE / path.parts[0] for path in distribution.files or () if path.parts[0] not in ("..", "__pycache__")}


def _package(name: str) -> str:
    spec = find_spec(name)
    assert spec is not None
    assert spec.submodule_search_locations
    return spec.submodule_search_locations[0]


def _place(layer: Path, path: Path) -> Path:
    place = layer / path.relative_to("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def plain(name: str) -> str:
    """Return the name of a package as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
