"""Text and turns to tokens and back, as a checkpoint's tokenizer and chat template want it."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from jinja2 import TemplateError
from transformers import AutoTokenizer

from memos_inference import prompt as prompts
from memos_inference.adapters.checkpoint import Checkpoint
from memos_inference.domain.composition import shared_length
from memos_inference.domain.generation import Prompt, Role, Turn
from memos_kernel.cube import MemCube, Plaintext
from memos_kernel.errors import DependencyUnavailable, InvalidField

_PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | capitalize }}: {{ message['content'] }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""For base models, which have no template of their own."""
_PROBE = "probe of the system turn"


class ChatTokenizer:
    """Tokenizer of a generating model. Its methods may run in several threads at a time."""

    def __init__(self, tokenizer: Any) -> None:
        """Take a tokenizer of transformers that is backed by the tokenizers library."""
        self._tokenizer = tokenizer
        self._fast = tokenizer.backend_tokenizer
        self._fast.no_padding()
        self._fast.no_truncation()
        if not tokenizer.chat_template:
            tokenizer.chat_template = _PLAIN_TEMPLATE
        specials = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
        self._specials = sorted(specials, key=len, reverse=True)
        self._system_role = self._knows_system()

    @property
    def end_id(self) -> int | None:
        """Token that ends a text."""
        return None if self._tokenizer.eos_token_id is None else int(self._tokenizer.eos_token_id)

    @property
    def longest(self) -> int:
        """Most tokens that the tokenizer says its model takes; very large if it does not say."""
        return int(self._tokenizer.model_max_length)

    @property
    def template_sha256(self) -> str:
        """Hex SHA-256 of the chat template."""
        return hashlib.sha256(str(self._tokenizer.chat_template).encode()).hexdigest()

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """Return the tokens of a prompt, up to where the answer begins.

        Raises:
            InvalidField: the template refuses the turns, for example two of the user in a row.
        """
        try:
            text = self._render(prompts.messages(prompt, system_role=self._system_role))
        except TemplateError as error:
            raise InvalidField(f"The model's chat template refuses the turns: {error}", field="turns") from error
        return list(self._fast.encode(text, add_special_tokens=False).ids)

    def prefix_ids(self, memories: Sequence[MemCube]) -> list[int]:
        """Return the tokens that every prompt begins with whose first memories are these.

        Where they end, a token may reach over into what follows, so those are taken that two prompts share.
        """
        asked, more = Turn(Role.USER, "?"), replace(memories[-1], payload=Plaintext("."))
        alone, followed = (self.prompt_ids(Prompt((asked,), told)) for told in (tuple(memories), (*memories, more)))
        return alone[: shared_length(alone, followed)]

    def told_tokens(self, prompt: Prompt, ids: Sequence[int]) -> int:
        """Return how many of a prompt's tokens come before its first turn, whatever that says.

        Args:
            prompt: the prompt.
            ids: its tokens.
        """
        others = (self.prompt_ids(Prompt((Turn(Role.USER, text),), prompt.memories)) for text in ("?", "A"))
        return min(shared_length(ids, other) for other in others)

    def plain_ids(self, text: str) -> list[int]:
        """Return the tokens of a text, without any that mark a beginning or an end."""
        return list(self._fast.encode(self._neutral(text), add_special_tokens=False).ids)

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""
        plain = [self._neutral(text) for text in texts]
        return [len(item.ids) for item in self._fast.encode_batch(plain, add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, without those that mark turns."""
        return str(self._fast.decode(list(ids), skip_special_tokens=True))

    def _render(self, turns: Sequence[Turn]) -> str:
        messages = [{"role": str(turn.role), "content": self._neutral(turn.text)} for turn in turns]
        return str(self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))

    def _neutral(self, text: str) -> str:
        """Break up the marks of turns in a text, so that no memory or question can end its turn and begin another."""
        for mark in self._specials:
            if mark in text:
                text = text.replace(mark, f"{mark[0]} {mark[1:]}")
        return text

    def _knows_system(self) -> bool:
        try:
            return _PROBE in self._render([Turn(Role.SYSTEM, _PROBE), Turn(Role.USER, "Hello.")])
        except TemplateError:
            return False


def load(checkpoint: Checkpoint) -> ChatTokenizer:
    """Load the tokenizer of a checkpoint.

    Raises:
        DependencyUnavailable: it has none that the tokenizers library can run.
    """
    tokenizer = AutoTokenizer.from_pretrained(checkpoint.folder, local_files_only=True)
    if not getattr(tokenizer, "is_fast", False):
        raise DependencyUnavailable(
            f"The tokenizer of {checkpoint.name} has no fast form; choose another for inference.model.",
            dependency="model",
        )
    return ChatTokenizer(tokenizer)
