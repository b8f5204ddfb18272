import base64
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_api.v1 import memory_service_pb2 as pb
from memos_kernel import limits
from memos_kernel.errors import InvalidField, LimitExceeded, PageTokenMismatch
from memos_runtime.paging import PageTokens, page_size, request_hash

BOUND = {"method": "List", "principal": "nora", "request_hash": "abc"}
CURSOR = {"after": "cube-7", "count": 12}


@pytest.fixture
def tokens():
    return PageTokens(b"k" * 32)


def test_a_token_gives_its_cursor_back_to_its_own_call(tokens):
    assert tokens.open(tokens.seal(CURSOR, **BOUND), **BOUND) == CURSOR


def test_the_empty_token_asks_for_the_first_page(tokens):
    assert tokens.open("", **BOUND) == {}


@pytest.mark.parametrize("other", [{"method": "Other"}, {"principal": "mallory"}, {"request_hash": "abd"}])
def test_a_token_of_another_call_is_refused(tokens, other):
    token = tokens.seal(CURSOR, **BOUND)
    with pytest.raises(PageTokenMismatch):
        tokens.open(token, **{**BOUND, **other})


def test_what_the_binding_is_made_of_cannot_be_shifted(tokens):
    token = tokens.seal(CURSOR, method="Listno", principal="ra", request_hash="abc")
    with pytest.raises(PageTokenMismatch):
        tokens.open(token, **{**BOUND, "method": "List", "principal": "nora"})


@given(position=st.integers(0, 40), flip=st.integers(1, 255))
def test_a_changed_token_is_refused(position, flip):
    tokens = PageTokens(b"k" * 32)
    raw = bytearray(base64.urlsafe_b64decode(tokens.seal(CURSOR, **BOUND)))
    raw[position % len(raw)] ^= flip
    with pytest.raises(PageTokenMismatch):
        tokens.open(base64.urlsafe_b64encode(raw).decode(), **BOUND)


@given(st.text())
def test_junk_is_refused_and_never_crashes(junk):
    if junk:
        with pytest.raises(PageTokenMismatch):
            PageTokens(b"k" * 32).open(junk, **BOUND)


def test_the_key_file_is_made_once_and_is_private(tmp_path):
    path = tmp_path / "key"
    token = PageTokens.from_file(path).seal(CURSOR, **BOUND)
    assert PageTokens.from_file(path).open(token, **BOUND) == CURSOR
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_size == 32
    assert list(tmp_path.iterdir()) == [path]


def test_page_sizes_have_a_default_and_a_limit():
    assert page_size(0) == limits.PAGE_SIZE_DEFAULT
    assert page_size(7) == 7
    with pytest.raises(InvalidField):
        page_size(-1)
    with pytest.raises(LimitExceeded):
        page_size(limits.PAGE_SIZE + 1)


def test_the_hash_covers_all_but_the_page():
    first = pb.ListMemoriesRequest(vault="v", page_size=5)
    assert request_hash(first) == request_hash(pb.ListMemoriesRequest(vault="v", page_token="t"))
    assert request_hash(first) != request_hash(pb.ListMemoriesRequest(vault="w"))
    assert first.page_size == 5
