"""What an archive is made of, and what is taken of one."""

import hashlib
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from memos_interface.adapters.memory_archives import MemoryNotary
from memos_interface.adapters.parquet_archive import ParquetTables
from memos_interface.domain.archives import (
    EDGES,
    REVISIONS,
    TABLES,
    VECTORS,
    ArchivedRevision,
    ArchivedVector,
    ArchiveFile,
    ArchiveOptions,
    Part,
    PartEnd,
    Seal,
    files_of,
    list_of,
    manifest_of,
)
from memos_interface.domain.redaction import Redaction
from memos_interface.domain.search import CubeFilter
from memos_interface.usecases import import_vault
from memos_interface.usecases.export_vault import ExportVault
from memos_interface.usecases.import_vault import ImportHeader
from memos_kernel.cube import (
    Access,
    BlobRef,
    Kind,
    MemCube,
    Origin,
    Parametric,
    Plaintext,
    RevisionRef,
    SemanticType,
    SourceSpan,
    State,
    TraceRef,
    Usage,
    content_hash,
)
from memos_kernel.errors import (
    ArchiveInvalid,
    DataCorrupted,
    DuplicateContent,
    InvalidField,
    MissingField,
    Overloaded,
    PageTokenMismatch,
    ResourceNotFound,
    VaultNotFound,
)
from memos_kernel.identity import CompatibilityIdentity
from memos_kernel.ids import uuid7
from memos_kernel.lineage import Edge, Graph, Node, NodeKind, Relation
from memos_kernel.names import CubeName, PrincipalName, VaultName
from memos_kernel.permission import Principal, Role

NOW = datetime(2026, 3, 2, 12, 0, 0, 123456, tzinfo=UTC)
VAULT = VaultName("t", "notes")
TENSOR = b"pretend tensors" * 100


def cube(text="tea", *, revision=1, uid="", **fields):
    payload = fields.pop("payload", Plaintext(text, "en"))
    uid = uid or uuid7()
    kind = Kind.PLAINTEXT if isinstance(payload, Plaintext) else Kind.PARAMETRIC
    values = {
        "name": CubeName("t", f"c-{uid[-12:]}"),
        "vault": VAULT,
        "kind": kind,
        "payload": payload,
        "uid": uid,
        "create_time": NOW,
        "update_time": NOW + timedelta(seconds=revision),
        "access": Access(PrincipalName("t", "nora")),
        "content_hash": content_hash(payload, fields.get("sources", ())),
        "revision": revision,
    }
    return MemCube(**{**values, **fields})


def history(*texts, vectors=True, **fields):
    uid = uuid7()
    return [
        ArchivedRevision(
            cube(text, revision=number, uid=uid, **fields),
            number,
            (ArchivedVector("hash-4", [0.5, 0.5, 0.5, 0.5]),) if vectors else (),
        )
        for number, text in enumerate(texts, 1)
    ]


def full():
    """Return a cube with every field set."""
    return cube(
        "Nora \N{SNOWMAN}",
        state=State.STALE,
        frozen=True,
        labels={"a": "b", "c": ""},
        semantic_type=SemanticType.FACT,
        origin=Origin.IMPORT,
        sources=(SourceSpan("m1", "Nora", "s1", NOW, "+01:00", "user", 3, 9),),
        expire_time=NOW + timedelta(days=1),
        delete_time=NOW + timedelta(hours=2),
        purge_time=NOW + timedelta(days=30),
        valid_from=NOW - timedelta(days=9),
        valid_until=NOW,
        priority=-7,
        sensitivity_tags=("health",),
        usage=Usage(3, NOW, 0.1 + 0.2),
        fingerprint="f" * 64,
        etag="e",
        revision=4,
        parent_revisions=(2, 3),
        derived_from=(RevisionRef(CubeName("t", "x"), 2),),
        provenance_id="p",
        origin_trace=TraceRef("a" * 32, "b" * 16),
        watermark_id="w",
    )


