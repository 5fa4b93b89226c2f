"""What the store costs: CPU per span written and rolled up, bytes per span, seconds per summary. Prints JSON.

Usage: python bench/store.py [ROWS]
"""

import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import SpanKind, StatusCode, Tracer

from otel_llm.calls import Call
from otel_llm.store.batch import Batches
from otel_llm.store.connection import Connection
from otel_llm.store.marks import SPAN
from otel_llm.store.query import Filter, Reader
from otel_llm.store.retention import wal_limit
from otel_llm.store.rollup import fold
from otel_llm.store.writer import BATCH

START = 1_790_000_000_000_000_000
FAILING = 0.02
DAYS = 30
DAY = 86_400_000_000_000
MODELS = ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4", "llama-3-8b", "qwen2.5-7b")


def call(draw: random.Random) -> Call:
    """A streamed chat as the wire tap tells it: every fact that a hosted provider gives."""
    model = draw.choice(MODELS)
    first = draw.lognormvariate(-1.2, 0.5)
    output = draw.randint(5, 900)
    failed = draw.random() < FAILING
    return Call(
        operation="chat",
        provider="openai",
        request_model=model,
        server_address="api.openai.com",
        server_port=443,
        stream=True,
        temperature=0.7,
        max_tokens=1024,
        response_model=None if failed else f"{model}-2026-05-10",
        response_id=None if failed else f"chatcmpl-{draw.getrandbits(140):035x}"[:38],
        finish_reasons=None if failed else ("stop",),
        input_tokens=None if failed else draw.randint(20, 4000),
        output_tokens=None if failed else output,
        cache_read_input_tokens=None if failed else draw.choice((0, 1024)),
        usage_source=None if failed else "provider",
        cost=None if failed else output * 1e-5,
        cost_currency=None if failed else "USD",
        cost_source=None if failed else "otel-llm 2026-11-22",
        time_to_first_chunk=None if failed else first - 0.01,
        time_to_first_token=None if failed else first,
        time_per_output_token=None if failed else draw.lognormvariate(-4.5, 0.3),
        stream_chunks=None if failed else output + 2,
        stream_max_gap=None if failed else draw.lognormvariate(-2, 0.5),
        outcome="error" if failed else "completed",
        error_type="429" if failed else None,
        status_code=429 if failed else 200,
        connection_wait=draw.lognormvariate(-6, 0.5),
        limit_requests=10_000,
        limit_tokens=2_000_000,
        remaining_requests=draw.randint(0, 9_999),
        remaining_tokens=draw.randint(0, 1_999_999),
    )


def finished(tracer: Tracer, start: int, draw: random.Random) -> ReadableSpan:
    """A finished span as the SDK makes it in an application."""
    facts = call(draw)
    span = tracer.start_span(
        f"chat {facts.request_model}", kind=SpanKind.CLIENT, attributes=facts.attributes(), start_time=start
    )
    if facts.error_type:
        span.set_status(StatusCode.ERROR)
    span.end(start + int(draw.lognormvariate(0.5, 0.6) * 1e9))
    return span._readable_span()  # noqa: SLF001 - what processors are given


def batches(rows: int) -> Iterator[list[tuple[int, ReadableSpan]]]:
    """Batches of spans, spread evenly over `DAYS`."""
    step = DAYS * DAY // rows
    draw = random.Random(1)  # noqa: S311 - reproducible, not secret
    provider = TracerProvider(resource=Resource.create({"service.name": "bench"}), shutdown_on_exit=False)
    tracer = provider.get_tracer("otel_llm", "0.1.0")
    for begin in range(0, rows, BATCH):
        numbers = range(begin, min(begin + BATCH, rows))
        yield [(SPAN, finished(tracer, START + number * step, draw)) for number in numbers]


def main(rows: int) -> None:
    """Write, measure, read, print."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.db"
        connection = Connection(path)
        writer = Batches()
        costs: list[float] = []
        folding = 0.0
        for batch in batches(rows):
            begin = time.thread_time()
            writer.write(connection.sqlite, batch)
            connection.checkpoint(limit=wal_limit(256_000_000))
            costs.append((time.thread_time() - begin) / len(batch) * 1e6)
            begin = time.thread_time()
            fold(connection.sqlite)
            folding += time.thread_time() - begin
        connection.checkpoint(limit=0)
        connection.close()
        seconds = {}
        with Reader(path) as reader:
            for name, asked, by in (
                ("all", Filter(), ()),
                ("by_model", Filter(), ("model",)),
                ("by_hour", Filter(), ("hour",)),
                ("one_model", Filter(model=MODELS[0]), ()),
                ("last_hour", Filter(since=START + DAYS * DAY - DAY // 24), ("model",)),
            ):
                begin = time.perf_counter()
                reader.summary(asked, by)
                seconds[name] = round(time.perf_counter() - begin, 3)
            newest = reader.calls(Filter(limit=1))[0]
            begin = time.perf_counter()
            reader.show(newest.span_id[:8])
            seconds["show"] = round(time.perf_counter() - begin, 3)
        print(
            json.dumps(
                {
                    "rows": rows,
                    "cpu_us_per_span": {
                        "mean": round(statistics.mean(costs), 2),
                        "median_batch": round(statistics.median(costs), 2),
                        "best_batch": round(min(costs), 2),
                        "rollup_mean": round(folding / rows * 1e6, 2),
                    },
                    "bytes_per_span": round(path.stat().st_size / rows, 1),
                    "summary_seconds": seconds,
                },
                indent=1,
            )
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
