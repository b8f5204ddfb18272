"""Hashes, text rules, identity and the table of states."""

import sys
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_kernel import ids, limits
from memos_kernel.cube import Kind, MemCube, Plaintext, SourceSpan, State, content_hash, fingerprint
from memos_kernel.errors import CubeFrozen, IllegalTransition, InvalidField, LimitExceeded, MissingField
from memos_kernel.identity import CompatibilityIdentity, differing_fields
from memos_kernel.names import CubeName, PrincipalName, VaultName
from memos_kernel.permission import ROLE_ACTIONS, Action, Grant, Role
from memos_kernel.states import INJECTABLE, SEARCHED_BY_DEFAULT, TRANSITIONS, check_transition, freeze, unfreeze
from memos_kernel.text import check_labels, check_plain, check_text

CUBE = MemCube(
    name=CubeName("local", "x"), vault=VaultName("local", "main"), kind=Kind.PLAINTEXT, payload=Plaintext("hello")
)
IDENTITY = CompatibilityIdentity("m@1", "w", "t", "c", "{}", "float32", "none", "ids", "base")


def test_fingerprints_ignore_case_width_and_white_space():
    assert fingerprint("Hello  World\n") == fingerprint("hello world") == fingerprint("ＨＥＬＬＯ world")
    assert fingerprint("hello world") != fingerprint("hello, world")


def test_the_same_words_in_two_messages_are_two_memories():
    first = content_hash(Plaintext("yes"), (SourceSpan(message_id="1", session="s"),))
    second = content_hash(Plaintext("yes"), (SourceSpan(message_id="2", session="s"),))
    assert first != second
    assert first == content_hash(Plaintext("yes"), (SourceSpan(message_id="1", session="s"),))


def test_the_time_tells_messages_apart_only_where_no_id_does():
    early, late = (datetime(2026, 3, day, tzinfo=UTC) for day in (1, 2))

    def hashed(time, name):
        return content_hash(Plaintext("yes"), (SourceSpan(message_id=name, event_time=time),))

    assert hashed(early, "1") == hashed(late, "1")
    assert hashed(early, "") != hashed(late, "")


def test_parts_of_a_hash_do_not_run_into_each_other():
    assert content_hash(Plaintext("a"), (SourceSpan(message_id="bc"),)) != content_hash(
        Plaintext("a"), (SourceSpan(message_id="b", speaker="c"),)
    )


@pytest.mark.parametrize("source", State)
@pytest.mark.parametrize("target", State)
def test_moves_follow_the_table(source, target):
    cube = replace(CUBE, state=source)
    if target in TRANSITIONS[source]:
        check_transition(cube, target)
    else:
        with pytest.raises(IllegalTransition) as caught:
            check_transition(cube, target)
        assert caught.value.metadata == {"current": source.name, "target": target.name}


def test_a_frozen_cube_may_be_used_but_not_moved_on():
    frozen = replace(CUBE, frozen=True)
    check_transition(frozen, State.ACTIVATED)
    with pytest.raises(CubeFrozen):
        check_transition(frozen, State.ARCHIVED)


@pytest.mark.parametrize("state", sorted(set(State) - {State.EXPIRED, State.STALE}))
def test_freezing_and_unfreezing_changes_nothing_else(state):
    cube = replace(CUBE, state=state)
    assert freeze(cube) == replace(cube, frozen=True)
    assert unfreeze(freeze(cube)) == cube


@pytest.mark.parametrize(
    ("rule", "fields", "current", "target"),
    [
        (freeze, {"state": State.EXPIRED}, "EXPIRED", "FROZEN"),
        (freeze, {"state": State.STALE}, "STALE", "FROZEN"),
        (freeze, {"frozen": True}, "FROZEN", "FROZEN"),
        (unfreeze, {"state": State.ACTIVATED}, "ACTIVATED", "UNFROZEN"),
    ],
)
def test_only_a_living_cube_is_frozen_and_only_a_frozen_one_unfrozen(rule, fields, current, target):
    with pytest.raises(IllegalTransition) as caught:
        rule(replace(CUBE, **fields))
    assert caught.value.metadata == {"current": current, "target": target}


