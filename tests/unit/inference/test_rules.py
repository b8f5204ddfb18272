import math
from dataclasses import replace
from datetime import timedelta

import pytest

from memos_inference.adapters.memory import EchoEngine
from memos_inference.domain.generation import Role, Turn, check_turns, parse_role, sampling
from memos_inference.domain.injection import Admitted, Injection, check_identity, check_injections
from memos_inference.domain.models import check_texts
from memos_inference.domain.seals import Seals
from memos_inference.usecases.count_tokens import CountTokens
from memos_kernel import limits
from memos_kernel.cube import Activation, BlobRef, Kind, State
from memos_kernel.errors import (
    GrantInvalid,
    IncompatiblePayload,
    InvalidField,
    LimitExceeded,
    MissingField,
    StateConflict,
)
from memos_kernel.identity import CompatibilityIdentity
from memos_kernel.names import CubeName, PrincipalName, VaultName
from memos_kernel.permission import Action

RUNNING = CompatibilityIdentity("m", "w", "t", "c", "{}", "float32", "none", "", "base")


@pytest.fixture
def check(grant, clock):
    def run(*cubes, form="text", **fields):
        injections = [Injection(cube, form) for cube in cubes]
        return check_injections(injections, grant=grant(**fields), now=clock.now(), running=RUNNING, seals=Seals(b"s"))

    return run


def kv(identity):
    return Activation(BlobRef("b", 1, "00", "application/octet-stream"), identity, 4)


def test_plaintext_cubes_of_granted_vaults_are_injected_in_order(check, cube):
    first, second = cube("one"), cube("two")
    assert check(first, second) == Admitted((first, second))


def test_a_call_without_memories_needs_no_right_to_use_cubes(check):
    assert check(actions=frozenset({Action.MODEL_USE})) == Admitted()


def test_a_grant_without_the_right_to_use_cubes_injects_none(check, cube):
    with pytest.raises(GrantInvalid):
        check(cube(), actions=frozenset({Action.MODEL_USE}))


@pytest.mark.parametrize(
    "fields",
    [
        {"vault": VaultName("local", "other")},
        {"vault": VaultName("elsewhere", "main")},
        {"name": CubeName("elsewhere", "c1")},
    ],
)
def test_a_cube_outside_of_the_grant_is_refused(check, cube, fields):
    with pytest.raises(GrantInvalid):
        check(cube(**fields))


def test_a_grant_for_all_vaults_ends_at_its_tenant(check, cube):
    everywhere = {"all_vaults": True, "vaults": frozenset()}
    assert check(cube(), **everywhere)
    with pytest.raises(GrantInvalid):
        check(cube(), principal=PrincipalName("elsewhere", "admin"), **everywhere)


@pytest.mark.parametrize("state", [State.STALE, State.EXPIRED])
def test_a_stale_or_expired_cube_is_refused(check, cube, state):
    with pytest.raises(StateConflict) as caught:
        check(cube(state=state))
    assert caught.value.metadata["state"] == state.name


def test_a_deleted_cube_is_refused(check, cube, clock):
    with pytest.raises(StateConflict):
        check(cube(delete_time=clock.now() - timedelta(days=1)))


def test_a_cube_whose_time_has_passed_is_refused_before_the_sweep_marks_it(check, cube, clock):
    assert check(cube(expire_time=clock.now() + timedelta(seconds=1)))
    with pytest.raises(StateConflict):
        check(cube(expire_time=clock.now()))


def test_a_header_without_payload_is_refused(check, cube):
    with pytest.raises(InvalidField) as caught:
        check(cube(), cube(payload=None))
    assert caught.value.field == "injections[1].cube"


@pytest.mark.parametrize("form", ["kv", "", "TEXT"])
def test_another_form_than_text_or_lora_is_refused(check, cube, form):
    with pytest.raises(InvalidField) as caught:
        check(cube(), form=form)
    assert caught.value.field == "injections[0].form"


def test_a_payload_of_another_model_is_refused_with_what_differs(cube):
    made = kv(replace(RUNNING, weights_sha256="x", dtype="bfloat16", token_ids_sha256="ids"))
    with pytest.raises(IncompatiblePayload) as caught:
        check_identity(cube(kind=Kind.ACTIVATION, payload=made), RUNNING)
    assert caught.value.metadata["fields"] == "weights_sha256,dtype"


def test_too_many_injections_are_refused(check, cube):
    with pytest.raises(LimitExceeded):
        check(*[cube()] * (limits.BATCH_ITEMS + 1))


def test_texts_have_a_number_and_a_size():
    check_texts(["a"] * limits.BATCH_ITEMS)
    with pytest.raises(LimitExceeded):
        check_texts(["a"] * (limits.BATCH_ITEMS + 1))
    with pytest.raises(LimitExceeded) as caught:
        check_texts(["a", "ä" * limits.TEXT_BYTES])
    assert caught.value.field == "texts[1]"


@pytest.mark.parametrize("texts", [[], [""], ["a", " \n"]])
def test_nothing_cannot_be_embedded(texts):
    with pytest.raises(MissingField):
        check_texts(texts)


async def test_an_empty_text_and_the_line_of_the_longest_memory_can_be_counted():
    count = CountTokens(EchoEngine())
    assert await count(["", "x" * limits.LINE_BYTES]) == [0, 1]
    with pytest.raises(LimitExceeded) as caught:
        await count(["x" * (limits.LINE_BYTES + 1)])
    assert caught.value.metadata["limit"] == str(limits.LINE_BYTES)


USER, ASSISTANT = Turn(Role.USER, "Where?"), Turn(Role.ASSISTANT, "")


def test_turns_end_with_the_user_and_an_earlier_answer_may_be_empty():
    check_turns([USER, ASSISTANT, USER])
    with pytest.raises(InvalidField):
        check_turns([USER, ASSISTANT])


@pytest.mark.parametrize("turns", [[], [Turn(Role.USER, "  ")]])
def test_a_question_is_required(turns):
    with pytest.raises(MissingField):
        check_turns(turns)


@pytest.mark.parametrize("turns", [[USER] * 65, [Turn(Role.USER, "a" * 16_385)]])
def test_turns_have_a_number_and_a_size(turns):
    with pytest.raises(LimitExceeded):
        check_turns(turns)


@pytest.mark.parametrize("value", ["system", "", "User", "tool"])
def test_a_caller_speaks_for_user_and_assistant_alone(value):
    with pytest.raises(InvalidField):
        parse_role(value, field="turns[0].role")


def test_no_number_of_tokens_means_the_default():
    assert sampling(0, 0.0).max_tokens == limits.CHAT_TOKENS_DEFAULT


@pytest.mark.parametrize("temperature", [-0.1, 2.1, math.nan, math.inf])
def test_a_temperature_out_of_range_is_refused(temperature):
    with pytest.raises(InvalidField):
        sampling(1, temperature)


def test_tokens_out_of_range_are_refused():
    with pytest.raises(InvalidField):
        sampling(-1, 0.0)
    with pytest.raises(LimitExceeded):
        sampling(limits.CHAT_TOKENS + 1, 0.0)