def adapter(number=0):
    blob = BlobRef(f"blob-{number}", len(TENSOR), hashlib.sha256(TENSOR).hexdigest(), "application/vnd.safetensors")
    hashes = {f"{name}_sha256": "a" * 64 for name in ("weights", "tokenizer", "chat_template")}
    identity = CompatibilityIdentity(
        model="m", rope_config="{}", dtype="float32", quantization="none", token_ids_sha256="", adapter="base", **hashes
    )
    return ArchivedRevision(cube(payload=Parametric(blob, identity, 4)), 1)


@pytest.fixture
def desk(desk):
    desk.histories.held[VAULT] = [history("tea"), history("in Oslo", "in Rome"), history("piano"), history("violin")]
    return desk


async def exported(desk, options=None, *, token="", parts=(), export=None, caller=None):
    """Return the events of an export: files with their bytes, ends of parts, and the seal."""
    files, ends, seal, as_of, last = {}, [], None, None, None
    events = (export or desk.do.export)(
        VAULT, options or ArchiveOptions(), resume_token=token, parts=parts, caller=caller or desk.caller
    )
    async for event in events:
        match event:
            case ArchiveFile():
                last = event
                files[last.path] = b""
            case bytes():
                files[last.path] += event
            case PartEnd():
                ends.append(event)
            case Seal():
                seal = event
            case _:
                as_of = event
        if isinstance(event, PartEnd | Seal) and last is not None:
            assert len(files[last.path]) == last.size_bytes
    return files, ends, seal, as_of


async def imported(desk, files, seal, *, vault=None, **header):
    """Return what an import answers."""

    async def incoming():
        for path, data in files.items():
            yield ArchiveFile.of(path, data)
            for start in range(0, len(data), 700):
                yield data[start : start + 700]

    asked = ImportHeader(vault=vault or desk.other, seal=seal, **header)
    return [tally async for tally in desk.do.import_vault(asked, incoming(), caller=desk.caller)]


def sendable(files):
    """Return files in the order in which they are sent: of each part the list first."""
    ordered = {}
    for path in [path for path in files if path.endswith("part.json")]:
        ordered[path] = files[path]
        directory = path.removesuffix("part.json")
        for one in json.loads(files[path])["files"]:
            ordered[directory + one["path"]] = files[directory + one["path"]]
    return ordered


def resealed(files, change):
    """Return the files of an archive of one part with other ones, whose lists and manifest fit them."""
    files = {**files, **change}
    listed = json.loads(files["parts/00000/part.json"])
    for one in listed["files"]:
        data = files[f"parts/00000/{one['path']}"]
        one |= {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    files["parts/00000/part.json"] = json.dumps(listed).encode()
    return files


async def signed_again(desk, files, seal):
    said = json.loads(seal.statement)
    said["parts"] = [hashlib.sha256(files["parts/00000/part.json"]).hexdigest()]
    return await desk.notary.sign(json.dumps(said).encode())


def test_a_table_holds_every_field_of_a_cube():
    unset = {name for name in MemCube.__dataclass_fields__ if getattr(full(), name) == getattr(cube("x"), name)}
    assert unset <= {"name", "vault", "kind", "uid", "create_time", "update_time", "access"}
    part = Part(revisions=[ArchivedRevision(full(), 2), adapter()])
    tables = ParquetTables()
    again = tables.read(tables.written(part), directory="parts/00000")
    assert [(item.cube, item.content_revision) for item in again.revisions] == [
        (item.cube, item.content_revision) for item in part.revisions
    ]


def test_tables_hold_vectors_and_lineage():
    nodes = (Node("tenants/t/cubes/a", NodeKind.CUBE, 2, "a", NOW, "a" * 32), Node("tenants/t/plans/p", NodeKind.PLAN))
    edges = (Edge(nodes[0].name, nodes[1].name, Relation.PLANNED, "why"),)
    part = Part(revisions=history("a", "b"), lineage=Graph(nodes, edges))
    files = ParquetTables().written(part)
    assert set(files) == set(TABLES)
    again = ParquetTables().read(files, directory="d")
    assert again.lineage == Graph(nodes, edges)
    assert [list(item.vectors[0].values) for item in again.revisions] == [[0.5] * 4] * 2
    rows = pq.read_table(io.BytesIO(files[REVISIONS])).to_pylist()
    assert [(row["text"], "text" in json.loads(row["document"])["plaintext"]) for row in rows] == [
        ("a", False),
        ("b", False),
    ]


def damaged(name, **columns):
    files = ParquetTables().written(Part(revisions=history("a")))
    table = pq.read_table(io.BytesIO(files[name])).to_pylist()
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([{**row, **columns} for row in table], schema=schema_of(files[name])), sink)
    return {**files, name: sink.getvalue()}


