"""Spans as one page of HTML that needs nothing else. Cli storey; every value is escaped, and no script is in it."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

from otel_llm.cli import output
from otel_llm.store.flat import flat
from otel_llm.store.stored import StoredSpan

_HEAD: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>otel-llm export</title>
<style>
:root { color-scheme: light dark; font: 14px/1.4 system-ui, sans-serif; }
table { border-collapse: collapse; }
th, td { padding: 3px 9px; text-align: left; white-space: nowrap; border-bottom: 1px solid #8884; }
th { position: sticky; top: 0; background: Canvas; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
tr.ERROR td { color: #d33; }
</style></head><body><h1>Calls and spans</h1>
<table><thead><tr>"""
_TIMES: Final = ("duration", "time_to_first_token", "time_per_output_token", "queue_wait")
_COUNTS: Final = ("input_tokens", "cache_read_input_tokens", "output_tokens")
_COLUMNS: Final = (
    *("start", "service", "name", "provider", "request_model", "status", "outcome", "error_type"),
    *_COUNTS,
    *_TIMES,
    *("trace_id", "span_id"),
)


def parts(spans: Iterable[StoredSpan]) -> Iterator[str]:
    """The page, piece by piece; its last line tells the number of spans."""
    yield _HEAD + "".join(f"<th>{name.replace('_', ' ')}</th>" for name in _COLUMNS) + "</tr></thead><tbody>\n"
    count = 0
    for span in spans:
        count += 1
        row = flat(span)
        moment = datetime.fromtimestamp(span.start_time_unix_nano // 1_000_000_000, UTC)
        row["start"] = f"{moment:%Y-%m-%d %H:%M:%S}.{span.start_time_unix_nano // 1_000_000 % 1000:03} UTC"
        yield f'<tr class="{row["status"]}">' + "".join(_cell(name, row[name]) for name in _COLUMNS) + "</tr>\n"
    yield f"</tbody></table><p>{output.count(count)} spans.</p></body></html>\n"


def _cell(name: str, value: Any) -> str:
    if name in _TIMES:
        return f'<td class="n">{output.duration(value)}</td>'
    if name in _COUNTS:
        return f'<td class="n">{output.count(value)}</td>'
    return f"<td>{escape(output.clean(value)) if value is not None else output.ABSENT}</td>"
