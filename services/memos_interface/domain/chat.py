"""Values of the chat loop: what the caller asks, the plan, the generation, the events of the answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from memos_interface.domain.question import MemoryCall, Turn
from memos_interface.domain.reader import Message, check_role
from memos_interface.domain.search import CubeFilter
from memos_kernel import limits
from memos_kernel.cube import MemCube
from memos_kernel.errors import InvalidField, LimitExceeded, MissingField
from memos_kernel.forms import MemoryForm
from memos_kernel.names import VaultName
from memos_kernel.text import check_plain, check_text
from memos_kernel.time_zones import zone_of

_HOTTEST = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatQuestion:
    """A caller's request; see ChatRequest of the contract for each field."""

    messages: Sequence[Message]
    vaults: tuple[VaultName, ...] = ()
    remember_in: VaultName | None = None
    session: str = ""
    max_tokens: int = 0
    temperature: float = 0.0
    memory_token_budget: int = 0
    filter: CubeFilter | None = None
    form: MemoryForm = MemoryForm.AUTO
    time_zone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMemory:
    """A memory and what the scheduler decided about it."""

    cube: MemCube
    form: str
    reason: str
    score: float
    tokens: int
    estimated_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which memories reach the model, in prompt order, and the best of those that do not.

    Attributes:
        caches: KV caches of some of them.
        adapter: LoRA adapter that knows those whose form is `lora`.
        estimated_ms: from the start of the model's work to the first token; 0 if it is not known how fast it reads.
    """

    name: str
    call: MemoryCall
    chosen: tuple[PlannedMemory, ...] = ()
    rejected: tuple[PlannedMemory, ...] = ()
    degraded: bool = False
    caches: tuple[PlannedMemory, ...] = ()
    adapter: PlannedMemory | None = None
    estimated_ms: float = 0.0

    @property
    def used(self) -> tuple[PlannedMemory, ...]:
        """What the answer is made with: the memories, and what stands in for their words."""
        return (*self.chosen, *self.caches, *([self.adapter] if self.adapter is not None else []))


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class CacheRefusal:
    """A KV cache or adapter that was not used: its cube, and reason and message of the error it would have been."""

    cube: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationEnd:
    """How a generation ended.

    Attributes:
        first_token_ms: from the start of the model's work to the first token.
        cached_tokens: tokens of the prompt that were not read, for a KV cache has what reading them gives.
        approximate_tokens: those of them that a cache had read behind other words.
        refusals: caches whose memories were read as text.
    """

    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    model: str
    first_token_ms: float = 0.0
    cached_tokens: int = 0
    approximate_tokens: int = 0
    refusals: tuple[CacheRefusal, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatEnd:
    """The end of an answer, after everything about it is durable. Times are milliseconds by stage."""

    answer: str
    text: str
    generation: GenerationEnd
    recorded: tuple[str, ...]
    timings_ms: Mapping[str, float]


ChatEvent = Plan | Delta | ChatEnd


def check_question(question: ChatQuestion) -> tuple[Turn, ...]:
    """Refuse a question that cannot be answered; return its turns.

    Raises:
        MissingField, LimitExceeded, InvalidField: by field.
    """
    if not question.messages:
        raise MissingField("Give at least one message.", field="messages")
    _at_most(len(question.messages), limits.CHAT_MESSAGES, field="messages", unit="messages")
    _at_most(len(question.vaults), limits.SEARCH_VAULTS, field="vaults", unit="vaults")
    _at_most(question.max_tokens, limits.CHAT_TOKENS, field="max_tokens", unit="tokens")
    for field in ("max_tokens", "memory_token_budget"):
        if getattr(question, field) < 0:
            raise InvalidField(f"{field} is negative.", field=field)
    if not 0 <= question.temperature <= _HOTTEST:  # refuses NaN too
        raise InvalidField(f"temperature is {question.temperature}; it goes from 0 to 2.", field="temperature")
    zone_of(question.time_zone)
    check_plain(question.session, field="session", limit=limits.SOURCE_FIELD_BYTES)
    return tuple(_turn(message, index, len(question.messages)) for index, message in enumerate(question.messages))


def _turn(message: Message, index: int, count: int) -> Turn:
    field = f"messages[{index}]"
    role = check_role(message.role, field=f"{field}.role")
    if role not in ("user", "assistant"):
        raise InvalidField(f"{field}.role is {role!r}; a chat takes `user` and `assistant`.", field=f"{field}.role")
    last = index == count - 1
    if last and role != "user":
        raise InvalidField(f"{field}.role is {role!r}; the last message must be the user's.", field=f"{field}.role")
    check_text(message.text, field=f"{field}.text", limit=limits.QUERY_BYTES if last else limits.TEXT_BYTES)
    return Turn(role, message.text)


def _at_most(value: int, limit: int, *, field: str, unit: str) -> None:
    if value > limit:
        raise LimitExceeded(
            f"{field} is {value}; the limit is {limit} {unit}.", field=field, limit=str(limit), unit=unit
        )
