"""What an archive is made of: options, parts, lists, the manifest. `protos/README.md` describes the form."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

from memos_interface.domain.redaction import Redaction
from memos_interface.domain.search import CubeFilter
from memos_kernel.cube import Access, MemCube
from memos_kernel.errors import ArchiveInvalid, MemosError
from memos_kernel.lineage import Graph, NodeKind
from memos_kernel.names import CubeName, PrincipalName, VaultName
from memos_kernel.permission import Role
from memos_kernel.token_codes import TokenCodes

FORM = "memos.archive.v1"
"""Form of a manifest."""

LIST = "part.json"
REVISIONS, VECTORS = "revisions.parquet", "vectors.parquet"
NODES, EDGES = "lineage_nodes.parquet", "lineage_edges.parquet"
TABLES = (REVISIONS, VECTORS, NODES, EDGES)
BLOB_SUFFIX = ".safetensors"

PART_CUBES = 1_000
PART_BYTES = 16 * 1024**2
"""Texts and vectors after which a part ends."""

TABLE_BYTES = 128 * 1024**2
"""Most bytes of the tables of a part; only a cube with a very long history makes more than `PART_BYTES`."""

TABLE_ROWS = 100_000
CONTENT_BYTES = 256 * 1024**2
"""Most bytes of texts and vectors in a table, unpacked."""

LIST_BYTES = 1024**2

_HASH = re.compile(r"[0-9a-f]{64}")
_BLOB = re.compile(r"blobs/[0-9a-f-]{36}\.safetensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveOptions:
    """What an archive holds of its vault; see the contract's ArchiveOptions."""

    filter: CubeFilter | None = None
    revisions: bool = True
    vectors: bool = True
    blobs: bool = True
    deleted: bool = False
    excluded_tags: frozenset[str] = frozenset()
    redactions: frozenset[Redaction] = frozenset()

    @property
    def of_bytes(self) -> bool:
        """Whether cubes that have bytes are taken: what they were made of cannot be redacted in them."""
        return self.blobs and not self.redactions

    @property
    def of_vectors(self) -> bool:
        """Whether vectors are taken."""
        return self.vectors and not self.redactions


@dataclass(frozen=True, slots=True, eq=False)
class ArchivedVector:
    """A vector of a text, float32 and L2-normalised, and those of its tokens, if they are known."""

    embedder: str
    values: Sequence[float]
    tokens: TokenCodes | None = None

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        return 4 * len(self.values) + (8 * len(self.tokens.codes) if self.tokens is not None else 0)


