"""Room probe: what a model server's ``/metrics`` page says, in one vocabulary. No I/O, no clock.

Servers name the same thing differently, and their versions too; `ENGINES` lists the names, the newest first. What a
page does not say is absent. Histograms give means between two looks, never a value of one request. Sources: the metric
reference of each server (vLLM 0.4 to 0.12, SGLang, TGI) and the page of llama.cpp's server itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Final

import msgspec

from otel_llm import semconv

MOST_LINES: Final = 100_000
"""Lines of a page that are read."""


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """Under which names a server tells what; each a list of aliases, the newest first.

    Attributes:
        prefix: What its metrics begin with.
        running: Requests at work.
        waiting: Requests that wait.
        cache: Share of the KV cache in use.
        input_tokens: Prompt tokens processed so far.
        output_tokens: Tokens generated so far.
        queue: Histogram of the wait before work [s].
        prefill: Histogram, or seconds so far, of prompts' processing [s].
        decode: Histogram, or seconds so far, of generation [s].
        hits: Prompt tokens that a cache answered so far.
        lookups: Prompt tokens that were looked up in it so far.
    """

    prefix: str
    running: tuple[str, ...]
    waiting: tuple[str, ...]
    cache: tuple[str, ...] = ()
    input_tokens: tuple[str, ...] = ()
    output_tokens: tuple[str, ...] = ()
    queue: tuple[str, ...] = ()
    prefill: tuple[str, ...] = ()
    decode: tuple[str, ...] = ()
    hits: tuple[str, ...] = ()
    lookups: tuple[str, ...] = ()


ENGINES: Final[Mapping[str, Engine]] = {
    "vllm": Engine(
        prefix="vllm_",
        running=("vllm_num_requests_running",),
        waiting=("vllm_num_requests_waiting",),
        cache=("vllm_kv_cache_usage_perc", "vllm_gpu_cache_usage_perc"),
        input_tokens=("vllm_prompt_tokens_total",),
        output_tokens=("vllm_generation_tokens_total",),
        queue=("vllm_request_queue_time_seconds", "vllm_time_in_queue_requests"),
        prefill=("vllm_request_prefill_time_seconds",),
        decode=("vllm_request_decode_time_seconds",),
        hits=("vllm_prefix_cache_hits_total", "vllm_gpu_prefix_cache_hits_total"),
        lookups=("vllm_prefix_cache_queries_total", "vllm_gpu_prefix_cache_queries_total"),
    ),
    "llama_cpp": Engine(
        prefix="llamacpp_",
        running=("llamacpp_requests_processing",),
        waiting=("llamacpp_requests_deferred",),
        cache=("llamacpp_kv_cache_usage_ratio",),
        input_tokens=("llamacpp_prompt_tokens_total",),
        output_tokens=("llamacpp_tokens_predicted_total",),
        prefill=("llamacpp_prompt_seconds_total",),
        decode=("llamacpp_tokens_predicted_seconds_total",),
    ),
    "sglang": Engine(
        prefix="sglang_",
        running=("sglang_num_running_reqs",),
        waiting=("sglang_num_queue_reqs",),
        cache=("sglang_token_usage",),
        input_tokens=("sglang_prompt_tokens_total",),
        output_tokens=("sglang_generation_tokens_total",),
        queue=("sglang_queue_time_seconds",),
        hits=("sglang_cached_tokens_total",),
        lookups=("sglang_prompt_tokens_total",),
    ),
    "tgi": Engine(
        prefix="tgi_",
        running=("tgi_batch_current_size",),
        waiting=("tgi_queue_size",),
        input_tokens=("tgi_request_input_length_sum",),
        output_tokens=("tgi_request_generated_tokens_sum",),
        queue=("tgi_request_queue_duration",),
    ),
}
"""By ``gen_ai.provider.name``. Ollama has no such page; its answers carry their own timings."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What one look at a server gave.

    Attributes:
        engine: Which server it is.
        sums: Of each metric the sum over its series; histograms as ``_sum`` and ``_count``.
        most: Of each metric the greatest of its series.
    """

    engine: str
    sums: Mapping[str, float] = msgspec.field(default_factory=dict[str, float])
    most: Mapping[str, float] = msgspec.field(default_factory=dict[str, float])


def parse(text: str) -> Page | None:
    """What a page says; ``None`` where it is no page of a server that is known.

    Args:
        text: In Prometheus's text format 0.0.4 or OpenMetrics; lines that are neither are skipped.
    """
    sums: dict[str, float] = {}
    most: dict[str, float] = {}
    for name, value in _samples(text):
        sums[name] = sums.get(name, 0.0) + value
        most[name] = max(most.get(name, value), value)
    for engine, names in ENGINES.items():
        if any(name in sums for name in (*names.running, *names.waiting, *names.output_tokens)):
            return Page(engine=engine, sums=sums, most=most)
    return None


def _samples(text: str) -> Iterator[tuple[str, float]]:
    """Name and value of each sample of a known server; ``:`` and ``_`` are the same, for versions differ."""
    prefixes = tuple(engine.prefix for engine in ENGINES.values())
    for line in text.split("\n", MOST_LINES)[:MOST_LINES]:
        end = line.find("{")
        space = line.find(" ")
        if end < 0 or (0 <= space < end):
            end = space
        name = line[:end].replace(":", "_")
        if end <= 0 or not name.startswith(prefixes) or name.endswith("_bucket"):
            continue
        rest = line[line.rfind("}") + 1 :] if line[end] == "{" else line[end:]
        try:
            value = float(rest.split()[0])
        except (ValueError, IndexError):
            continue
        if isfinite(value):
            yield name, value


def tell(page: Page, before: Page | None, seconds: float) -> Iterator[tuple[str, float]]:
    """Metrics of ours, with their values.

    Args:
        page: Now.
        before: The look before; ``None`` at the first: then there are no rates and no means.
        seconds: Between the two [s].
    """
    names = ENGINES[page.engine]
    for metric, aliases in (
        (semconv.METRIC_SERVER_RUNNING, names.running),
        (semconv.METRIC_SERVER_WAITING, names.waiting),
    ):
        if (value := _first(page.sums, aliases)) is not None:
            yield metric, value
    if (value := _first(page.most, names.cache)) is not None and 0 <= value <= 1:
        yield semconv.METRIC_SERVER_KV_CACHE, value
    if before is None or before.engine != page.engine or seconds <= 0:
        return
    for metric, aliases in (
        (semconv.METRIC_SERVER_INPUT_RATE, names.input_tokens),
        (semconv.METRIC_SERVER_OUTPUT_RATE, names.output_tokens),
    ):
        if (grown := _grown(page, before, aliases)) is not None:
            yield metric, grown / seconds
    yield from _means(page, before, names)
    hits, lookups = _grown(page, before, names.hits), _grown(page, before, names.lookups)
    if hits is not None and lookups and hits <= lookups:
        yield semconv.METRIC_SERVER_CACHE_HITS, hits / lookups


def _means(page: Page, before: Page, names: Engine) -> Iterator[tuple[str, float]]:
    """Mean times of what finished between two looks; and the speed of work while at work, where seconds are told."""
    for metric, aliases in (
        (semconv.METRIC_SERVER_QUEUE_TIME, names.queue),
        (semconv.METRIC_SERVER_PREFILL_TIME, names.prefill),
        (semconv.METRIC_SERVER_DECODE_TIME, names.decode),
    ):
        total = _grown(page, before, tuple(f"{alias}_sum" for alias in aliases))
        count = _grown(page, before, tuple(f"{alias}_count" for alias in aliases))
        if total is not None and count:
            yield metric, total / count
    for metric, tokens, seconds in (
        (semconv.METRIC_SERVER_PREFILL_RATE, names.input_tokens, names.prefill),
        (semconv.METRIC_SERVER_DECODE_RATE, names.output_tokens, names.decode),
    ):
        done = _grown(page, before, tokens)
        took = _grown(page, before, (*seconds, *(f"{alias}_sum" for alias in seconds)))
        if done and took:
            yield metric, done / took


def _first(values: Mapping[str, float], aliases: Sequence[str]) -> float | None:
    return next((values[alias] for alias in aliases if alias in values), None)


def _grown(page: Page, before: Page, aliases: Sequence[str]) -> float | None:
    """How much a counter grew; ``None`` where it is not told, or began anew."""
    for alias in aliases:
        if alias in page.sums and alias in before.sums:
            grown = page.sums[alias] - before.sums[alias]
            return grown if grown >= 0 else None
    return None
