"""The file of a KV cache: what is written is read, and what is anything else is refused."""

import json
import os
import random
from dataclasses import asdict, replace
from itertools import pairwise

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from memos_inference.adapters.kv_cache import KvGeometry
from memos_inference.adapters.kv_file import CHUNK_TOKENS, KvEncoding, digest_of, read, read_ahead, write
from memos_kernel.blobs import SAFETENSORS
from memos_kernel.cube import Activation, BlobRef, Kind, RevisionRef
from memos_kernel.errors import DataCorrupted, IncompatiblePayload
from memos_kernel.identity import CompatibilityIdentity
from memos_kernel.names import CubeName

VOCABULARY = 1_000
GEOMETRY = KvGeometry(layers=3, kv_heads=2, head_dim=4, dtype=torch.float32)
IDS = [number % VOCABULARY for number in range(CHUNK_TOKENS + 40)]
TOKENS = len(IDS)
IDENTITY = CompatibilityIdentity("m", "w", "t", "c", "{}", "float32", "none", digest_of(IDS), "base")


def layers(ids=IDS, *, dtype=torch.float32):
    shape = (1, GEOMETRY.kv_heads, len(ids), GEOMETRY.head_dim)
    return [
        (
            torch.rand(shape, generator=_seeded(2 * layer)).to(dtype),
            torch.rand(shape, generator=_seeded(9 + layer)).to(dtype),
        )
        for layer in range(GEOMETRY.layers)
    ]


def _seeded(seed):
    return torch.Generator().manual_seed(seed)


def of(path, cube, *, identity=IDENTITY, tokens=TOKENS):
    blob = BlobRef("b", path.stat().st_size, "0" * 64, SAFETENSORS)
    return cube(kind=Kind.ACTIVATION, payload=Activation(blob, identity, tokens))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "kv.safetensors"
    write(path, layers(), ids=IDS, identity=IDENTITY, sources=[RevisionRef(CubeName("t", "c"), 3)])
    return path


def parsed(path, cube, *, allowed=frozenset(KvEncoding), checked=False, **fields):
    given = {"geometry": GEOMETRY, "vocabulary": VOCABULARY, "allowed": allowed, "checked": checked}
    return read(path, of(path, cube, **fields), **given)


def joined(prefix, index, tokens):
    """Return keys and values of a layer."""
    pieces = list(prefix.layer(index, 0, tokens))
    return (torch.cat([piece[part] for piece in pieces], dim=-2) for part in range(2))


def there_and_back(path, cube, given, ids, dtype, **options):
    identity = replace(IDENTITY, token_ids_sha256=digest_of(ids))
    write(path, given, ids=ids, identity=identity, sources=[], **options)
    geometry = replace(GEOMETRY, dtype=dtype)
    return read(path, of(path, cube, identity=identity, tokens=len(ids)), geometry=geometry, vocabulary=VOCABULARY)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("tokens", [1, CHUNK_TOKENS, CHUNK_TOKENS + 40])
def test_what_is_written_is_read_layer_by_layer(tmp_path, cube, dtype, tokens):
    ids, given = IDS[:tokens], layers(IDS[:tokens], dtype=dtype)
    prefix = there_and_back(tmp_path / "kv", cube, given, ids, dtype)
    assert prefix.ids == tuple(ids)
    for index, (keys, values) in enumerate(given):
        read_keys, read_values = joined(prefix, index, tokens)
        assert torch.equal(read_keys, keys)
        assert torch.equal(read_values, values)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("tokens", [1, 4, 5, CHUNK_TOKENS + 4, CHUNK_TOKENS + 40])
def test_in_eight_bits_it_is_nearly_the_same_and_the_first_tokens_are_quite(tmp_path, cube, dtype, tokens):
    ids, given = IDS[:tokens], layers(IDS[:tokens], dtype=dtype)
    prefix = there_and_back(tmp_path / "kv", cube, given, ids, dtype, encoding=KvEncoding.INT8)
    for index, (keys, values) in enumerate(given):
        for wanted, found in zip((keys, values), joined(prefix, index, tokens), strict=True):
            assert found.dtype == dtype
            assert torch.equal(found[..., :4, :], wanted[..., :4, :])
            assert (found.float() - wanted.float()).abs().max() <= (1 / 127 if dtype == torch.float32 else 1 / 80)


