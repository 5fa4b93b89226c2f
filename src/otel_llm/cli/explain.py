"""``otel-llm explain``: what a name means, how it is measured and when it is absent. Cli storey; reads no store."""

import dataclasses
import textwrap
from typing import Any, Final

import click

from otel_llm.cli import options, output
from otel_llm.cli.glossary import Term, find, names
from otel_llm.config import Setting, known
from otel_llm.document import did_you_mean

_WIDTH: Final = 100
_INDENT: Final = 10


@click.command(cls=options.Command)
@click.argument("name", metavar="METRIC")
@options.json_option
def command(*, name: str, as_json: bool) -> None:
    """Say what METRIC means, how it is measured and when it is absent.

    METRIC is the name of an attribute, a metric, a figure of the summary or a setting, or a word for one, such as ttft,
    tpot, latency, cached, retries or retention.
    """
    term = find(name)
    if term is None:
        hint = did_you_mean(name.lower(), names())
        message = f"METRIC: expected a known name, found {name!r}" + (f" ({hint})" if hint else "")
        raise click.UsageError(message)
    if as_json:
        output.print_json(_document(term))
    else:
        click.echo(_text(term))


def _document(term: Term) -> dict[str, Any]:
    document = {key: value for key, value in dataclasses.asdict(term).items() if value is not None}
    setting = _setting(term)
    if setting is not None:
        document |= {"environment": setting.environment, "expected": setting.expected}
    return document


def _text(term: Term) -> str:
    unit = f" [{term.unit}]" if term.unit else ""
    rows = [("", term.meaning), ("formula", term.formula)]
    setting = _setting(term)
    if setting is not None:
        rows += [("value", setting.expected), ("unset", term.absent), ("variable", setting.environment)]
    elif term.kind == "variable":
        rows.append(("unset", term.absent))
    else:
        rows += [("absent", term.absent and f"when {term.absent}"), ("source", term.source)]
    rows.append(("words", ", ".join(term.words)))
    lines = [f"{term.name}  {term.kind}{unit}"]
    lines += [_row(label, text) for label, text in rows if text]
    return "\n".join(lines)


def _row(label: str, text: str) -> str:
    plain = text.replace("`", "")
    if not label:
        return textwrap.fill(plain, _WIDTH, break_long_words=False, break_on_hyphens=False) + "\n"
    return textwrap.fill(
        plain,
        _WIDTH,
        initial_indent=label.ljust(_INDENT),
        subsequent_indent=" " * _INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _setting(term: Term) -> Setting | None:
    if term.kind != "setting":
        return None
    return next(setting for setting in known() if setting.key == term.name)
