"""Settings of lifecycle."""

from pydantic import Field

from memos_runtime.config import Section


class LifecycleConfig(Section):
    """Settings of lifecycle."""

    transitions_in_flight: int = Field(
        8, ge=1, le=64, description="Transitions of one call that storage is asked for at the same time."
    )
