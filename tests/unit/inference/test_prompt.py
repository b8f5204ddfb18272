from memos_inference.domain.generation import Prompt, Role, Turn
from memos_inference.prompt import messages, system_text
from memos_kernel.cube import SourceSpan

QUESTION = Turn(Role.USER, "What colour is it?")
EARLIER = (Turn(Role.USER, "Hello."), Turn(Role.ASSISTANT, "Hello!"))


def test_the_memories_follow_the_instruction_one_a_line_in_the_order_given(cube):
    nora = cube("I have a bicycle.", sources=(SourceSpan(speaker="Nora"),))
    assert system_text([nora, cube("It is red.")]) == (
        'Answer from the memories. Say "I do not know." when they do not tell.\n'
        "Memories:\n"
        "- Nora: I have a bicycle.\n"
        "- It is red."
    )


def test_no_memories_are_said_to_be_none():
    assert system_text([]).endswith("\nMemories:\n(none)")


def test_the_memories_are_the_system_turn_before_the_turns(cube):
    system, *turns = messages(Prompt((*EARLIER, QUESTION), (cube(),)), system_role=True)
    assert system == Turn(Role.SYSTEM, system_text([cube()]))
    assert turns == [*EARLIER, QUESTION]


def test_without_a_system_role_the_first_user_turn_begins_with_the_memories(cube):
    first, *rest = messages(Prompt((*EARLIER, QUESTION), (cube(),)), system_role=False)
    assert first == Turn(Role.USER, f"{system_text([cube()])}\n\nHello.")
    assert rest == [EARLIER[1], QUESTION]


def test_without_a_system_role_an_assistant_turn_before_the_first_user_turn_stays_in_front(cube):
    greeting = Turn(Role.ASSISTANT, "Good morning.")
    assert messages(Prompt((greeting, QUESTION)), system_role=False)[0] == greeting
