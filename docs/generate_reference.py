"""Write ``reference.md`` from the code (commands, settings, attributes, metrics, figures), and the shipped rules.

``python docs/generate_reference.py`` writes both; a test fails while one differs from what this makes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from otel_llm.alert import receiver_keys, schema
from otel_llm.alert.keys import KEYS
from otel_llm.alert.signal import SIGNALS, STATS
from otel_llm.cli import main
from otel_llm.cli.glossary import TERMS, Kind, Term
from otel_llm.config import known

PATH: Final = Path(__file__).with_name("reference.md")
RULES: Final = Path(schema.__file__).parent

_HEAD: Final = """\
# Reference

Made from the code by `python docs/generate_reference.py`; do not edit it here. On the terminal:
`otel-llm COMMAND --help` and `otel-llm explain NAME`.
"""

_SETTINGS: Final = """\
## Settings

Defaults < YAML file < environment < arguments in code. The file is the one that `OTEL_LLM_CONFIG` names, else
`./otel-llm.yaml`, else `otel-llm/otel-llm.yaml` in the platform's folder for user configuration. A dot in the key is a
level in YAML. A value that does not fit is told once and what stood before it holds; the application runs on.
`otel-llm config show --origin` says where each value comes from, `otel-llm config check` what is wrong.

Sizes are written `64KB`, `256MB`, `1GB`; durations `500ms`, `10s`, `5m`, `4h`, `14d`. An empty variable is an unset
one.
"""

_ATTRIBUTES: Final = """\
## Attributes

An attribute that nobody said or measured is absent: never 0, never a guess. Names with `gen_ai.` follow OpenTelemetry's
semantic conventions for generative AI, `server.`, `http.` and `error.` the general ones; `otel_llm.` is ours.
"""

_METRICS: Final = """\
## Metrics

Meter `otel_llm`. Histograms carry operation, provider, models and server; the duration carries `error.type` too.
"""

_EVENTS: Final = """\
## Events

Log records of logger `otel_llm`, stored and exported like all others.
"""

_RULES: Final = """\
## Alert rules

A rule file has `version: 1`, `groups` (`name`, `interval` [duration, 10s], `rules`), `defaults` (the keys from
`repeat_interval` to `max_instances`, for every rule), `receivers`, `route`, and `inhibit` (pairs of `source` and
`target`). A rule has the keys below. Templates are `{{ value }}`, `{{ threshold }}` and `{{ labels.NAME }}`, numbers
also with `| pct`, `| dur` or `| round`.
[Alerts](alerts.md) has examples.
"""

_SIGNALS: Final = """\
### Signals

`metric:NAME` is any gauge by its OpenTelemetry name. The first statistic is the one that a rule means which names none;
a distribution's is `p95`.
"""

_RECEIVERS: Final = """\
## Receivers and routes

`receivers` and `route` of a rule file. A secret stands in an environment variable or a file, read when something is
sent. [Notifications](notifications.md) has examples.
"""

_FIGURES: Final = """\
## Figures of `otel-llm summary`

A span is one HTTP attempt; what an SDK resends on its own is the same call.
"""


def generate() -> str:
    """The whole page."""
    parts = [_HEAD, "## Commands\n", *_commands(main, "otel-llm"), _SETTINGS, *_settings()]
    parts += [_ATTRIBUTES, *_terms("attribute"), _METRICS, *_terms("metric")]
    parts += [_RULES, *_rules(), _SIGNALS, *_signals(), _RECEIVERS, *_receivers()]
    parts += [_EVENTS, *_terms("event"), _FIGURES, *_terms("figure")]
    return "\n".join(parts)


def _receivers() -> Iterator[str]:
    for title, keys in (
        ("A receiver", receiver_keys.RECEIVER),
        ("`webhook`", receiver_keys.WEBHOOK),
        ("`email`", receiver_keys.EMAIL),
        ("`apprise`", receiver_keys.APPRISE),
        ("`route`", receiver_keys.ROUTE),
    ):
        yield f"### {title}\n"
        yield _table(("key", "value", "default", "meaning"), [(f"`{key}`", *said) for key, said in keys.items()])


def _commands(command: click.Command, name: str, above: click.Context | None = None) -> Iterator[str]:
    """A section for ``command``, then one for each below it."""
    with click.Context(command, info_name=name, parent=above) as context:
        usage = " ".join([name, *command.collect_usage_pieces(context)])
        yield f"### `{name}`\n\n```\n{usage}\n```\n\n{_paragraphs(command.help or '')}\n"
        options = [option for option in command.params if isinstance(option, click.Option) and option.name != "help"]
        records = [record for option in options if (record := option.get_help_record(context))]
        if records:
            yield _table(("option", "meaning"), [(f"`{words}`", text) for words, text in records])
        if isinstance(command, click.Group):
            for below in command.list_commands(context):
                child = command.get_command(context, below)
                if child is not None:
                    yield from _commands(child, f"{name} {below}", context)


def _settings() -> Iterator[str]:
    meanings = {term.name: term for term in TERMS}
    rows = []
    for setting in known():
        term = meanings[setting.key]
        meaning = f"{term.meaning} Expects {setting.expected}."
        default = term.absent or "" if setting.default is None else f"`{_written(setting.default)}`"
        rows.append((f"`{setting.key}`", f"`{setting.environment}`", meaning, default))
    yield _table(("key", "variable", "meaning", "default"), rows)
    yield from _terms("variable")


def _rules() -> Iterator[str]:
    yield _table(("key", "value", "default", "meaning"), [(f"`{key}`", *said) for key, said in KEYS.items()])


def _signals() -> Iterator[str]:
    rows = []
    for signal in SIGNALS.values():
        stats = ", ".join(f"`{stat}`" for stat in STATS[signal.kind])
        rows.append((f"`{signal.name}`", f"`{signal.unit}`", stats, signal.meaning))
    yield _table(("signal", "unit", "statistics", "meaning"), rows)


def _terms(kind: Kind) -> Iterator[str]:
    terms = [term for term in TERMS if term.kind == kind]
    rows = [(f"`{term.name}`", f"`{term.unit}`" if term.unit else "", _told(term)) for term in terms]
    yield _table(("name", "unit", "meaning"), rows)


def _told(term: Term) -> str:
    parts = [term.meaning]
    if term.formula:
        parts.append(f"*Formula:* {term.formula}.")
    if term.absent:
        parts.append(f"*Absent when* {term.absent}." if term.kind != "variable" else f"*Unset,* {term.absent}.")
    if term.kind in {"attribute", "metric"}:
        parts.append(f"*From* {term.source}.")
    return " ".join(parts)


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(getattr(value, "text", value))


def _paragraphs(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines() if line.strip() != "\b")


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PATH.write_text(generate(), encoding="utf-8")
    for name, content in schema.rewrite().items():
        (RULES / name).write_bytes(content)
