"""The reference pages: the command line as typer knows it, and every config key as its model describes it."""

from __future__ import annotations

import json
import textwrap
from itertools import groupby
from typing import Any

import typer.main

from syncdiff.cli import app
from syncdiff.config import Config
from tools.docs.results import listing

BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<", "multipleOf": "multiple of"}


def command_line() -> str:
    """Every subcommand with its arguments and options, under the headings that `syncdiff --help` has."""
    commands = typer.main.get_command(app).commands.items()  # type: ignore[attr-defined]
    parts = []
    for panel, group in groupby(commands, lambda item: item[1].rich_help_panel):
        parts += [f"## {panel}", *_commands(dict(group), "syncdiff")]
    return "\n\n".join(parts)


def _commands(commands: dict[str, Any], path: str) -> list[str]:
    found = []
    for name, command in commands.items():
        own = f"{path} {name}"
        found += _commands(command.commands, own) if hasattr(command, "commands") else [_command(command, own)]
    return found


def _command(command: Any, path: str) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    usage = " ".join([path, *(_argument(p) for p in arguments), *(["[OPTIONS]"] if options else [])])
    parts = [f"### {path}", f"```\n{usage}\n```", textwrap.fill(" ".join((command.help or "").split()), 120)]
    if options:
        parts.append(listing(["option", "default", "meaning"], [_option(p) for p in options]))
    return "\n\n".join(parts)


def _argument(parameter: Any) -> str:
    name = parameter.name.upper()
    return f"{name}..." if parameter.nargs == -1 else name


def _option(parameter: Any) -> list[str]:
    default = "required" if parameter.required else _default(parameter.default)
    return [f"`{max(parameter.opts, key=len)}`", default, cell(getattr(parameter, "help", None) or "")]


def _default(value: Any) -> str:
    if value is None or value == [] or callable(value):
        return "–"
    return f"`{json.dumps(value) if isinstance(value, bool) else value}`"


def config() -> str:
    """Every key of config.yaml: default, values, meaning; a heading a section."""
    schema = Config.model_json_schema()
    return "\n\n".join(["### At the top", *_section(schema, schema, "")])


def _section(schema: dict[str, Any], section: dict[str, Any], path: str) -> list[str]:
    rows, below = [], []
    for name, key in section["properties"].items():
        inner = schema["$defs"].get(key.get("$ref", "").rpartition("/")[2])
        if inner and "properties" in inner:
            below += [f"### {path}{name}", inner["description"].splitlines()[0]]
            below += _section(schema, inner, f"{path}{name}.")
        else:
            rows.append([f"`{path}{name}`", f"`{json.dumps(key['default'])}`", _values(key), cell(key["description"])])
    return [listing(["key", "default", "values", "meaning"], rows), *below]


def _values(key: dict[str, Any]) -> str:
    choices = key.get("anyOf", [key])
    texts = [_one(choice) for choice in choices]
    return " or ".join(dict.fromkeys(text for text in texts if text))


def _one(choice: dict[str, Any]) -> str:
    if "enum" in choice:
        return ", ".join(f"`{value}`" for value in choice["enum"])
    if choice.get("type") == "array":
        return f"list of {_one(choice['items'])}"
    bounds = [f"{sign} {choice[name]:g}" for name, sign in BOUNDS.items() if name in choice]
    return " ".join(
        [{"object": "mapping"}.get(choice.get("type", ""), choice.get("type", "")), ", ".join(bounds)]
    ).strip()


def cell(text: str) -> str:
    """Return a text as a table's cell can hold it."""
    return " ".join(text.split()).replace("|", "\\|")