def schema_of(data):
    return pq.read_schema(io.BytesIO(data))


@pytest.mark.parametrize(
    "files",
    [
        damaged(REVISIONS, document="{"),
        damaged(REVISIONS, document="[]"),
        damaged(REVISIONS, document='{"nothing": 1}'),
        damaged(REVISIONS, document='{"name": "x"}'),
        damaged(REVISIONS, uid="another"),
        damaged(REVISIONS, revision=9),
        {**damaged(REVISIONS), REVISIONS: damaged(VECTORS)[VECTORS]},
        {**damaged(REVISIONS), VECTORS: b"PAR1 no table PAR1"},
    ],
)
def test_a_table_that_holds_something_else_is_named(files):
    with pytest.raises(ArchiveInvalid) as refused:
        ParquetTables().read(files, directory="parts/00007")
    assert refused.value.metadata["file"].startswith("parts/00007/")


async def test_an_export_tells_parts_and_ends_with_a_manifest(desk):
    desk.vaults.roles[VAULT] = {desk.caller.name: Role.OWNER, PrincipalName("t", "ben"): Role.READER}
    files, ends, seal, as_of = await exported(desk)
    assert as_of == desk.clock.now()
    assert [(end.number, end.cubes, end.revisions) for end in ends] == [(0, 4, 5)]
    manifest = manifest_of(seal.statement)
    assert manifest.vault == VAULT
    assert manifest.roles == desk.vaults.roles[VAULT]
    assert manifest.parts == [hashlib.sha256(files["parts/00000/part.json"]).hexdigest()]
    said = json.loads(seal.statement)
    assert said["counts"] == {"cubes": 4, "revisions": 5, "blobs": 0}
    listed, revisions = files_of(files["parts/00000/part.json"], number=0)
    assert revisions == 5
    assert {f"parts/00000/{file.path}" for file in listed} == set(files) - {"parts/00000/part.json"}
    assert desk.histories.pages == [("", as_of), ("2", as_of)]
    assert desk.audit.notes == [("vault.export", str(VAULT))]


async def test_an_empty_vault_makes_an_archive_without_parts(desk):
    desk.histories.held.clear()
    files, ends, seal, _ = await exported(desk)
    assert (files, ends) == ({}, [])
    assert manifest_of(seal.statement).parts == []
    assert [tally.part for tally in await imported(desk, files, seal)] == [-1, 0]


def small(desk, **sizes):
    """Return an export that makes small parts."""
    ports = desk.ports
    return ExportVault(
        histories=ports.histories,
        blobs=ports.blobs,
        lineage=ports.lineage,
        vaults=ports.vaults,
        notary=ports.notary,
        tables=ports.tables,
        delegation=ports.delegation,
        audit_trail=ports.audit_trail,
        clock=ports.clock,
        **sizes,
    )


@pytest.mark.parametrize("sizes", [{"part_cubes": 2}, {"part_bytes": 30}])
async def test_an_export_goes_on_behind_any_part(desk, sizes):
    export = small(desk, **sizes)
    files, ends, seal, as_of = await exported(desk, export=export)
    assert [end.number for end in ends] == [0, 1]
    desk.clock.pass_(100)
    rest, later, again, when = await exported(desk, export=export, token=ends[0].resume_token, parts=[ends[0].sha256])
    assert when == as_of
    assert {path for path in files if "00001" in path} == set(rest)
    assert [files[path] for path in rest] == list(rest.values())
    assert json.loads(again.statement) | {"exported": ""} == json.loads(seal.statement) | {"exported": ""}
    done = await exported(desk, export=export, token=later[0].resume_token, parts=[end.sha256 for end in ends])
    assert (done[0], done[1]) == ({}, [])
    assert manifest_of(done[2].statement).parts == manifest_of(seal.statement).parts