def test_eight_bits_hold_channels_and_tokens_of_very_different_size(tmp_path, cube):
    given = layers()
    for keys, values in given:
        keys[..., 1] *= 1_000
        values[:, :, 100] *= 1_000
        keys[..., 3], values[:, :, 200] = 0.0, 0.0
    prefix = there_and_back(tmp_path / "kv", cube, given, IDS, torch.float32, encoding=KvEncoding.INT8)
    for index, (keys, values) in enumerate(given):
        read_keys, read_values = joined(prefix, index, TOKENS)
        assert ((read_keys - keys).abs() <= keys.abs().amax(dim=2, keepdim=True) / 127).all()
        assert ((read_values - values).abs() <= values.abs().amax(dim=3, keepdim=True) / 127).all()


def test_eight_bits_take_less_room(tmp_path, cube):
    there_and_back(tmp_path / "a", cube, layers(), IDS, torch.float32, encoding=KvEncoding.INT8)
    there_and_back(tmp_path / "b", cube, layers(), IDS, torch.float32)
    small, whole = (
        sum(tensor.nbytes for name, tensor in load_file(tmp_path / file).items() if name != "ids") for file in "ab"
    )
    assert small < 0.55 * whole  # the scales weigh much with four elements a head


def test_a_file_in_an_encoding_that_is_not_allowed_is_refused(tmp_path, cube):
    path = tmp_path / "kv"
    write(path, layers(), ids=IDS, identity=IDENTITY, sources=[], encoding=KvEncoding.INT8)
    with pytest.raises(IncompatiblePayload) as caught:
        parsed(path, cube, allowed={KvEncoding.NATIVE})
    assert caught.value.metadata["fields"] == "encoding"


@pytest.mark.parametrize(
    "changes",
    [
        {"key_scale.00001": None},
        {"value_scale.00001": lambda scale: scale[:, :, :-1].contiguous()},
        {"key_scale.00001": lambda scale: scale * float("inf")},
        {"kv.00001": lambda chunk: chunk.to(torch.float32)},
        {"kv.00000": lambda chunk: chunk.to(torch.int8)},
        {"encoding": "native"},
    ],
)
def test_eight_bits_that_are_not_as_they_have_to_be_are_refused(tmp_path, cube, changes):
    path = tmp_path / "kv"
    write(path, layers(), ids=IDS, identity=IDENTITY, sources=[], encoding=KvEncoding.INT8)
    rewritten(path, changes)
    with pytest.raises(DataCorrupted):
        parsed(path, cube)


def test_a_part_of_the_tokens_is_a_part_of_the_pieces(path, cube):
    prefix = parsed(path, cube)
    assert [keys.shape[-2] for keys, _ in prefix.layer(0, 0, CHUNK_TOKENS + 3)] == [CHUNK_TOKENS, 3]
    assert [keys.shape[-2] for keys, _ in prefix.layer(0, 0, 7)] == [7]
    assert [keys.shape[-2] for keys, _ in prefix.layer(0, CHUNK_TOKENS - 2, CHUNK_TOKENS + 3)] == [2, 3]
    assert list(prefix.layer(0, 4, 4)) == []


def test_any_first_part_of_the_tokens_is_a_first_part_of_the_file(path):
    header = json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")])
    places = [header[name]["data_offsets"] for name in ("ids", "kv.00000", "kv.00001")]
    assert places[0][0] == 0
    assert [end for _, end in places[:-1]] == [start for start, _ in places[1:]]


def test_it_says_what_it_is_and_what_it_was_made_from(path):
    with safe_open(str(path), framework="pt") as file:
        (said,) = file.metadata().values()
    assert json.loads(said) == {
        "encoding": "native",
        "format": "memos-kv",
        "version": "1",
        "identity": asdict(IDENTITY),
        "sources": [["tenants/t/cubes/c", 3]],
    }


def test_equal_caches_have_equal_bytes(tmp_path):
    written = set()
    for number in range(8):
        path = tmp_path / f"{number}"
        write(path, layers(), ids=IDS, identity=IDENTITY, sources=[RevisionRef(CubeName("t", "c"), 3)])
        written.add(path.read_bytes())
    assert len(written) == 1


@pytest.mark.parametrize("field", list(asdict(IDENTITY)))
def test_a_file_of_another_identity_than_the_cubes_is_refused_with_what_differs(path, cube, field):
    with pytest.raises(IncompatiblePayload) as caught:
        parsed(path, cube, identity=replace(IDENTITY, **{field: "other"}))
    assert caught.value.metadata["fields"] == field


