"""Draw up the account of a call that has ended: what was asked, seen and timed becomes one `Call`. Pure.

This is where outcomes are told apart and where a value that nobody measured stays absent.
"""

from typing import Any, Final

import msgspec

from otel_llm import semconv
from otel_llm.calls import Call
from otel_llm.record.exchange import Opening
from otel_llm.record.head import Head
from otel_llm.record.reading import Reading

INCOMPLETE_STREAM: Final = "incomplete_stream"
"""``error.type`` of a stream that ended without the end its format promises: the server was cut off."""

UNNAMED_ERROR: Final = "_OTHER"
"""``error.type`` of an error that names no code (semantic conventions)."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One HTTP attempt, as the client made it. Times are monotonic [s].

    Attributes:
        resend_count: Attempts before this one; ``None`` for the first.
        backoff: Wait since the previous attempt's end [s].
    """

    host: str
    port: int | None
    started_at: float
    resend_count: int | None = None
    backoff: float | None = None


class End(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How and when the shell saw the call end.

    Attributes:
        outcome: ``completed`` (body read to its end), ``abandoned`` (closed), ``cancelled`` or ``error``; ``None``
            where a fault of ours hid it.
        error_type: Class of the exception that ended it.
        at: Monotonic [s].
        sent_at: When the request's head left, after pool, connect and TLS [s]; ``None`` where nobody said.
    """

    outcome: str | None
    at: float
    error_type: str | None = None
    sent_at: float | None = None


def draw_up(opening: Opening, attempt: Attempt, head: Head | None, reading: Reading | None, end: End) -> Call:
    """The call, from what was asked (``opening``), done (``attempt``), answered (``head``, ``reading``) and ended."""
    outcome, error_type = _judge(head, reading, end)
    told: dict[str, Any] = {
        **opening.request,
        "operation": opening.operation,
        "provider": opening.provider,
        "request_model": opening.model,
        "server_address": attempt.host,
        "server_port": attempt.port,
        "outcome": outcome,
    }
    if error_type is not None:
        told["error_type"] = error_type
    if attempt.resend_count is not None:
        told["resend_count"], told["backoff"] = attempt.resend_count, attempt.backoff
    if end.sent_at is not None:
        told["connection_wait"] = max(0.0, end.sent_at - attempt.started_at)
    if head is not None:
        _add_head(told, head)
    if reading is not None:
        _add_reading(told, reading)
        if reading.is_stream:
            _add_times(told, reading, attempt.started_at, end.at)
    return Call(**told)


def _judge(head: Head | None, reading: Reading | None, end: End) -> tuple[str | None, str | None]:
    """Outcome and ``error.type``: what the shell saw, corrected by what the answer says."""
    if end.outcome == semconv.OUTCOME_ERROR:
        return end.outcome, end.error_type or UNNAMED_ERROR
    if head is not None and head.is_error:
        return semconv.OUTCOME_ERROR, str(head.status)
    return (end.outcome, None) if reading is None else _judge_reading(reading, end)


def _judge_reading(reading: Reading, end: End) -> tuple[str | None, str | None]:
    facts = reading.facts
    if facts.failed:
        return semconv.OUTCOME_ERROR, facts.error_code or UNNAMED_ERROR
    if end.outcome == semconv.OUTCOME_ABANDONED and reading.complete:
        # Clients close a body as soon as they have seen its end marker: nothing was left to read.
        return semconv.OUTCOME_COMPLETED, None
    if end.outcome == semconv.OUTCOME_COMPLETED and facts.promised and reading.is_stream and not reading.complete:
        return semconv.OUTCOME_ERROR, INCOMPLETE_STREAM
    return end.outcome, None


def _add_head(told: dict[str, Any], head: Head) -> None:
    head.tell(told)
    if head.input_tokens is not None or head.output_tokens is not None:
        told["usage_source"] = semconv.USAGE_SOURCE_PROVIDER
    if head.provider is not None:
        _name_better(told, head.provider)


def _name_better(told: dict[str, Any], provider: str) -> None:
    """Take a server's own word for who it is, where only the format's default stands: OpenAI's, at another host."""
    if told["provider"] == "openai" and not told["server_address"].endswith(_OPENAI):
        told["provider"] = provider


_OPENAI: Final = ("openai.com", "openai.azure.com")


def _add_reading(told: dict[str, Any], reading: Reading) -> None:
    facts = reading.facts
    if facts.provider is not None:
        _name_better(told, facts.provider)
    facts.tell(told)
    if facts.finish:
        told["finish_reasons"] = tuple([facts.finish[index] for index in sorted(facts.finish)])
    if facts.input_tokens is not None or facts.output_tokens is not None:
        told["usage_source"] = semconv.USAGE_SOURCE_PROVIDER
    elif _may_be_estimated(told) and reading.output_chunks is not None:
        told["output_tokens"] = reading.output_chunks
        told["usage_source"] = semconv.USAGE_SOURCE_ESTIMATED
    if reading.truncated:
        told["truncated"] = True


def _may_be_estimated(told: dict[str, Any]) -> bool:
    """Whether chunks may stand for tokens: in a call that did not fail and whose head told no tokens."""
    return told["outcome"] != semconv.OUTCOME_ERROR and "usage_source" not in told


def _add_times(told: dict[str, Any], reading: Reading, started_at: float, ended_at: float) -> None:
    """What only a stream has: first chunk, first token, pace."""
    told["stream_chunks"] = reading.chunks
    if not reading.timed:
        return
    told["stream_max_gap"] = reading.max_gap
    if reading.first_chunk_at is not None:
        told["time_to_first_chunk"] = reading.first_chunk_at - started_at
    if reading.first_token_at is None:
        return
    told["time_to_first_token"] = reading.first_token_at - started_at
    tokens = told.get("output_tokens")
    decode = ended_at - reading.first_token_at
    measured = told.get("usage_source") == semconv.USAGE_SOURCE_PROVIDER
    if measured and tokens is not None and tokens > 1 and decode > 0 and told["outcome"] == semconv.OUTCOME_COMPLETED:
        told["time_per_output_token"] = decode / (tokens - 1)