async def test_a_token_is_good_for_its_export_and_its_parts_alone(desk):
    export = small(desk, part_cubes=2)
    _, ends, _, _ = await exported(desk, export=export)
    token, first = ends[0].resume_token, ends[0].sha256
    wrong = [
        {"token": token, "parts": ["0" * 64]},
        {"token": token, "parts": []},
        {"token": token, "parts": [first, first]},
        {"token": "", "parts": [first]},
        {"token": "abc", "parts": [first]},
        {"token": "é.é", "parts": [first]},
        {"token": ends[1].resume_token.split(".")[0] + "." + token.split(".")[1], "parts": [first]},
        {"token": token, "parts": [first], "options": ArchiveOptions(deleted=True)},
    ]
    for arguments in wrong:
        with pytest.raises(PageTokenMismatch):
            await exported(desk, export=export, **arguments)
    desk.ports.notary._key = MemoryNotary()._key
    with pytest.raises(PageTokenMismatch):
        await exported(desk, export=export, token=token, parts=[first])


async def test_what_has_a_tag_that_is_left_out_stays_with_its_whole_history(desk):
    tagged = history("secret", "not secret any more")
    tagged[0] = replace(tagged[0], cube=replace(tagged[0].cube, sensitivity_tags=("health",)))
    desk.histories.held[VAULT].append(tagged)
    _, (end,), _, _ = await exported(desk, ArchiveOptions(excluded_tags=frozenset({"health"})))
    assert end.cubes == 4


async def test_a_redacted_archive_has_no_vectors_and_no_bytes(desk):
    desk.histories.held[VAULT] = [history("call nora@example.org"), [adapter()]]
    options = ArchiveOptions(redactions=frozenset({Redaction.EMAIL}))
    assert not options.of_vectors
    files, (end,), _, _ = await exported(desk, options)
    assert end.cubes == 1
    (row,) = pq.read_table(io.BytesIO(files[f"parts/00000/{REVISIONS}"])).to_pylist()
    assert row["text"] == "call [email]"
    said = json.loads(row["document"])
    assert said["contentHash"] == content_hash(Plaintext("call [email]", "en"), ())
    assert not any(b"nora@example.org" in data for data in files.values())


async def test_the_lineage_around_the_cubes_goes_with_them(desk):
    first = str(desk.histories.held[VAULT][0][0].cube.name)
    edge = Edge(first, "tenants/t/plans/p", Relation.PLANNED, "why")
    await desk.lineage.record(Graph((Node(first, NodeKind.CUBE), Node(edge.target, NodeKind.PLAN)), (edge,)))
    files, _, seal, _ = await exported(desk)
    desk.lineage.edges.clear()
    await imported(desk, sendable(files), seal)
    assert list(desk.lineage.edges) == [edge]


async def test_an_export_ends_when_the_permission_does(desk):
    events = small(desk, part_cubes=2)(VAULT, ArchiveOptions(), resume_token="", parts=(), caller=desk.caller)
    async for event in events:
        if isinstance(event, PartEnd):
            desk.authority.vaults[desk.caller.name] = set()
            break
    with pytest.raises(VaultNotFound):
        await anext(events)


async def test_bytes_are_exported_and_damage_to_them_stops_it(desk):
    item = adapter()
    desk.histories.held[VAULT] = [[item]]
    desk.blobs.held[item.cube.name] = (item.cube.blob, TENSOR)
    files, (end,), seal, _ = await exported(desk)
    path = f"parts/00000/blobs/{item.cube.uid}.safetensors"
    assert files[path] == TENSOR
    assert json.loads(seal.statement)["counts"]["blobs"] == 1
    taken = await imported(desk, sendable(files), seal)
    assert taken[1].created == 1
    ((_, (adopted,), _),) = desk.histories.adopted
    assert adopted.cube.blob == replace(item.cube.blob, name="blob-0")
    assert desk.blobs.written == {"blob-0": TENSOR}
    desk.blobs.held[item.cube.name] = (item.cube.blob, TENSOR[:-1] + b"x")
    with pytest.raises(DataCorrupted):
        await exported(desk)
    assert end.cubes == 1


