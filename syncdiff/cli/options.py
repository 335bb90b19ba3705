"""Options that several subcommands share."""

from __future__ import annotations

from typing import Annotated

import typer

from syncdiff.config import known_device

ConfigOption = Annotated[
    str, typer.Option("--config", help="YAML file, or a JSON object inline; keys left out keep their default")
]
WorkersOption = Annotated[int, typer.Option(min=1, help="processes over clips")]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        envvar="SYNCDIFF_DEVICE",
        callback=known_device,
        help="auto (a GPU where there is one), cpu, cuda or cuda:N; by default what the config says",
    ),
]
