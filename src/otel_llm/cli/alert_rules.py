"""Which alert rules are meant: a file, or those of the configuration. Cli storey."""

from pathlib import Path

import click

from otel_llm import config
from otel_llm.alert import schema
from otel_llm.alert.ruleset import RuleSet
from otel_llm.cli import options
from otel_llm.document import Fault


def in_force(file: Path | None) -> RuleSet:
    """The rules of ``file`` over the shipped ones; of the configuration where there is none."""
    if file is not None:
        return schema.load(file)
    settings = config.load().settings.alerts
    return schema.load(settings.rules, defaults=settings.defaults, webhook=settings.webhook)


def sound(file: Path | None) -> RuleSet:
    """The same, where they have no fault; else the faults go to stderr and the command ends with exit code 2."""
    found = in_force(file)
    tell(found.faults)
    return found


def tell(faults: tuple[Fault, ...] | list[Fault]) -> None:
    """Print faults on stderr; with any, end with exit code 2."""
    for fault in faults:
        click.echo(fault, err=True)
    if faults:
        raise click.exceptions.Exit(options.USAGE)
