"""``otel-llm config``: the settings in force, and what is wrong with them. Cli storey."""

import json
from pathlib import Path
from typing import Any

import click
import msgspec

from otel_llm import config
from otel_llm.cli import options, output
from otel_llm.record.tariff import override


@click.group()
def command() -> None:
    """Show or check the configuration.

    Defaults < YAML file < environment. The file is the one that OTEL_LLM_CONFIG names, else ./otel-llm.yaml, else
    otel-llm/otel-llm.yaml in the user's config folder.
    """


@command.command(cls=options.Command)
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
@options.json_option
def show(*, origin: bool, as_json: bool) -> None:
    """Print the settings in force, as a file that could be used as configuration.

    What is wrong goes to stderr; its place in the output is taken by the value that is used instead.
    """
    loaded = config.load()
    for fault in loaded.faults:
        click.echo(fault, err=True)
    if as_json:
        output.print_json(_tree(loaded, origin=origin))
    else:
        click.echo(_yaml(loaded, origin=origin))


@command.command(cls=options.Command)
@click.argument("file", required=False, type=click.Path(path_type=Path))
@options.json_option
@click.pass_context
def check(ctx: click.Context, *, file: Path | None, as_json: bool) -> None:
    """Print one line for each fault of FILE, or of the file and the environment in force; exit code 2 if there is any.

    The file of prices that it names (`cost.prices`) is checked too.

    A line is FILE:LINE: KEY: expected ..., found ... (did you mean ...?)
    """
    loaded = config.load() if file is None else config.load(path=file, environ={})
    faults = (*loaded.faults, *override(loaded.settings.cost.prices).faults)
    if as_json:
        output.print_json([msgspec.structs.asdict(fault) for fault in faults])
    else:
        for fault in faults:
            click.echo(fault)
    if faults:
        ctx.exit(options.USAGE)
    click.echo(f"ok: {loaded.file or 'no file, defaults'}", err=True)


def _written(value: Any) -> Any:
    """``value`` as it would be written in a file: quantities in their own text, paths as text."""
    text = getattr(value, "text", None)
    if text is not None:
        return text
    return str(value) if isinstance(value, Path) else value


def _tree(loaded: config.Loaded, *, origin: bool) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in loaded.values().items():
        *sections, name = key.split(".")
        leaf, place = _written(value), tree
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = {"value": leaf, "origin": loaded.origins[key]} if origin else leaf
    return tree


def _yaml(loaded: config.Loaded, *, origin: bool) -> str:
    """The settings as YAML. A JSON value is a YAML value, and one line."""
    lines: list[str] = []
    above: list[str] = []
    for key, value in loaded.values().items():
        *sections, name = key.split(".")
        for depth, section in enumerate(sections):
            if sections[: depth + 1] != above[: depth + 1]:
                lines.append(f"{'  ' * depth}{section}:")
        above = sections
        line = f"{'  ' * len(sections)}{name}: {_scalar(value)}"
        lines.append(f"{line:<48}  # {loaded.origins[key]}" if origin else line)
    return "\n".join(lines)


def _scalar(value: Any) -> str:
    text = getattr(value, "text", None)
    return text if text is not None else json.dumps(_written(value), ensure_ascii=False)
