"""Options that more than one command has."""

from pathlib import Path
from typing import Annotated

import typer

from memosctl.inputs import Sort, Status

VaultsOption = Annotated[
    list[str] | None,
    typer.Option("--vault", "-v", metavar="NAME", help="Vault to read; repeatable. Default: all you may read."),
]
TargetVaultOption = Annotated[str, typer.Option("--vault", "-v", metavar="NAME", help="Vault to write to.")]
LabelOption = Annotated[list[str] | None, typer.Option("--label", "-l", metavar="KEY=VALUE", help="Label; repeatable.")]
SortOption = Annotated[list[Sort] | None, typer.Option("--type", help="Sort of content; repeatable.")]
StatusOption = Annotated[list[Status] | None, typer.Option("--state", help="State; repeatable.")]
SpeakerOption = Annotated[list[str] | None, typer.Option("--speaker", help="Who said it; repeatable.")]
SessionOption = Annotated[list[str] | None, typer.Option("--session", help="Conversation; repeatable.")]
AfterOption = Annotated[str | None, typer.Option("--after", metavar="TIME", help="Said at this time or later.")]
BeforeOption = Annotated[str | None, typer.Option("--before", metavar="TIME", help="Said before this time.")]
ValidOption = Annotated[
    str | None, typer.Option("--valid-at", metavar="TIME", help="Facts that hold in the world at this time.")
]
AsOfOption = Annotated[
    str | None, typer.Option("--as-of", metavar="TIME", help="What was known at this time, such as 2d (ago).")
]
TimeZoneOption = Annotated[
    str | None,
    typer.Option("--time-zone", metavar="ZONE", help="Zone of times such as `last Tuesday`. Default: this machine's."),
]
PageSizeOption = Annotated[int, typer.Option("--page-size", min=1, max=1000, help="Most rows.")]
PageTokenOption = Annotated[str, typer.Option("--page-token", help="Token of the previous page.", show_default=False)]
EtagOption = Annotated[str, typer.Option("--etag", help="Only if the cube has this etag.", show_default=False)]
RequestIdOption = Annotated[str, typer.Option("--request-id", help="Makes a repeated call safe.")]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="TOML file (MEMOS_CONFIG).", show_default=False)
]