def test_expired_and_stale_cubes_never_enter_a_prompt_or_a_default_search():
    assert {State.EXPIRED, State.STALE}.isdisjoint(INJECTABLE | SEARCHED_BY_DEFAULT)
    assert State.ACTIVATED not in TRANSITIONS[State.STALE] | TRANSITIONS[State.EXPIRED]


@pytest.mark.parametrize("field", [name for name in CompatibilityIdentity.__slots__ if name != "token_ids_sha256"])
def test_an_identity_names_each_field_that_differs_or_is_missing(field):
    assert differing_fields(replace(IDENTITY, **{field: "other"}), IDENTITY) == (field,)
    assert differing_fields(replace(IDENTITY, **{field: ""}), replace(IDENTITY, **{field: ""})) == (field,)


def test_equal_identities_fit():
    assert differing_fields(IDENTITY, replace(IDENTITY, token_ids_sha256="of another text")) == ()


@pytest.mark.parametrize("text", ["", "  \n\t "])
def test_empty_text_is_missing(text):
    with pytest.raises(MissingField):
        check_text(text, field="texts[0]")


@pytest.mark.parametrize("text", ["a\x00b", "a\x1b[31m", "a\x7f", "a\ud800", "a\r\n"])
def test_control_characters_are_refused(text):
    with pytest.raises(InvalidField) as caught:
        check_text(text, field="texts[0]")
    assert caught.value.field == "texts[0]"


def test_exactly_the_control_characters_and_lone_surrogates_of_unicode_are_refused():
    for code in range(sys.maxunicode + 1):
        forbidden = unicodedata.category(chr(code)) in ("Cc", "Cs") and chr(code) not in "\t\n"
        try:
            check_plain(f"a{chr(code)}", field="text", limit=9)
        except InvalidField:
            assert forbidden, hex(code)
        else:
            assert not forbidden, hex(code)


def test_the_limit_counts_bytes():
    check_text("é" * (limits.TEXT_BYTES // 2), field="text")
    with pytest.raises(LimitExceeded) as caught:
        check_text("é" * (limits.TEXT_BYTES // 2) + "x", field="text")
    assert caught.value.metadata["limit"] == "16384"


def test_labels_are_checked():
    check_labels({"topic": "food"})
    with pytest.raises(InvalidField):
        check_labels({"Topic": "food"})
    with pytest.raises(LimitExceeded):
        check_labels({f"k{number}": "" for number in range(limits.LABELS + 1)})
    with pytest.raises(LimitExceeded):
        check_labels({"k": "x" * 257})


def test_each_role_includes_the_smaller_ones():
    for smaller, larger in zip(list(Role)[:-1], list(Role)[1:], strict=True):
        assert ROLE_ACTIONS[smaller] < ROLE_ACTIONS[larger]


def test_a_grant_never_covers_a_vault_of_another_tenant():
    grant = Grant(
        id="g",
        principal=PrincipalName("a", "p"),
        issued_to="scheduler",
        vaults=frozenset({VaultName("b", "v")}),
        all_vaults=True,
        actions=frozenset({Action.CUBE_READ}),
        policy_epoch=1,
        expire_time=datetime.now(UTC),
    )
    assert grant.covers(VaultName("a", "anything"))
    assert not grant.covers(VaultName("b", "v"))


@given(st.integers(2, 50))
def test_ids_are_unique_version_7_and_sort_by_time(count):
    made = [ids.uuid7() for _ in range(count)]
    assert len(set(made)) == count
    assert all(value[14] == "7" for value in made)
    assert [value[:13] for value in made] == sorted(value[:13] for value in made)
