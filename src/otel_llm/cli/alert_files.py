"""``otel-llm alerts check|test|export|reload``: rule files. Cli storey."""

import os
from pathlib import Path
from typing import Final

import click
import msgspec

from otel_llm import config
from otel_llm.alert import export as exports
from otel_llm.alert.exposition import Names
from otel_llm.alert.rehearsal import Rehearsal, TestFileError
from otel_llm.alert.rule import Rule
from otel_llm.alert.schema import interpret, shipped
from otel_llm.cli import options, output
from otel_llm.cli.alert_rules import in_force, sound, tell
from otel_llm.cli.glossary import TERMS
from otel_llm.document import Document, read

_FILE: Final = click.Path(path_type=Path)


@click.command(cls=options.Command)
@click.argument("file", required=False, type=_FILE)
@options.json_option
@click.pass_context
def check(ctx: click.Context, *, file: Path | None, as_json: bool) -> None:
    """Print one line for each fault of rule FILE, or of the rules in force; exit code 2 if there is any.

    A line is FILE:LINE: KEY: expected ..., found ... (did you mean ...?). What Prometheus would do otherwise than the
    engine, or could not do at all, goes to stderr and is no fault.
    """
    found = in_force(file)
    if as_json:
        output.print_json([msgspec.structs.asdict(fault) for fault in found.faults])
    else:
        for fault in found.faults:
            click.echo(fault)
    if found.faults:
        ctx.exit(options.USAGE)
    own = {Path(document.name) for document in found.documents if file is None or document.name == str(file)}
    mine = [rule for rule in found.rules if Path(rule.where.rpartition(":")[0]) in own]
    exported = exports.to_prometheus(mine, "otlp", units())
    for fault in exported.faults:
        click.echo(f"note: not for Prometheus: {fault}", err=True)
    if file is not None:
        for warning in exported.warnings:
            click.echo(f"note: in Prometheus: {warning}", err=True)
    click.echo(f"ok: {len(found.rules)} rules", err=True)


@click.command(cls=options.Command)
@click.argument("files", metavar="FILE...", required=True, nargs=-1, type=_FILE)
def test(*, files: tuple[Path, ...]) -> None:
    """Run the unit tests of rules in FILE; exit code 1 if one fails, 2 if a file is at fault.

    FILE names rule_files (relative to itself) and tests: calls and gauges as series over time, and which alerts fire
    when. The rules are judged by the engine's own code with a clock that the test moves.
    """
    failed = 0
    for file in files:
        try:
            rehearsal = Rehearsal(read(file))
            count, failures = rehearsal.run(_rules(rehearsal, file.parent))
        except TestFileError as wrong:
            tell([wrong.fault])
            return
        for failure in failures:
            click.echo(output.clean_lines(str(failure)))
        failed += len(failures)
        click.echo(f"{file}: {count - len(failures)} of {count} expectations met", err=True)
    if failed:
        raise click.exceptions.Exit(options.ERROR)


@click.command(cls=options.Command)
@click.argument("file", required=False, type=_FILE)
@click.option("--to", type=click.Choice(("prometheus", "alertmanager")), required=True, help="Who is to read it.")
@click.option(
    "--names",
    type=click.Choice(("otlp", "exporter")),
    default="otlp",
    show_default=True,
    help="Names of metrics as Prometheus' OTLP receiver and the Collector make them, or as the Python exporter does.",
)
@click.option("--partial", is_flag=True, help="Leave out rules that Prometheus cannot judge.")
def export(*, file: Path | None, to: str, names: Names, partial: bool) -> None:
    """Print the rules of FILE over the shipped ones, or the rules in force, for Prometheus or Alertmanager.

    A rule that could never fire there is an error, exit code 1; what will be a little different goes to stderr.
    """
    found = sound(file)
    said = exports.to_alertmanager(found) if to == "alertmanager" else _prometheus(found.rules, names)
    for fault in said.faults:
        click.echo(fault, err=True)
    if said.faults and not partial:
        raise click.exceptions.Exit(options.ERROR)
    for warning in said.warnings:
        click.echo(f"note: {warning}", err=True)
    click.echo(said.text, nl=False)


@click.command(cls=options.Command)
def reload() -> None:
    """Have every process take up the rule file anew, if it has no fault; exit code 2 if it has.

    Processes look at the file each second and take it up when it changed; this marks it as changed.
    """
    rules = config.load().settings.alerts.rules
    if rules is None:
        message = "no rule file is set (alerts.rules, OTEL_LLM_ALERTS_RULES); the shipped rules do not change"
        raise options.Failure(message)
    found = sound(None)
    try:
        os.utime(rules)
    except OSError as error:
        message = f"{rules}: expected a file that can be touched, found: {error.strerror}"
        raise options.Failure(message) from error
    click.echo(f"ok: {len(found.rules)} rules, taken up within a second", err=True)


COMMANDS: Final = (check, test, export, reload)


def units() -> dict[str, str]:
    """UCUM units of metrics, by name."""
    return {term.name: term.unit for term in TERMS if term.kind == "metric" and term.unit}


def _prometheus(rules: tuple[Rule, ...], names: Names) -> exports.Exported:
    return exports.to_prometheus(rules, names, units())


def _rules(rehearsal: Rehearsal, folder: Path) -> tuple[Rule, ...]:
    documents: list[Document] = [shipped()] if rehearsal.shipped or not rehearsal.rule_files else []
    documents += [read(folder / name, name=str(folder / name)) for name in rehearsal.rule_files]
    found = interpret(documents)
    tell(found.faults)
    return found.rules
