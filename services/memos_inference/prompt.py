"""The prompt: what the model is told, its memories, the turns. Built here and nowhere else."""

from collections.abc import Sequence

from memos_inference.domain.generation import Prompt, Role, Turn
from memos_kernel.cube import MemCube
from memos_kernel.prompt import memory_line

UNKNOWN = "I do not know."
INSTRUCTION = f'Answer from the memories. Say "{UNKNOWN}" when they do not tell.'
NO_MEMORIES = "(none)"
_BEFORE_LINES = "Memories:"


def system_text(memories: Sequence[MemCube]) -> str:
    """Return the instruction and one line a memory, in the order given."""
    return instructed([memory_line(cube) for cube in memories])


def instructed(lines: Sequence[str]) -> str:
    """Return the instruction and the lines of the memories."""
    return "\n".join((INSTRUCTION, _BEFORE_LINES, *(lines or [NO_MEMORIES])))


def lines_of(text: str) -> list[str]:
    """Return the memory lines of a prompt's beginning, without their dashes."""
    told = text.partition(f"{_BEFORE_LINES}\n")[2].split("\n")
    return [line.removeprefix("- ").strip() for line in told if line.startswith("- ") and line[2:].strip()]


def messages(prompt: Prompt, *, system_role: bool) -> tuple[Turn, ...]:
    """Return the turns that a chat template renders.

    Args:
        prompt: memories and turns; the last turn is of the user.
        system_role: whether the model's template knows a system turn. Without it, the first turn of the user
            begins with what the system turn would hold.
    """
    system = system_text(prompt.memories)
    if system_role:
        return (Turn(Role.SYSTEM, system), *prompt.turns)
    first = next(index for index, turn in enumerate(prompt.turns) if turn.role is Role.USER)
    merged = Turn(Role.USER, f"{system}\n\n{prompt.turns[first].text}")
    return (*prompt.turns[:first], merged, *prompt.turns[first + 1 :])