async def test_a_cube_whose_bytes_went_meanwhile_is_told_of_at_the_import(desk):
    desk.histories.held[VAULT] = [[adapter()], history("tea")]
    files, _, seal, _ = await exported(desk)
    taken = await imported(desk, sendable(files), seal)
    assert (taken[1].created, len(taken[1].failures)) == (1, 1)
    assert isinstance(taken[1].failures[0].error, ArchiveInvalid)


async def test_an_import_takes_cubes_into_another_vault_and_tenant(desk):
    target = VaultName("u", "there")
    desk.caller = Principal(PrincipalName("u", "olga"))
    desk.authority.vaults[desk.caller.name] = {target}
    nora = Principal(PrincipalName("t", "nora"))
    desk.vaults.roles[VAULT] = {nora.name: Role.OWNER}
    desk.histories.held[VAULT] = [
        [ArchivedRevision(replace(full(), delete_time=None, purge_time=None), 4, (ArchivedVector("hash-4", [1.0]),))]
    ]
    files, _, seal, _ = await exported(desk, caller=nora)
    taken = await imported(desk, sendable(files), seal, vault=target, permissions=True)
    assert [tally.part for tally in taken] == [-1, 0, 1]
    ((vault, (item,), reason),) = desk.histories.adopted
    assert vault == item.cube.vault == target
    assert item.cube.name.tenant == item.cube.access.owner.tenant == item.cube.derived_from[0].name.tenant == "u"
    assert "tenants/t/vaults/notes" in reason
    assert desk.vaults.roles[target] == {PrincipalName("u", "nora"): Role.OWNER}
    assert taken[-1].roles == 1


async def test_roles_of_those_who_have_no_key_are_told(desk):
    ben, eve = PrincipalName("t", "ben"), PrincipalName("t", "eve")
    desk.vaults.roles[VAULT] = {desk.caller.name: Role.READER, ben: Role.WRITER, eve: Role.READER}
    desk.vaults.unknown = {"eve"}
    files, _, seal, _ = await exported(desk)
    without = await imported(desk, sendable(files), seal)
    assert (without[-1].roles, without[-1].unknown_principals) == (0, [])
    taken = await imported(desk, sendable(files), seal, permissions=True)
    assert (taken[-1].roles, taken[-1].unknown_principals) == (1, [eve])
    assert desk.vaults.roles[desk.other] == {ben: Role.WRITER}  # and the caller stays what he is


async def test_only_vectors_of_the_embedder_that_runs_are_taken_and_the_others_computed(desk):
    told = history("a", "b")
    told[0] = replace(told[0], vectors=(ArchivedVector("other", [1.0]), *told[0].vectors))
    told[1] = replace(told[1], vectors=(ArchivedVector("other", [1.0]),))
    same_text = ArchivedRevision(replace(cube("b", revision=3), uid=told[0].cube.uid), 2)
    desk.histories.held[VAULT] = [[*told, replace(same_text, cube=replace(same_text.cube, name=told[0].cube.name))]]
    files, _, seal, _ = await exported(desk)
    taken = await imported(desk, sendable(files), seal)
    assert taken[1].embedded == 1
    assert desk.models.embedded == ["b"]
    ((_, items, _),) = desk.histories.adopted
    assert [[vector.embedder for vector in item.vectors] for item in items] == [["hash-4"], ["hash-4"], []]


