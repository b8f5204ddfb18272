"""The contract against its own rules, by its descriptors."""

import json
import re
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FieldDescriptor

from memos_api.internal.v1 import (  # noqa: F401  loaded for their descriptors
    archive_service_pb2 as internal_archive_service_pb2,
)
from memos_api.internal.v1 import (  # noqa: F401
    blob_service_pb2 as internal_blob_service_pb2,
)
from memos_api.internal.v1 import (  # noqa: F401
    inference_service_pb2,
    ledger_service_pb2,
    lifecycle_service_pb2,
    policy_service_pb2,
    purge_service_pb2,
    scheduler_service_pb2,
    snapshot_service_pb2,
    storage_service_pb2,
    vector_service_pb2,
)
from memos_api.v1 import (  # noqa: F401
    archive_service_pb2,
    blob_service_pb2,
    chat_service_pb2,
    conversion_service_pb2,
    error_reason_pb2,
    governance_service_pb2,
    job_service_pb2,
    memory_service_pb2,
)
from memos_kernel import errors
from memos_kernel.cube import Kind, Origin, SemanticType, State
from memos_kernel.lineage import NodeKind, Relation
from memos_storage.domain.purges import PurgeState
from memos_wire.errors import CODES, error_of, status_of
from memos_wire.methods import CALLS, METHODS, SERVICES, callers_of

PROTOS = Path(__file__).resolve().parents[2] / "protos"
SERVICE_NAMES = [
    "memos.v1.MemoryService",
    "memos.v1.ChatService",
    "memos.v1.ConversionService",
    "memos.v1.ArchiveService",
    "memos.v1.BlobService",
    "memos.v1.SnapshotService",
    "memos.v1.PurgeService",
    "memos.v1.JobService",
    "memos.v1.GovernanceService",
    "memos.internal.v1.PolicyService",
    "memos.internal.v1.LedgerService",
    "memos.internal.v1.StorageService",
    "memos.internal.v1.ArchiveService",
    "memos.internal.v1.BlobService",
    "memos.internal.v1.SnapshotService",
    "memos.internal.v1.VectorService",
    "memos.internal.v1.PurgeService",
    "memos.internal.v1.InferenceService",
    "memos.internal.v1.SchedulerService",
    "memos.internal.v1.LifecycleService",
]


def rpcs():
    pool = descriptor_pool.Default()
    for name in SERVICE_NAMES:
        yield from pool.FindServiceByName(name).methods


def full_name(method) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def messages_below(message, seen=None):
    seen = {} if seen is None else seen
    if message.full_name not in seen:
        seen[message.full_name] = message
        for field in message.fields:
            if field.message_type is not None:
                messages_below(field.message_type, seen)
    return seen.values()


def test_every_service_of_the_proto_files_is_known_here():
    written = {
        f"{re.search(r'^package (.+);', text, re.M)[1]}.{name}"
        for path in (PROTOS / "memos_api").rglob("*.proto")
        for text in [path.read_text()]
        for name in re.findall(r"^service (\w+)", text, re.M)
    }
    assert written == set(SERVICE_NAMES)


def test_every_rpc_has_one_row_in_the_method_table_and_every_row_an_rpc():
    assert {full_name(method) for method in rpcs()} == set(METHODS)


def test_public_methods_are_served_by_interface_and_need_a_grant():
    for method in METHODS.values():
        assert method.public == (method.service == "interface")
        if method.public:
            assert method.actions


def test_mutations_carry_a_request_id():
    for method in rpcs():
        row = METHODS[full_name(method)]
        names = set(method.input_type.fields_by_name)
        if row.public:
            assert row.mutating == ("request_id" in names), row.name
        elif "request_key" in names:
            assert row.mutating, row.name


def test_fields_that_name_vaults_exist():
    for method in rpcs():
        for path in METHODS[full_name(method)].vaults:
            message = method.input_type
            for part in path.split("."):
                field = message.fields_by_name[part]
                message = field.message_type


def test_callers_are_allowed_by_the_call_graph():
    assert set(CALLS) == set(SERVICES)
    for method in METHODS.values():
        if not method.public:
            assert callers_of(method)
            assert all(method.service in CALLS[caller] for caller in callers_of(method))


