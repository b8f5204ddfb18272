"""Cubes, grants and request keys on the wire."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from memos_api.internal.v1 import grant_pb2
from memos_api.v1 import memcube_pb2, memory_service_pb2
from memos_kernel.cube import (
    Access,
    Activation,
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
    kind_of,
)
from memos_kernel.errors import GrantInvalid, InvalidField, LimitExceeded
from memos_kernel.identity import CompatibilityIdentity
from memos_kernel.names import CubeName, PrincipalName, VaultName
from memos_kernel.permission import Action, Grant
from memos_wire.cubes import cube_from_proto, cube_to_proto
from memos_wire.grants import GrantSigner, GrantVerifier
from memos_wire.requests import request_key_of

MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)).map(lambda value: value.replace(tzinfo=UTC))
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)
IDENTITY = CompatibilityIdentity("m@1", "w", "t", "c", "{}", "float32", "none", "ids", "base")
BLOB = BlobRef("vaults/x/1", 12, "ab", "application/vnd.safetensors")
PAYLOADS = st.one_of(
    st.builds(Plaintext, WORDS, WORDS),
    st.just(Activation(BLOB, IDENTITY, 3)),
    st.just(Parametric(BLOB, IDENTITY, 16, "s", activated=True)),
)


@st.composite
def cubes(draw) -> MemCube:
    payload = draw(PAYLOADS)
    moment = st.none() | MOMENTS
    return MemCube(
        name=CubeName("local", "c1"),
        vault=VaultName("local", "main"),
        kind=kind_of(payload),
        payload=payload,
        uid=draw(WORDS),
        state=draw(st.sampled_from(State)),
        frozen=draw(st.booleans()),
        labels=draw(st.dictionaries(WORDS, WORDS, max_size=3)),
        semantic_type=draw(st.sampled_from(SemanticType)),
        origin=draw(st.sampled_from(Origin)),
        sources=(SourceSpan(draw(WORDS), draw(WORDS), draw(WORDS), draw(moment), "+01:00", "user", 1, 2),),
        create_time=draw(moment),
        update_time=draw(moment),
        expire_time=draw(moment),
        delete_time=draw(moment),
        purge_time=draw(moment),
        valid_from=draw(moment),
        valid_until=draw(moment),
        priority=draw(st.integers(0, 100)),
        sensitivity_tags=tuple(draw(st.lists(WORDS, max_size=2))),
        access=draw(st.none() | st.just(Access(PrincipalName("local", "p"), frozenset({Action.CUBE_READ})))),
        usage=Usage(draw(st.integers(0, 9)), draw(moment), draw(st.floats(0, 9))),
        fingerprint=draw(WORDS),
        content_hash=draw(WORDS),
        revision=draw(st.integers(0, 9)),
        etag=draw(WORDS),
        parent_revisions=(1, 2),
        derived_from=(RevisionRef(CubeName("local", "c0"), 4),),
        provenance_id=draw(WORDS),
        origin_trace=draw(st.none() | st.just(TraceRef("a" * 32, "b" * 16))),
        watermark_id=draw(WORDS),
    )


@given(cubes())
def test_a_cube_survives_the_wire_with_every_field(cube):
    message = memcube_pb2.MemCube.FromString(cube_to_proto(cube).SerializeToString())
    assert cube_from_proto(message) == cube


@given(cubes())
def test_a_header_keeps_everything_but_the_payload(cube):
    header = cube_from_proto(cube_to_proto(cube, payload=False))
    assert header == replace(cube, payload=None)


def test_every_field_of_the_contract_is_set_by_the_conversion():
    fields = set(memcube_pb2.MemCube.DESCRIPTOR.fields_by_name)
    domain = set(MemCube.__slots__) - {"payload"} | {"plaintext", "activation", "parametric"}
    assert fields == domain


@pytest.mark.parametrize("name", ["state", "semantic_type", "origin", "kind"])
def test_an_unknown_enum_value_is_refused_by_its_field(name):
    message = memcube_pb2.MemCube(name="tenants/local/cubes/a", vault="tenants/local/vaults/b", **{name: 99})
    with pytest.raises(InvalidField) as caught:
        cube_from_proto(message)
    assert caught.value.field == f"cube.{name}"


class FixedClock:
    def __init__(self) -> None:
        self.moment = datetime(2026, 5, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


def make_grant(clock: FixedClock, lifetime: float = 60) -> Grant:
    return Grant(
        id="g1",
        principal=PrincipalName("local", "ada"),
        issued_to="interface",
        vaults=frozenset({VaultName("local", "main")}),
        all_vaults=False,
        actions=frozenset({Action.CUBE_READ, Action.MODEL_USE}),
        policy_epoch=7,
        expire_time=clock.now() + timedelta(seconds=lifetime),
    )


def test_a_signed_grant_is_read_back(clock):
    key = Ed25519PrivateKey.generate()
    token = GrantSigner(key).sign(make_grant(clock), clock=clock).SerializeToString()
    verified = GrantVerifier([key.public_key()], clock=clock).verify(token)
    assert verified == replace(make_grant(clock), token=token)


def test_a_changed_grant_is_refused(clock):
    key = Ed25519PrivateKey.generate()
    signed = GrantSigner(key).sign(make_grant(clock), clock=clock)
    payload = grant_pb2.Grant.FromString(signed.payload)
    payload.actions.append("cube.write")
    signed.payload = payload.SerializeToString()
    with pytest.raises(GrantInvalid):
        GrantVerifier([key.public_key()], clock=clock).verify(signed.SerializeToString())


@pytest.mark.parametrize("token", [b"", b"rubbish", b"\x0a\x05hello"])
def test_rubbish_is_no_grant(clock, token):
    with pytest.raises(GrantInvalid):
        GrantVerifier([Ed25519PrivateKey.generate().public_key()], clock=clock).verify(token)


def test_a_grant_of_another_key_is_refused(clock):
    token = GrantSigner(Ed25519PrivateKey.generate()).sign(make_grant(clock), clock=clock).SerializeToString()
    with pytest.raises(GrantInvalid) as caught:
        GrantVerifier([Ed25519PrivateKey.generate().public_key()], clock=clock).verify(token)
    assert caught.value.metadata["cause"] == "key"


def test_a_grant_ends(clock):
    key = Ed25519PrivateKey.generate()
    token = GrantSigner(key).sign(make_grant(clock), clock=clock).SerializeToString()
    clock.moment += timedelta(seconds=60)
    with pytest.raises(GrantInvalid) as caught:
        GrantVerifier([key.public_key()], clock=clock).verify(token)
    assert caught.value.metadata["cause"] == "expired"


def test_a_grant_that_lives_longer_than_a_minute_is_refused_even_if_signed(clock):
    key = Ed25519PrivateKey.generate()
    token = GrantSigner(key).sign(make_grant(clock, lifetime=61), clock=clock).SerializeToString()
    with pytest.raises(GrantInvalid):
        GrantVerifier([key.public_key()], clock=clock).verify(token)


def test_the_request_key_depends_on_the_body_and_not_on_the_id():
    def key(text: str, request_id: str) -> str:
        request = memory_service_pb2.AddMemoriesRequest(vault="v", texts=[text], request_id=request_id)
        return request_key_of(request, method="/m").body_sha256

    assert key("a", "1") == key("a", "2")
    assert key("a", "1") != key("b", "1")


def test_a_request_id_has_a_limit():
    with pytest.raises(LimitExceeded):
        request_key_of(memory_service_pb2.DeleteMemoryRequest(name="n", request_id="x" * 65), method="/m")


def test_kinds_on_the_wire_tell_the_payload():
    for payload in (Plaintext("a"), Activation(BLOB, IDENTITY, 1), Parametric(BLOB, IDENTITY, 2)):
        cube = MemCube(name=CubeName("l", "c"), vault=VaultName("l", "v"), kind=kind_of(payload), payload=payload)
        assert Kind(cube_to_proto(cube).kind) is kind_of(payload)