async def test_a_history_that_is_too_long_for_a_message_goes_on_in_another(desk, monkeypatch):
    monkeypatch.setattr(import_vault, "_MESSAGE_BYTES", 3 * (import_vault._HEADER_BYTES + 32))
    short, long, other = history("a", "b"), history(*"abcdefg"), history("x")
    desk.histories.held[VAULT] = [short, long, other]
    files, _, seal, _ = await exported(desk)
    taken = await imported(desk, sendable(files), seal)
    told = ["".join(item.cube.text for item in items) for _, items, _ in desk.histories.adopted]
    assert told == ["ab", "abc", "cde", "efg", "x"]
    assert (taken[1].created, taken[1].failures) == (3, [])
    desk.histories.adopted.clear()
    desk.histories.failures[str(long[0].cube.name)] = DuplicateContent("held", existing="x")
    taken = await imported(desk, sendable(files), seal)
    assert (taken[1].created, len(taken[1].failures)) == (2, 1)
    told = ["".join(item.cube.text for item in items) for _, items, _ in desk.histories.adopted]
    assert told == ["ab", "abc", "x"]


async def test_an_import_waits_for_a_part_that_is_busy(desk):
    files, _, seal, _ = await exported(desk)
    adopt, tries = desk.histories.adopt, []

    async def busy(*arguments, **options):
        tries.append(1)
        if len(tries) == 1:
            raise Overloaded("later", retry_after=0.01)
        return await adopt(*arguments, **options)

    desk.histories.adopt = busy
    taken = await imported(desk, sendable(files), seal)
    assert taken[1].created == 4
    assert len(tries) == 2


async def test_an_archive_of_a_stranger_is_taken_only_if_he_is_named(desk):
    files, _, seal, _ = await exported(desk)
    stranger = MemoryNotary()
    foreign = await stranger.sign(seal.statement)
    with pytest.raises(ArchiveInvalid, match=foreign.key[:16]):
        await imported(desk, sendable(files), foreign)
    with pytest.raises(ArchiveInvalid):
        await imported(desk, sendable(files), foreign, trusted_key=seal.key)
    assert len(await imported(desk, sendable(files), foreign, trusted_key=foreign.key[:16])) == 3
    with pytest.raises(ArchiveInvalid):
        await imported(desk, sendable(files), seal, trusted_key=foreign.key)
    with pytest.raises(InvalidField, match="trusted_key"):
        await imported(desk, sendable(files), seal, trusted_key="abc")


async def test_a_header_that_does_not_fit_is_refused(desk):
    files, _, seal, _ = await exported(desk)
    with pytest.raises(MissingField):
        await imported(desk, {}, replace(seal, statement=b""))
    with pytest.raises(ArchiveInvalid, match="signature"):
        await imported(desk, sendable(files), replace(seal, statement=seal.statement + b" "))
    with pytest.raises(ArchiveInvalid, match="signature"):
        await imported(desk, sendable(files), replace(seal, public_key=b"short"))
    for statement, problem in (
        (b"[]", "no JSON object"),
        (b"{", "no JSON"),
        (seal.statement.replace(b"memos.archive.v1", b"memos.archive.v2"), "Update"),
        (b'{"form":"memos.archive.v1"}', "does not say"),
    ):
        with pytest.raises(ArchiveInvalid, match=problem):
            await imported(desk, sendable(files), await desk.notary.sign(statement))
    with pytest.raises(InvalidField, match="first_part"):
        await imported(desk, {}, seal, first_part=2)
    assert [tally.part for tally in await imported(desk, {}, seal, first_part=1)] == [-1, 1]


LIST_PATH = "parts/00000/part.json"


@pytest.mark.parametrize("path", [LIST_PATH, *(f"parts/00000/{name}" for name in TABLES)])
@pytest.mark.parametrize("damage", ["flipped", "cut", "longer", "missing", "renamed"])
async def test_a_file_that_is_damaged_is_named_and_nothing_of_its_part_is_stored(desk, path, damage):
    files, _, seal, _ = await exported(desk)
    sent = sendable(files)
    data = sent[path]

    async def incoming():
        for name, held in sent.items():
            file = ArchiveFile.of(name, held)
            if name == path:
                if damage == "missing":
                    continue
                if damage == "renamed":
                    file = replace(file, path="parts/00000/other.parquet")
                held = {"flipped": data[:-1] + bytes([data[-1] ^ 1]), "cut": data[:-1], "longer": data + b"x"}.get(
                    damage, data
                )
            yield file
            yield held

    header = ImportHeader(vault=desk.other, seal=seal)
    with pytest.raises(ArchiveInvalid) as refused:
        _ = [tally async for tally in desk.do.import_vault(header, incoming(), caller=desk.caller)]
    assert refused.value.metadata["file"] == path
    assert desk.histories.adopted == []