def test_no_service_calls_itself_and_the_graph_has_no_cycle():
    order = {service: position for position, service in enumerate(SERVICES)}
    edges = [(caller, callee) for caller, callees in CALLS.items() for callee in callees]
    allowed_back = {("inference", "storage")}
    for caller, callee in edges:
        assert caller != callee
        assert order[callee] < order[caller] or (caller, callee) in allowed_back


def test_services_exchange_cubes_and_never_opaque_bytes_or_structs():
    allowed_bytes = {  # what is signed, its signatures and keys; the bytes that a cube only names
        "memos.v1.BlobChunk.data",
        *("memos.internal.v1.SignedGrant.payload", "memos.internal.v1.SignedGrant.signature"),
        *(f"memos.v1.DeletionReceipt.{name}" for name in ("statement", "signature", "public_key")),
        *(f"memos.v1.ArchiveManifest.{name}" for name in ("statement", "signature", "public_key")),
        "memos.internal.v1.SignArchiveRequest.statement",
        *(f"memos.internal.v1.SignArchiveResponse.{name}" for name in ("signature", "public_key")),
    }
    for method in rpcs():
        for root in (method.input_type, method.output_type):
            for message in messages_below(root):
                assert not message.full_name.startswith("google.protobuf.Struct")
                for field in message.fields:
                    if field.type == FieldDescriptor.TYPE_BYTES and message.file.package.startswith("memos"):
                        assert field.full_name in allowed_bytes, field.full_name


def test_the_public_package_does_not_depend_on_the_internal_one():
    for path in (PROTOS / "memos_api" / "v1").glob("*.proto"):
        assert "internal" not in re.findall(r'^import "(.+)";', path.read_text(), re.M).__repr__()


@pytest.mark.parametrize(
    ("enum", "name"),
    [
        (Kind, "CubeKind"),
        (State, "CubeState"),
        (SemanticType, "SemanticType"),
        (Origin, "CubeOrigin"),
        (NodeKind, "ProvenanceNodeKind"),
        (Relation, "ProvenanceRelation"),
        (PurgeState, "PurgeState"),
    ],
)
def test_domain_enums_have_the_numbers_of_the_contract(enum, name):
    descriptor = descriptor_pool.Default().FindEnumTypeByName(f"memos.v1.{name}")
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper() + "_"
    wire = {value.name.removeprefix(prefix): value.number for value in descriptor.values}
    if 0 not in set(enum):
        del wire["UNSPECIFIED"]
    assert {item.name: item.value for item in enum} == wire


def all_errors(base=errors.MemosError):
    for error in base.__subclasses__():
        if error.reason:
            yield error
        yield from all_errors(error)


def reasons() -> set[str]:
    names = error_reason_pb2.ErrorReason.keys()
    return {name.removeprefix("ERROR_REASON_") for name in names} - {"UNSPECIFIED"}


def test_every_domain_error_is_mapped_once_and_every_reason_has_one_error():
    found = list(all_errors())
    assert set(found) == set(CODES)
    assert sorted(error.reason for error in found) == sorted(reasons())


def test_every_reason_is_documented_with_an_example_of_itself():
    text = (PROTOS / "memos_api/v1/error_reason.proto").read_text()
    examples = re.findall(r"//     (\{.*\})\n  ERROR_REASON_(\w+) =", text)
    assert {name for _, name in examples} == reasons()
    for example, name in examples:
        info = json.loads(example)
        assert (info["reason"], info["domain"]) == (name, "memos")


def test_the_code_in_the_comment_of_a_reason_is_the_code_of_its_error():
    text = (PROTOS / "memos_api/v1/error_reason.proto").read_text()
    blocks = re.findall(r"((?:  //.*\n)+)  ERROR_REASON_(\w+) = [1-9]", text)
    code_of = {error.reason: code.name for error, code in CODES.items()}
    for comment, name in blocks:
        assert code_of[name] in comment, name


@pytest.mark.parametrize("error", sorted(CODES, key=lambda item: item.reason), ids=lambda item: item.reason)
def test_an_error_survives_the_wire(error):
    sent = error("Do this.", field="cube.vault", retry_after=1.5, limit="8")
    received = error_of(status_of(sent))
    assert type(received) is error
    assert (received.message, received.field, received.retry_after) == ("Do this.", "cube.vault", 1.5)
    assert received.metadata == {"field": "cube.vault", "limit": "8"}
