"""In which form memories may reach a model."""

from enum import IntEnum


class MemoryForm(IntEnum):
    """What a caller wishes; the numbers are those of the contract's MemoryForm, which says what each means."""

    AUTO = 0
    TEXT = 1
    KV = 2
    LORA = 3