async def test_lists_that_are_signed_are_looked_at_too(desk):
    files, _, seal, _ = await exported(desk)
    listed = json.loads(files[LIST_PATH])
    wrong = [
        {**listed, "part": 1},
        {**listed, "files": []},
        {**listed, "files": [*listed["files"], listed["files"][0]]},
        {**listed, "files": [{**listed["files"][0], "path": "../secret"}, *listed["files"]]},
        {**listed, "files": [{**listed["files"][0], "sha256": "x"}, *listed["files"][1:]]},
        {**listed, "revisions": 99},
        {"part": 0},
    ]
    for one in wrong:
        changed = {**files, LIST_PATH: json.dumps(one).encode()}
        with pytest.raises(ArchiveInvalid):
            await imported(
                desk, sendable(files) | {LIST_PATH: changed[LIST_PATH]}, await signed_again(desk, changed, seal)
            )
    assert desk.histories.adopted == []


async def test_bytes_of_no_cube_are_refused(desk):
    item = adapter()
    desk.histories.held[VAULT] = [[item]]
    desk.blobs.held[item.cube.name] = (item.cube.blob, TENSOR)
    files, _, seal, _ = await exported(desk)
    path = f"parts/00000/blobs/{item.cube.uid}.safetensors"
    changed = resealed(files, {path: b"other bytes"})
    with pytest.raises(ArchiveInvalid) as refused:
        await imported(desk, sendable(changed), await signed_again(desk, changed, seal))
    assert refused.value.metadata["file"] == path
    assert desk.blobs.written == {}


async def test_what_comes_behind_the_last_part_is_refused(desk):
    files, _, seal, _ = await exported(desk)
    with pytest.raises(InvalidField, match="behind the last part"):
        await imported(desk, {**sendable(files), "parts/00001/part.json": b"{}"}, seal)


def test_a_list_is_read_as_it_was_written():
    files = [ArchiveFile(REVISIONS, 3, "a" * 64), ArchiveFile(f"blobs/{uuid7()}.safetensors", 4, "b" * 64)]
    assert files_of(list_of(7, files, cubes=2, revisions=3), number=7) == (files, 3)


def test_options_that_hide_nothing_take_everything():
    assert ArchiveOptions().of_bytes
    assert ArchiveOptions().of_vectors
    assert not ArchiveOptions(blobs=False, filter=CubeFilter()).of_bytes


def test_a_table_that_unpacks_to_very_much_is_refused_before_it_does():
    files = ParquetTables().written(Part(revisions=history("a")))
    (row,) = pq.read_table(io.BytesIO(files[REVISIONS])).to_pylist()
    much = "x" * 2_000_000
    sink = io.BytesIO()
    rows = [{**row, "text": much, "revision": number} for number in range(400)]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema_of(files[REVISIONS])), sink, compression="zstd")
    assert len(sink.getvalue()) < 5_000_000
    with pytest.raises(ArchiveInvalid, match="more in it"):
        ParquetTables().read({**files, REVISIONS: sink.getvalue()}, directory="d")


async def test_lineage_is_redacted_too(desk):
    first = str(desk.histories.held[VAULT][0][0].cube.name)
    edge = Edge(first, "tenants/t/plans/p", Relation.PLANNED, "asked by nora@example.org")
    node = Node(first, NodeKind.CUBE, summary="of nora@example.org")
    await desk.lineage.record(Graph((node, Node(edge.target, NodeKind.PLAN)), (edge,)))
    files, *_ = await exported(desk, ArchiveOptions(redactions=frozenset({Redaction.EMAIL})))
    told = [pq.read_table(io.BytesIO(data)).to_pylist() for path, data in files.items() if "lineage" in path]
    assert "nora@example.org" not in str(told)
    assert "[email]" in str(told)


