"""A summary as ``vllm bench serve`` prints one, to lay live traffic beside a benchmark. Cli storey; pure.

Row names and widths are those of vLLM's own report; what was not measured has no row. A row of ours says what theirs
means: an attempt is a request, and the duration is from the first start to the last end.
"""

from collections.abc import Iterator
from typing import Final

from otel_llm.cli.figures import Group

_WIDTH: Final = 50
_SECTIONS: Final = (
    ("time_to_first_token", "TTFT", "Time to First Token"),
    ("time_per_output_token", "TPOT", "Time per Output Token (excl. 1st token)"),
    ("duration", "E2EL", "End-to-end Latency"),
)


def lines(group: Group) -> Iterator[str]:
    """The report of ``group``, line by line."""
    yield f"{' Serving Benchmark Result ':=^{_WIDTH}}"
    completed = group["attempts"] - group["failed_attempts"] - group["cancelled"] - group["abandoned"]
    given, made = group["input_tokens"], group["output_tokens"]
    rate, output = group["calls_per_second"], group["tokens_per_second"]
    seconds = group["calls"] / rate if rate else None
    both = None if given is None or made is None or not seconds else (given + made) / seconds
    peak = (group["concurrency"] or {}).get("max")
    rows = (
        ("Successful requests:", completed, "d"),
        ("Failed requests:", group["failed_attempts"], "d"),
        ("Benchmark duration (s):", seconds, ".2f"),
        ("Total input tokens:", given, "d"),
        ("Total generated tokens:", made, "d"),
        ("Request throughput (req/s):", completed / seconds if seconds else None, ".2f"),
        ("Output token throughput (tok/s):", output, ".2f"),
        ("Peak concurrent requests:", peak, ".2f"),
        ("Total token throughput (tok/s):", both, ".2f"),
    )
    yield from (_row(name, value, form) for name, value, form in rows if value is not None)
    for figure, short, title in _SECTIONS:
        spread = group[figure]
        if spread is not None:
            yield f"{title:-^{_WIDTH}}"
            told = (("Mean", spread["mean"]), ("Median", spread["p50"]), ("P99", spread["p99"]))
            yield from (_row(f"{word} {short} (ms):", value * 1000, ".2f") for word, value in told if value is not None)
    yield "=" * _WIDTH


def _row(name: str, value: float, form: str) -> str:
    return f"{name:<40} {format(value, '<10' + form)}".rstrip()
