"""All about one call, for ``otel-llm calls show``: head, timeline, attempts, facts, links, events. Cli storey."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from otel_llm import semconv
from otel_llm.calls import ATTRIBUTES, Call
from otel_llm.cli import content, output, timeline
from otel_llm.cli.cells import Attempt
from otel_llm.cli.table import Column, print_table
from otel_llm.store.query import NotFoundError, Reader

_SECONDS: Final = frozenset(
    {
        semconv.RESPONSE_TIME_TO_FIRST_CHUNK,
        semconv.TIME_TO_FIRST_TOKEN,
        semconv.TIME_PER_OUTPUT_TOKEN,
        semconv.STREAM_MAX_GAP,
        semconv.ATTEMPT_BACKOFF,
        semconv.RETRY_AFTER,
        semconv.CONNECTION_WAIT,
        semconv.SERVER_QUEUE_TIME,
        semconv.SERVER_PREFILL_TIME,
        semconv.SERVER_DECODE_TIME,
        semconv.QUEUE_WAIT,
    }
)
_ORDER: Final = {attribute: place for place, attribute in enumerate(ATTRIBUTES.values())}
_WIDEST: Final = 100
"""[characters] of a timeline: wider bars are not easier to read."""
_LONGEST: Final = 2_000
"""[characters] of a value on a terminal; captured prompts are longer, and ``--json`` has them whole."""
_ATTEMPTS: Final = (
    Column(title="ATTEMPT"),
    Column(title="TIME"),
    Column(title="STATUS", shrink=12),
    Column(title="DURATION", right=True),
    Column(title="BACKOFF BEFORE", right=True, rank=2),
    Column(title="ERROR", rank=3, shrink=12),
    Column(title="SPAN"),
)


def attempts_of(store: Reader, attempt: Attempt) -> list[Attempt]:
    """All attempts of the call that ``attempt`` belongs to, as far as links tell, oldest first.

    Earlier ones are found by link wherever they are; later ones in the same trace.
    """
    known = {
        span.span_id: Attempt.of(span) for span in store.trace(attempt.span.trace_id) if _is_inference(span.attributes)
    }
    known[attempt.span.span_id] = attempt
    chain = {attempt.span.span_id}
    waiting = [attempt]
    while waiting:
        for linked in _linked_ids(waiting.pop()):
            if linked not in known:
                try:
                    known[linked] = Attempt.of(store.show(linked))
                except NotFoundError:
                    continue
            if linked not in chain:
                chain.add(linked)
                waiting.append(known[linked])
    grown = True
    while grown:
        later = [i for i, other in known.items() if i not in chain and chain.intersection(_linked_ids(other))]
        chain.update(later)
        grown = bool(later)
    return sorted((known[i] for i in chain), key=lambda other: other.span.start_time_unix_nano)


def print_call(console: Console, attempt: Attempt, attempts: list[Attempt]) -> None:
    """Print all of ``attempt``; ``attempts`` are those of its call, itself among them."""
    wide = output.unwrapped(console)
    _print_head(console, attempt)
    console.print()
    width = _WIDEST if wide else min(console.width, _WIDEST)
    for line in timeline.draw(attempt, width, ascii_only=wide or not _prints_blocks(console)):
        line.rstrip()
        console.print(line, soft_wrap=True)
    if len(attempts) > 1:
        _title(console, f"Attempts of this call: {len(attempts)}")
        print_table(
            console, _ATTEMPTS, [_attempt_row(other, place, attempt) for place, other in enumerate(attempts, 1)]
        )
    _title(console, "Facts")
    _print_pairs(console, _facts(attempt))
    for title, pairs in content.told(attempt.span.attributes):
        _title(console, title)
        _print_pairs(console, pairs)
    _print_links(console, attempt, attempts)
    if attempt.span.events:
        _title(console, "Events")
        _print_pairs(console, [_event(event, attempt) for event in attempt.span.events])


def _print_head(console: Console, attempt: Attempt) -> None:
    span, call = attempt.span, attempt.call
    how = attempt.status if not attempt.failed else Text(_error(attempt), style="red")
    duration = Text(output.duration(span.duration), style="bold")
    head = Text(" · ").join([Text(output.clean(span.name), style="bold"), how, duration])
    server = call.server_address and output.clean(call.server_address)
    port = f":{call.server_port}" if call.server_port else ""
    models = [output.clean(model) for model in (call.request_model, call.response_model) if model]
    where = [
        f"POST {server}{port}" if server else None,
        None if span.name.startswith(call.operation) else output.clean(call.operation),
        " → ".join(dict.fromkeys(models)) or None,
        attempt.provider if call.provider else None,
        f"service {attempt.service}",
    ]
    begun = f"{output.date(span.start_time_unix_nano)} {output.clock(span.start_time_unix_nano)}"
    console.print(head, soft_wrap=True)
    console.print(Text(" · ".join(part for part in where if part)), soft_wrap=True)
    console.print(Text(f"{begun} · span {span.span_id} · trace {span.trace_id}", style="dim"), soft_wrap=True)
    if span.status_message:
        console.print(Text(output.clean(span.status_message), style="red"), soft_wrap=True)


def _error(attempt: Attempt) -> str:
    """``429 rate_limit_exceeded`` or ``ConnectError``."""
    parts = (attempt.call.error_type or "error", attempt.call.error_code)
    return output.clean(" ".join(dict.fromkeys(part for part in parts if part)))


def _attempt_row(other: Attempt, place: int, shown: Attempt) -> list[str | Text]:
    number = f"{(other.call.resend_count or place - 1) + 1}"
    here = other.span.span_id == shown.span.span_id
    return [
        Text(f"{number} (this)", style="bold") if here else number,
        output.clock(other.span.start_time_unix_nano),
        other.status,
        output.duration(other.span.duration),
        output.duration(other.call.backoff),
        output.clean(other.call.error_code or output.ABSENT),
        other.span.span_id,
    ]


def _facts(attempt: Attempt) -> list[tuple[str, str]]:
    """Every attribute but content, those of the call in the order of its record, then the others by name."""
    names = sorted(
        attempt.span.attributes.keys() - content.TITLES.keys(), key=lambda name: (_ORDER.get(name, len(_ORDER)), name)
    )
    return [(name, _fact(attempt, name, attempt.span.attributes[name])) for name in names]


def _fact(attempt: Attempt, name: str, value: Any) -> str:
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    if number is not None and name in _SECONDS:
        return output.duration(number)
    if isinstance(value, int) and number is not None and name.endswith("_tokens"):
        return f"{attempt.tokens(value) if name.startswith('gen_ai.usage.') else output.count(value)} tokens"
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(item) for item in value)
    return output.clean(value)


def _event(event: Mapping[str, Any], attempt: Attempt) -> tuple[str, str]:
    """When after the start of the call, and what; a stack trace is for ``--json``."""
    moment = event.get("time_unix_nano")
    after = "" if moment is None else "+" + output.duration((moment - attempt.span.start_time_unix_nano) / 1e9)
    attributes = event.get("attributes") or {}
    said = ", ".join(
        f"{output.clean(key)}={_text(value)}" for key, value in attributes.items() if key != "exception.stacktrace"
    )
    return after, f"{output.clean(event.get('name', ''))} {said}".strip()


def _print_links(console: Console, attempt: Attempt, attempts: list[Attempt]) -> None:
    """Links to attempts of the same call are told as such; others lead elsewhere."""
    siblings = {other.span.span_id for other in attempts}
    links = list(attempt.span.links)
    if not links:
        return
    _title(console, "Links")
    pairs = [
        (
            "previous attempt" if link["span_id"] in siblings else "link",
            f"span {output.clean(link['span_id'])} · trace {output.clean(link['trace_id'])}",
        )
        for link in links
    ]
    _print_pairs(console, pairs)


def _print_pairs(console: Console, pairs: list[tuple[str, str]]) -> None:
    """Names left, values right; on a terminal a long value wraps under itself."""
    indent = max((len(name) for name, _ in pairs), default=0) + 2
    for name, value in pairs:
        label = Text(output.clean(name).ljust(indent), style="dim")
        for line in _lines(console, value, indent):
            console.print(Text.assemble(label, line), soft_wrap=True)
            label = Text(" " * indent)


def _lines(console: Console, value: str, indent: int) -> Iterator[str]:
    if output.unwrapped(console):
        yield value
        return
    if len(value) > _LONGEST:
        value = f"{value[:_LONGEST]}… ({output.count(len(value))} characters; --json has all)"
    yield from textwrap.wrap(value, max(20, console.width - indent)) or [""]


def _title(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, style="bold"), soft_wrap=True)


def _linked_ids(attempt: Attempt) -> set[str]:
    """The spans of earlier attempts that ``attempt`` links to; only a resend links to its kind."""
    return {link["span_id"] for link in attempt.span.links} if attempt.call.resend_count else set()


def _is_inference(attributes: Mapping[str, Any]) -> bool:
    return Call.from_attributes(attributes) is not None


def _prints_blocks(console: Console) -> bool:
    return console.encoding.lower().startswith("utf")