def rewritten(path, changes):
    """Write the file anew with other tensors or metadata; None leaves a tensor out."""
    with safe_open(str(path), framework="pt") as file:
        tensors = {name: file.get_tensor(name).clone() for name in list(file.keys())}
        metadata = file.metadata()
    said = json.loads(metadata["memos-kv"])
    for name, value in changes.items():
        if name in said:
            said[name] = value
        elif value is None:
            del tensors[name]
        else:
            tensors[name] = value(tensors[name]) if callable(value) else value
    save_file(tensors, path, {"memos-kv": json.dumps(said)})


def _with_nan(chunk):
    chunk[1, 0, 1, 3, 2] = float("nan")
    return chunk


def _with_infinity(chunk):
    chunk[0, 1, 0, 0, 0] = float("inf")
    return chunk


@pytest.mark.parametrize(
    "changes",
    [
        {"kv.00000": _with_nan},
        {"kv.00001": _with_infinity},
        {"kv.00000": lambda chunk: chunk[:2]},
        {"kv.00000": lambda chunk: chunk.to(torch.bfloat16)},
        {"kv.00001": None},
        {"kv.00001": lambda chunk: chunk[:, :, :, :-1].contiguous()},
        {"more": torch.zeros(3)},
        {"ids": None},
        {"ids": lambda ids: ids[:-1]},
        {"ids": lambda ids: ids.to(torch.int32)},
        {"ids": lambda ids: ids + VOCABULARY},
        {"ids": lambda ids: -ids},
        {"ids": lambda ids: ids.flip(0)},
    ],
)
def test_a_file_that_holds_something_else_is_refused(path, cube, changes):
    rewritten(path, changes)
    with pytest.raises(DataCorrupted):
        parsed(path, cube)


@pytest.mark.parametrize(
    "changes", [{"format": "other"}, {"version": "2"}, {"encoding": "int4"}, {"identity": []}, {"identity": None}]
)
def test_a_file_of_another_format_is_refused(path, cube, changes):
    rewritten(path, changes)
    with pytest.raises(IncompatiblePayload):
        parsed(path, cube)


@pytest.mark.parametrize("keep", [0, 7, 8, 200, 4_000, -1])
def test_a_file_that_is_cut_off_is_refused(path, cube, keep):
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataCorrupted):
        parsed(path, cube)


def test_a_model_of_another_shape_refuses_it(path, cube):
    for other in (replace(GEOMETRY, layers=2), replace(GEOMETRY, kv_heads=1), replace(GEOMETRY, head_dim=8)):
        with pytest.raises(DataCorrupted):
            read(path, of(path, cube), geometry=other, vocabulary=VOCABULARY)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_what_is_no_number_is_found_wherever_it_is(tmp_path, cube, dtype, value):
    rng = random.Random(value)
    for number in range(10):
        given = layers(dtype=dtype)
        states = rng.choice(rng.choice(given))
        states.view(-1)[rng.randrange(states.numel())] = float(value)
        with pytest.raises(DataCorrupted, match="no numbers"):
            there_and_back(tmp_path / str(number), cube, given, IDS, dtype)


def test_bytes_that_were_checked_are_not_looked_at_again(tmp_path, cube):
    path = tmp_path / "kv"
    given = layers()
    given[0][0][..., 0, 0] = float("nan")
    write(path, given, ids=IDS, identity=IDENTITY, sources=[])
    with pytest.raises(DataCorrupted, match="no numbers"):
        parsed(path, cube)
    assert parsed(path, cube, checked=True).ids == tuple(IDS)


@pytest.mark.parametrize("encoding", KvEncoding)
def test_a_file_is_read_ahead_layer_by_layer_and_nothing_of_it_is_left_out(tmp_path, monkeypatch, encoding):
    path, asked = tmp_path / "kv", []
    write(path, layers(), ids=IDS, identity=IDENTITY, sources=[], encoding=encoding)
    monkeypatch.setattr(os, "posix_fadvise", lambda _, start, size, advice: asked.append((start, size)))
    read_ahead(path, GEOMETRY.layers)
    with safe_open(str(path), framework="pt") as file:
        chunks = {name: file.get_tensor(name).nbytes for name in file.keys() if name.startswith("kv.")}  # noqa: SIM118
    assert sum(size for _, size in asked) == sum(chunks.values())
    covered = sorted((start, start + size) for start, size in asked)
    assert all(end <= start for (_, end), (start, _) in pairwise(covered))
    assert asked != sorted(asked)