@dataclass(frozen=True, slots=True, eq=False)
class ArchivedRevision:
    """A cube as one revision has it, with the use of the time of the export.

    Attributes:
        content_revision: the revision that brought its text.
        vectors: of its text, in the revision that brought it.
    """

    cube: MemCube
    content_revision: int
    vectors: tuple[ArchivedVector, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of text and vectors."""
        return len(self.cube.text.encode()) + sum(vector.size for vector in self.vectors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some cubes of an archive, with what is recorded around them."""

    revisions: Sequence[ArchivedRevision]
    lineage: Graph = field(default_factory=Graph)


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A file: its path below the directory of the archive, and what its bytes have to be."""

    path: str
    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, path: str, data: bytes) -> "ArchiveFile":
        """Return the file of some bytes."""
        return cls(path, len(data), hashlib.sha256(data).hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class PartEnd:
    """A part is complete."""

    number: int
    sha256: str
    resume_token: str
    cubes: int
    revisions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """A manifest with its Ed25519 signature."""

    statement: bytes
    signature: bytes
    public_key: bytes

    @property
    def key(self) -> str:
        """Fingerprint of the installation that signed it."""
        return hashlib.sha256(self.public_key).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultRecord:
    """A vault and who may do what in it."""

    name: VaultName
    display_name: str
    create_time: datetime | None
    owner: str
    roles: Mapping[PrincipalName, Role]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What the parts of an archive hold so far."""

    cubes: int = 0
    revisions: int = 0
    blobs: int = 0

    def plus(self, cubes: int, revisions: int, blobs: int) -> "Tally":
        """Return the sum."""
        return Tally(cubes=self.cubes + cubes, revisions=self.revisions + revisions, blobs=self.blobs + blobs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a manifest says, as far as an import needs it."""

    vault: VaultName
    as_of: str
    roles: Mapping[PrincipalName, Role]
    parts: Sequence[str]


@dataclass(frozen=True, slots=True)
class ImportFailure:
    """A cube that was not imported."""

    name: str
    error: MemosError


@dataclass(slots=True)
class ImportTally:
    """What became of the cubes of a part."""

    part: int
    created: int = 0
    extended: int = 0
    unchanged: int = 0
    embedded: int = 0
    roles: int = 0
    lineage_left_out: int = 0
    degraded: bool = False
    failures: list[ImportFailure] = field(default_factory=list)
    unknown_principals: list[PrincipalName] = field(default_factory=list)


def part_directory(number: int) -> str:
    """Return the path of a part."""
    return f"parts/{number:05d}"


def blob_path(uid: str) -> str:
    """Return the path of a cube's bytes, below that of the part."""
    return f"blobs/{uid}{BLOB_SUFFIX}"


def list_of(number: int, files: Sequence[ArchiveFile], *, cubes: int, revisions: int) -> bytes:
    """Return the list of a part."""
    return _json({"part": number, "cubes": cubes, "revisions": revisions, "files": [asdict(file) for file in files]})


def statement_of(
    record: VaultRecord,
    *,
    options: ArchiveOptions,
    as_of: datetime,
    exported: datetime,
    by: PrincipalName,
    tally: Tally,
    parts: Sequence[str],
) -> bytes:
    """Return a manifest."""
    return _json(
        {
            "form": FORM,
            "vault": {
                "name": str(record.name),
                "display_name": record.display_name,
                "create_time": told(record.create_time) if record.create_time is not None else "",
                "owner": record.owner,
            },
            "permissions": [
                {"principal": str(principal), "role": role.name}
                for principal, role in sorted(record.roles.items(), key=str)
            ],
            "as_of": told(as_of),
            "exported": told(exported),
            "exported_by": str(by),
            "options": described(options),
            "counts": asdict(tally),
            "parts": list(parts),
        }
    )


def described(options: ArchiveOptions) -> dict[str, Any]:
    """Return options as a manifest tells them."""
    return {
        "filter": _filter(options.filter) if options.filter is not None else {},
        "revisions": options.revisions,
        "vectors": options.of_vectors,
        "blobs": options.of_bytes,
        "deleted": options.deleted,
        "excluded_tags": sorted(options.excluded_tags),
        "redactions": sorted(one.name for one in options.redactions),
    }


def manifest_of(statement: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        ArchiveInvalid: it is none, or of a form that is not known here.
    """
    said = _object(statement, "manifest.json")
    if said.get("form") != FORM:
        raise ArchiveInvalid(
            f"manifest.json is of the form {said.get('form')!r}; {FORM} is known here. Update this installation.",
            file="manifest.json",
        )
    try:
        roles = {PrincipalName.parse(one["principal"]): Role[one["role"]] for one in said["permissions"]}
        if Role.NONE in roles.values():
            raise ValueError("NONE is no role")
        parts = [str(one) for one in said["parts"]]
        vault = VaultName.parse(said["vault"]["name"])
    except (KeyError, TypeError, ValueError, MemosError) as error:
        raise invalid("manifest.json", "does not say what it has to say") from error
    return Manifest(vault=vault, as_of=str(said.get("as_of", "")), roles=roles, parts=parts)


def files_of(listed: bytes, *, number: int) -> tuple[list[ArchiveFile], int]:
    """Return the files that the list of a part names, and the number of its revisions.

    Raises:
        ArchiveInvalid: it is no such list.
    """
    path = f"{part_directory(number)}/{LIST}"
    said = _object(listed, path)
    try:
        files = [ArchiveFile(str(one["path"]), int(one["size_bytes"]), str(one["sha256"])) for one in said["files"]]
        revisions, said_number = int(said["revisions"]), int(said["part"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise invalid(path, "is no list of files") from error
    named = [file.path for file in files]
    known = all(name in TABLES or _BLOB.fullmatch(name) for name in named) and len(set(named)) == len(named)
    sound = all(_HASH.fullmatch(file.sha256) and file.size_bytes >= 0 for file in files)
    if said_number != number or not known or not sound or REVISIONS not in named:
        raise invalid(path, "is not the list of this part")
    if sum(file.size_bytes for file in files if file.path in TABLES) > TABLE_BYTES or revisions > TABLE_ROWS:
        raise invalid(path, "names tables that are larger than those of a part can be")
    return files, revisions


def histories(revisions: Sequence[ArchivedRevision]) -> Iterator[Sequence[ArchivedRevision]]:
    """Return the revisions of each cube, which are given one cube behind the other."""
    return (list(history) for _, history in groupby(revisions, key=attrgetter("cube.uid")))


def moved(revision: ArchivedRevision, vault: VaultName) -> ArchivedRevision:
    """Return a revision as it is in another vault, which may be another tenant's."""
    cube, tenant = revision.cube, vault.tenant
    access = cube.access
    if access is not None:
        access = Access(PrincipalName(tenant, access.owner.id))
    return replace(
        revision,
        cube=replace(
            cube,
            name=CubeName(tenant, cube.name.id),
            vault=vault,
            access=access,
            derived_from=tuple(replace(ref, name=CubeName(tenant, ref.name.id)) for ref in cube.derived_from),
        ),
    )


def moved_graph(graph: Graph, tenant: str) -> Graph:
    """Return lineage as another tenant records it."""

    def name(old: str) -> str:
        return "/".join(("tenants", tenant, *old.split("/")[2:]))

    return Graph(
        tuple(replace(node, name=name(node.name)) for node in graph.nodes),
        tuple(replace(edge, source=name(edge.source), target=name(edge.target)) for edge in graph.edges),
    )


def around(graph: Graph, cubes: Set[str]) -> Graph:
    """Return what a graph says of some cubes: no other cube, and plans and answers only where they touch these."""
    kinds = {node.name: node.kind for node in graph.nodes}

    def sound(name: str) -> bool:
        return name in cubes or kinds.get(name) in (NodeKind.PLAN, NodeKind.ANSWER)

    edges = [edge for edge in graph.edges if sound(edge.source) and sound(edge.target)]
    reached = set(cubes)
    while True:
        more = {name for edge in edges if {edge.source, edge.target} & reached for name in (edge.source, edge.target)}
        if more <= reached:
            break
        reached |= more
    return Graph(
        tuple(node for node in graph.nodes if node.name in reached),
        tuple(edge for edge in edges if edge.source in reached),
    )


def invalid(path: str, problem: str) -> ArchiveInvalid:
    """Return the error of a file."""
    return ArchiveInvalid(f"{path} {problem}; the archive was cut off or changed.", file=path)


def told(time: datetime) -> str:
    """Return a moment as manifests tell it."""
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _filter(filter: CubeFilter) -> dict[str, Any]:
    values: dict[str, Any] = {
        "labels": dict(filter.labels),
        "kinds": sorted(one.name for one in filter.kinds),
        "states": sorted(one.name for one in filter.states),
        "semantic_types": sorted(one.name for one in filter.semantic_types),
        "speakers": sorted(filter.speakers),
        "sessions": sorted(filter.sessions),
        **{name: told(time) for name in ("after", "before", "valid_at") if (time := getattr(filter, name)) is not None},
    }
    return {name: value for name, value in values.items() if value}


def _object(data: bytes, path: str) -> dict[str, Any]:
    try:
        said = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise invalid(path, "is no JSON") from error
    if not isinstance(said, dict):
        raise invalid(path, "is no JSON object")
    return said


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
