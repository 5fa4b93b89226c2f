"""The command ``otel-llm``. Each command is one module, loaded when it is called: ``--help`` imports none of them."""

from importlib import import_module
from typing import Final

import click

_COMMANDS: Final = {
    "alerts": ("otel_llm.cli.alerts", "Show alerts; check, rehearse and export their rules."),
    "calls": ("otel_llm.cli.calls", "List inference calls, or show one with its timeline."),
    "config": ("otel_llm.cli.config", "Show or check the configuration."),
    "db": ("otel_llm.cli.db", "Look after the local store."),
    "doctor": ("otel_llm.cli.doctor", "Find out why nothing, or not everything, is recorded."),
    "explain": ("otel_llm.cli.explain", "Say what a metric or attribute means and how it is measured."),
    "export": ("otel_llm.cli.export", "Write what the store holds as JSON lines, CSV, Parquet, OTLP/JSON or HTML."),
    "import": ("otel_llm.cli.import_", "Read spans of an export, or any OTLP/JSON, into the store."),
    "receive": ("otel_llm.cli.receive", "Take OTLP of other programs into the store."),
    "replay": ("otel_llm.cli.replay", "Send what the store holds to an OTLP backend."),
    "run": ("otel_llm.cli.run", "Run a command instrumented."),
    "sql": ("otel_llm.cli.sql", "Ask the store in SQL, read-only."),
    "summary": ("otel_llm.cli.summary", "Percentiles, tokens and errors over a time range."),
    "system": ("otel_llm.cli.system", "Host, GPUs and model servers: now, and over a time range."),
    "tail": ("otel_llm.cli.tail", "Print calls as they finish."),
    "top": ("otel_llm.cli.top", "Calls and machine on one screen, refreshed."),
}


class _LazyGroup(click.Group):
    """Knows its commands' names and one-line helps without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(_COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="otel-llm", prog_name="otel-llm")
def main() -> None:
    """See how your LLM inference performs: data on stdout, talk on stderr.

    Exit codes: 0 ok, 1 error, 2 usage, 3 no data, 4 a threshold or alert tripped.
    """
