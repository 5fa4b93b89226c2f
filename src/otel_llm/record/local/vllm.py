"""``generate`` and ``chat`` of vLLM's ``LLM``, in this process.

One span for one call, whatever number of prompts it carries: they are served together, so a span for each would tell
of the batch's time as its own. Their number is on the span, their tokens are added up. Where there is one prompt, and
vLLM was told to measure (``disable_log_stats=False``), its own times are read: first token, queue, prefill, decode.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import wrapt

from otel_llm import semconv
from otel_llm.record import in_process
from otel_llm.record.exchange import MOST, Opening, count, integer, number, seconds, stated, text, texts

PROVIDER: Final = "vllm"


def patch(module: Any) -> None:
    """Wrap the methods of ``module.LLM``."""
    for name, operation in (("generate", semconv.OPERATION_TEXT_COMPLETION), ("chat", semconv.OPERATION_CHAT)):
        wrapt.wrap_function_wrapper(module, f"LLM.{name}", in_process.wrapper(partial(_call, operation)))


def _call(
    operation: str, function: Callable[..., Any], llm: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Callable[[], Opening], in_process.Read]:
    return partial(_ask, operation, function, llm, args, kwargs), _read


def _ask(
    operation: str, function: Callable[..., Any], llm: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Opening:
    said = in_process.stated(function, args, kwargs)
    params = said.get("sampling_params")
    if isinstance(params, Sequence):  # one for each prompt: there is no one value to tell
        params = None
    asked = partial(getattr, params)
    several = count(asked("n", None))
    top_k = number(asked("top_k", None))
    return Opening(
        operation=operation,
        provider=PROVIDER,
        model=in_process.base_name(_model(llm)),
        request=stated(
            temperature=number(asked("temperature", None)),
            top_p=number(asked("top_p", None)),
            top_k=top_k if top_k is not None and top_k > 0 else None,
            max_tokens=count(asked("max_tokens", None)),
            seed=integer(asked("seed", None)),
            stop_sequences=texts(asked("stop", None)),
            choice_count=several if several != 1 else None,
        ),
        body=_body(said),
    )


def _body(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """What was asked, where it is words: prompts may be tokens or embeddings, and conversations a batch."""
    messages = said.get("messages")
    if isinstance(messages, list) and all(isinstance(message, dict) for message in messages):
        return {"messages": messages, "tools": said.get("tools")}
    prompts = said.get("prompts")
    several = prompts if isinstance(prompts, list) else [prompts]
    words = [prompt.get("prompt") if isinstance(prompt, dict) else prompt for prompt in several]
    return {"prompt": words} if all(isinstance(word, str) for word in words) else {}


def _model(llm: Any) -> str | None:
    """The model's name, wherever this version of vLLM keeps it."""
    for holder in (llm, getattr(llm, "llm_engine", None)):
        name = text(getattr(getattr(holder, "model_config", None), "model", None))
        if name:
            return name
    return None


def _read(answers: Any, inference: in_process.Inference) -> bool:
    listed = list(answers) if isinstance(answers, (list, tuple)) else [answers]
    choices = [choice for answer in listed for choice in getattr(answer, "outputs", ())]
    facts = inference.facts
    if all(getattr(answer, "prompt_token_ids", None) is not None for answer in listed):
        facts.input_tokens = sum(len(answer.prompt_token_ids) for answer in listed)
    facts.output_tokens = sum(len(choice.token_ids) for choice in choices)
    cached = [count(getattr(answer, "num_cached_tokens", None)) for answer in listed]
    known = [number for number in cached if number is not None]
    if known and len(known) == len(cached):
        facts.cache_read_input_tokens = sum(known)
    facts.finish = {
        index: reason for index, choice in enumerate(choices[:MOST]) if (reason := text(choice.finish_reason))
    }
    for index, choice in enumerate(choices[:MOST]):
        inference.hear({"choices": [{"index": index, "text": getattr(choice, "text", None)}]})
    if len(listed) == 1:
        _read_times(getattr(listed[0], "metrics", None), inference)
    else:
        inference.span.set_attribute(semconv.BATCH_SIZE, len(listed))
    return bool(choices)


def _read_times(metrics: Any, inference: in_process.Inference) -> None:
    """What vLLM measured of one prompt: its engine of today, or else the one before it."""
    if metrics is None:
        return
    at = partial(getattr, metrics)
    begun, first, last = at("scheduled_ts", None), at("first_token_ts", None), at("last_token_ts", None)
    queued = at("queued_ts", None)
    latency = at("first_token_latency", None)
    if begun is None:
        arrived = at("arrival_time", None)
        begun, first, last = at("first_scheduled_time", None), at("first_token_time", None), at("last_token_time", None)
        queued, latency = arrived, _between(arrived, first)
    facts = inference.facts
    facts.server_queue_time = _between(queued, begun)
    facts.server_prefill_time = _between(begun, first)
    facts.server_decode_time = _between(first, last)
    waited = seconds(latency)
    if waited:
        inference.first_token_after(waited)


def _between(start: Any, end: Any) -> float | None:
    """The time from ``start`` to ``end`` [s]; ``None`` where one is missing or was never set."""
    return seconds(end - start) if start and end else None
