"""Which model a derived payload fits. Any difference is a refusal that names the fields."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class CompatibilityIdentity:
    """Everything that must be equal between the maker's model and the user's. See the contract for each field."""

    model: str
    weights_sha256: str
    tokenizer_sha256: str
    chat_template_sha256: str
    rope_config: str
    dtype: str
    quantization: str
    token_ids_sha256: str
    adapter: str


def differing_fields(made_with: CompatibilityIdentity, running: CompatibilityIdentity) -> tuple[str, ...]:
    """Return the names of the fields that differ or are empty on the maker's side.

    `token_ids_sha256` belongs to the payload, not to the model, and is not compared.
    """
    return tuple(
        item.name
        for item in fields(CompatibilityIdentity)
        if item.name != "token_ids_sha256"
        and (not getattr(made_with, item.name) or getattr(made_with, item.name) != getattr(running, item.name))
    )
