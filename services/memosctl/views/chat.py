"""What an answer was made from: the memories in the prompt, and the times."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from memosctl.names import short
from memosctl.views.tables import table
from memosctl.views.text import content, excerpt, milliseconds, said

if TYPE_CHECKING:
    from memos_api.v1.chat_service_pb2 import ChatEnd, ChatPlan

_STAGES = ("plan", "first_token", "generate", "record", "total")


def used(plan: "ChatPlan") -> RenderableType:
    """Return the memories that entered the prompt, with the reason for each."""
    if not plan.chosen:
        return Text("no memory was used", style="yellow")
    rows = [
        (short(item.cube.name), item.form, said(item.cube), Text(excerpt(content(item.cube))), Text(item.reason))
        for item in plan.chosen
    ]
    for cache in plan.caches:
        what = Text(f"KV cache of {cache.tokens} tokens", style="dim")
        rows.append((short(cache.cube.name), cache.form, "", what, Text(cache.reason)))
    told = table("cube form said text why", rows)
    if not plan.estimated_ms:
        return told
    return Group(told, Text(f"first token expected after {milliseconds(plan.estimated_ms)}", style="dim"))


def footer(end: "ChatEnd") -> RenderableType:
    """Return model, tokens, times and name of an answer."""
    near = f", {end.approximate_tokens} of them approximate" if end.approximate_tokens else ""
    cached = f" ({end.cached_tokens} from a KV cache{near})" if end.cached_tokens else ""
    tokens = f"{end.prompt_tokens}{cached} + {end.completion_tokens} tokens"
    line = f"{end.model}, {tokens}, {timings(end.timings_ms)}"
    return Group(Text(line, style="dim"), Text(f"answers/{short(end.answer)}", style="dim"))


def timings(values: Mapping[str, float]) -> str:
    """Return the times by stage, in the order in which they pass."""
    return ", ".join(f"{stage.replace('_', ' ')} {milliseconds(values[stage])}" for stage in _STAGES if stage in values)