async def test_tables_that_nobody_asked_for_are_not_read(desk):
    files, _, seal, _ = await exported(desk)
    junk = b"x" * 1000
    listed = json.loads(files[LIST_PATH])
    listed["files"].append(
        {"path": "junk.parquet", "size_bytes": len(junk), "sha256": hashlib.sha256(junk).hexdigest()}
    )
    changed = {**files, LIST_PATH: json.dumps(listed).encode(), "parts/00000/junk.parquet": junk}
    with pytest.raises(ArchiveInvalid, match="not the list"):
        await imported(desk, sendable(changed), await signed_again(desk, changed, seal))
    listed["files"] = [{**one, "size_bytes": 100_000_000} for one in listed["files"][:-1]]
    changed = {**files, LIST_PATH: json.dumps(listed).encode()}
    with pytest.raises(ArchiveInvalid, match="larger"):
        await imported(desk, sendable(changed), await signed_again(desk, changed, seal))


async def test_lineage_of_other_cubes_and_plans_of_others_are_left_out(desk):
    mine, plan = str(desk.histories.held[VAULT][0][0].cube.name), "tenants/t/plans/p"
    forged = Edge("tenants/t/cubes/foreign", "tenants/t/cubes/other", Relation.DERIVED_FROM, "forged")
    kept = Edge(mine, plan, Relation.PLANNED)
    nodes = [Node(mine, NodeKind.CUBE), Node(plan, NodeKind.PLAN), Node(forged.source, NodeKind.CUBE, summary="forged")]
    files, _, seal, _ = await exported(desk)
    tables = ParquetTables().written(Part(revisions=[], lineage=Graph(tuple(nodes), (kept, forged))))
    changed = resealed(files, {f"parts/00000/{name}": tables[name] for name in ("lineage_nodes.parquet", EDGES)})
    taken = await imported(desk, sendable(changed), await signed_again(desk, changed, seal))
    assert list(desk.lineage.edges) == [kept]
    assert forged.source not in desk.lineage.nodes
    assert taken[1].lineage_left_out == 1

    async def refuse(graph):
        raise ResourceNotFound("It is another principal's.", name=plan)

    desk.lineage.record = refuse
    taken = await imported(desk, sendable(changed), await signed_again(desk, changed, seal))
    assert (taken[1].created, taken[1].lineage_left_out, len(taken)) == (4, 2, 3)


async def test_roles_are_raised_and_never_lowered(desk):
    ben, eve = PrincipalName("t", "ben"), PrincipalName("t", "eve")
    desk.vaults.roles[VAULT] = {ben: Role.READER, eve: Role.WRITER}
    desk.vaults.roles[desk.other] = {ben: Role.OWNER, eve: Role.READER}
    files, _, seal, _ = await exported(desk)
    taken = await imported(desk, sendable(files), seal, permissions=True)
    assert desk.vaults.roles[desk.other] == {ben: Role.OWNER, eve: Role.WRITER}
    assert taken[-1].roles == 1
    said = json.loads(seal.statement)
    said["permissions"][0]["role"] = "NONE"
    with pytest.raises(ArchiveInvalid):
        await imported(desk, sendable(files), await desk.notary.sign(json.dumps(said).encode()), permissions=True)


async def test_a_vector_of_another_size_than_the_embedder_makes_is_computed_anew(desk):
    told = history("a")
    desk.histories.held[VAULT] = [[replace(told[0], vectors=(ArchivedVector("hash-4", [1.0, 0.0]),))]]
    files, _, seal, _ = await exported(desk)
    taken = await imported(desk, sendable(files), seal)
    assert taken[1].embedded == 1
    ((_, (item,), _),) = desk.histories.adopted
    assert len(item.vectors[0].values) == 4
