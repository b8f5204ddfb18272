"""`memosctl config`."""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memosctl.command import Cli, command
from memosctl.options import ConfigOption

if TYPE_CHECKING:
    from memos_runtime.loading import Key

app = typer.Typer()


@command(app, "config", remote=False)
def config(
    cli: Cli,
    schema: Annotated[bool, typer.Option("--schema", help="Every key with its default, as a Markdown table.")] = False,
    config: ConfigOption = None,
) -> None:
    """Show the effective configuration as TOML, secrets as ***."""
    from memos_runtime.loading import dump, keys
    from memosctl.settings import Settings, load_settings

    if schema:
        known = keys(Settings)
        rows = [
            {"key": key.key, "env": key.env, "default": key.default, "description": key.description} for key in known
        ]
        cli.output.answer(rows, lambda: markdown(known))
        return
    settings = load_settings(file=config, state_dir=cli.state_option)
    effective = {**dump(settings), "state_dir": str(settings.state().root)}
    cli.output.answer(effective, lambda: toml(effective))


def markdown(known: "Iterable[Key]") -> str:
    """Return the keys as a Markdown table."""
    rows = ["| key | environment | default | |", "|---|---|---|---|"]
    for key in known:
        default = f"`{key.default}`" if key.default else ""
        rows.append(f"| `{key.key}` | `{key.env}` | {default} | {key.description.replace('|', chr(92) + '|')} |")
    return "\n".join(rows)


def toml(values: Mapping[str, Any]) -> str:
    """Return a configuration as TOML; what is not set is a comment."""
    top = [_line(key, value) for key, value in values.items() if not isinstance(value, Mapping)]
    sections = []
    for name, section in values.items():
        if isinstance(section, Mapping):
            sections.append("\n".join([f"[{name}]", *(_line(key, value) for key, value in section.items())]))
    return "\n\n".join(["\n".join(top), *sections])


def _line(key: str, value: object) -> str:
    return f"# {key} is not set" if value is None else f"{key} = {_value(value)}"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, Mapping):
        return (
            f"{{ {', '.join(f'{json.dumps(name)} = {_value(item)}' for name, item in value.items())} }}"
            if value
            else "{}"
        )
    return json.dumps(str(value), ensure_ascii=False)
