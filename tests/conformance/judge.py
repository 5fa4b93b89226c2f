"""What spans say, held against what is true: one cell of the table. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from conformance import bodies
from conformance.shapes import Truth
from otel_llm.calls import Call

GOOD = "ok"
FIRST_CHUNK = "first chunk, not token"

_SAME = {
    "stop": {"stop", "end_turn"},
    "end_turn": {"stop", "end_turn"},
    "completed": {"stop", "completed"},
    "tool_use": {"tool_use", "tool_call", "tool_calls"},
    "tool_calls": {"tool_call", "tool_calls"},
    "refusal": {"refusal", "content_filter"},
    "safety": {"safety", "content_filter"},
    "complete": {"complete", "stop"},
    "tool_call": {"tool_call", "tool_calls"},
}
"""Words that tell the same end, in lower case: the server's, and what the conventions make of it."""

_CLOCK = 0.002
"""Two clocks, and the way from one process to the other [s]."""


def judge(spans: Sequence[Mapping[str, Any]], true: Truth) -> str:
    """`GOOD`, or what is missing and what is wrong, in words that a repeated run would use again.

    Args:
        spans: What one cell's program left: ``status``, ``duration`` [s], ``attributes``.
        true: What happened.
    """
    told = [(Call.from_attributes(span["attributes"]), span) for span in spans]
    calls = [(call, span) for call, span in told if call is not None]
    if not calls:
        return "no span"
    faults = list(_faults(calls, true))
    return ", ".join(faults) or GOOD


def _faults(calls: list[tuple[Call, Mapping[str, Any]]], true: Truth) -> Iterator[str]:
    attempts = max(len(calls), *(1 + (call.resend_count or 0) for call, _ in calls))
    if attempts < true.attempts:
        yield f"{attempts} of {true.attempts} attempts"
    if len(calls) > true.attempts:
        yield f"{len(calls)} spans for {true.attempts} attempt{'s' if true.attempts > 1 else ''}"
    if true.retry_after is not None and not any(call.retry_after for call, _ in calls):
        yield "no `Retry-After`"
    call, span = calls[-1]
    yield from _judge_request(call, true)
    yield from _judge_outcome(call, span, true)
    yield from _judge_tokens(call, true)
    yield from _judge_times(call, span, true)
    yield from _judge_finish(call, true)


def _judge_request(call: Call, true: Truth) -> Iterator[str]:
    if call.operation != true.operation:
        yield f"operation `{call.operation}`"
    if call.request_model != bodies.MODEL:
        yield "no model" if call.request_model is None else f"model `{call.request_model}`"


def _judge_outcome(call: Call, span: Mapping[str, Any], true: Truth) -> Iterator[str]:
    """The outcome told; where none is, what the status means to whoever counts errors."""
    failed = span["status"] == "ERROR"
    said = call.outcome or ("error" if failed else "completed")
    if said != true.outcome:
        yield f"told as {said}"
    elif failed != (true.outcome == "error"):
        yield f"status {span['status']}"
    if true.outcome == "error" and said == "error":
        if call.error_type is None:
            yield "no error type"
        if true.status is not None and true.status >= 400 and call.status_code is None:
            yield "no status code"


def _judge_tokens(call: Call, true: Truth) -> Iterator[str]:
    marked = call.usage_source == "estimated"
    if true.tokens is None:
        if call.output_tokens is None and true.countable:
            yield "no tokens"
        elif call.output_tokens is not None and not marked:
            yield "output tokens that nobody counted"
        return
    said = (call.input_tokens, call.output_tokens)
    if said == (None, None):
        yield "no tokens"
    elif said != true.tokens or marked:
        yield f"tokens {_number(said[0])}/{_number(said[1])} for {_number(true.tokens[0])}/{_number(true.tokens[1])}"
    if said != (None, None):
        yield from _judge_part("cached", call.cache_read_input_tokens, true.cached)
        yield from _judge_part("reasoning", call.reasoning_output_tokens, true.reasoning)


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _judge_part(name: str, said: int | None, true: int | None) -> Iterator[str]:
    if true is not None and said is None:
        yield f"no {name} tokens"
    elif true is not None and said != true:
        yield f"{name} tokens {said} for {true}"


def _judge_times(call: Call, span: Mapping[str, Any], true: Truth) -> Iterator[str]:
    if span["duration"] < true.lasts - _CLOCK:
        yield "ends before the answer"
    first = call.time_to_first_token
    if true.first_token is None:
        if first is not None:
            yield "a first token where none came"
    elif first is None:
        yield "no first token" if call.time_to_first_chunk is None else FIRST_CHUNK
    elif not true.first_token - _CLOCK <= first <= span["duration"] + _CLOCK:
        yield "wrong first token"


def _judge_finish(call: Call, true: Truth) -> Iterator[str]:
    said = call.finish_reasons or ()
    if not true.finish:
        return
    if not said:
        yield "no finish reason"
    elif len(said) != len(true.finish):
        yield f"{len(said)} of {len(true.finish)} finish reasons"
    elif any(
        one.lower() not in _SAME.get(word.lower(), {word.lower()}) for one, word in zip(said, true.finish, strict=True)
    ):
        yield f"finish reason `{said[0]}` for `{true.finish[0]}`"
