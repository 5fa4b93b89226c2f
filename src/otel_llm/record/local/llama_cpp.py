"""``llama_cpp.Llama`` of llama-cpp-python, in this process.

Its results are OpenAI's bodies. A stream reports no usage: its tokens are the chunks that carry output, an estimate.
Its methods call each other; the outermost is the call.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import wrapt

from otel_llm import semconv
from otel_llm.record import in_process
from otel_llm.record.exchange import Opening
from otel_llm.record.providers import openai

PROVIDER: Final = "llama_cpp"

_METHODS: Final = {
    "create_completion": semconv.OPERATION_TEXT_COMPLETION,
    "__call__": semconv.OPERATION_TEXT_COMPLETION,
    "create_chat_completion": semconv.OPERATION_CHAT,
    "create_embedding": semconv.OPERATION_EMBEDDINGS,
}


def patch(module: Any) -> None:
    """Wrap the methods of ``module.Llama``."""
    for name, operation in _METHODS.items():
        wrapt.wrap_function_wrapper(module, f"Llama.{name}", in_process.wrapper(partial(_call, operation)))


def _call(
    operation: str, function: Callable[..., Any], llama: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Callable[[], Opening], in_process.Read]:
    return partial(_ask, operation, function, llama, args, kwargs), read


def _ask(
    operation: str, function: Callable[..., Any], llama: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Opening:
    said = in_process.stated(function, args, kwargs)
    return Opening(
        operation=operation,
        provider=PROVIDER,
        model=in_process.base_name(said.get("model") or getattr(llama, "model_path", None)),
        request=openai.parameters(said),
        body=said,
    )


def read(body: Any, inference: in_process.Inference) -> bool:
    """Add what one of OpenAI's bodies says."""
    facts = inference.facts
    inference.hear(body)
    carries = openai.read(body, facts)
    facts.response_model = in_process.base_name(facts.response_model)
    return carries
