"""``xllamacpp.Server`` without its wire: requests handed to the server's own methods, in this process.

A request is a dict in OpenAI's format, or its JSON; an answer comes as the result, or piece by piece to a callback,
whose true result stops it. What reaches the server by HTTP does not pass here.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import msgspec
import wrapt

from otel_llm import boundary, semconv
from otel_llm.record import in_process
from otel_llm.record.exchange import Opening
from otel_llm.record.local import llama_cpp
from otel_llm.record.providers import openai

_METHODS: Final = {
    "handle_completions": semconv.OPERATION_TEXT_COMPLETION,
    "handle_chat_completions": semconv.OPERATION_CHAT,
    "handle_embeddings": semconv.OPERATION_EMBEDDINGS,
}


def patch(module: Any) -> None:
    """Wrap the methods of ``module.Server``."""
    for name, operation in _METHODS.items():
        wrapt.wrap_function_wrapper(module, f"Server.{name}", partial(_handle, operation))


def _handle(
    operation: str, wrapped: Callable[..., Any], _server: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    request = args[0] if args else kwargs.get("prompt")
    callback = args[1] if len(args) > 1 else kwargs.get("callback")
    ask = partial(_ask, operation, request)
    if not callable(callback):
        return in_process.perform(ask, partial(wrapped, *args, **kwargs), _read)
    inference = in_process.begin(ask)
    if inference is None:
        return wrapped(*args, **kwargs)
    stopped: list[bool] = []
    read: in_process.Read = _read
    with boundary.guard("local.begin"):
        read = _read_piece if _mapping(request).get("stream") is True else _read
    told = partial(_tell, callback, inference, read, stopped)
    if len(args) > 1:
        args = (args[0], told, *args[2:])
    else:
        kwargs = {**kwargs, "callback": told}
    result = in_process.run(inference, partial(wrapped, *args, **kwargs))
    with boundary.ending(inference):
        if stopped:
            inference.close()
        inference.end()
    return result


def _tell(
    callback: Callable[[Any], Any],
    inference: in_process.Inference,
    read: in_process.Read,
    stopped: list[bool],
    piece: Any,
) -> Any:
    """Read a piece, then hand it on."""
    with boundary.guard("local.read"):
        read(piece, inference)
    stopped.append(True)
    result = callback(piece)
    if not result:
        stopped.clear()
    return result


def _ask(operation: str, request: Any) -> Opening:
    said = _mapping(request)
    return Opening(
        operation=operation,
        provider=llama_cpp.PROVIDER,
        model=in_process.base_name(said.get("model")),
        request=openai.parameters(said),
        body=said,
    )


def _read(answer: Any, inference: in_process.Inference) -> bool:
    return llama_cpp.read(_mapping(answer), inference)


def _read_piece(piece: Any, inference: in_process.Inference) -> bool:
    carries = _read(piece, inference)
    inference.chunk(carries=carries)
    return carries


def _mapping(body: Any) -> Mapping[str, Any]:
    """A body as a mapping, whether it is one or the JSON of one; an empty one where it is neither."""
    if isinstance(body, (str, bytes)):
        try:
            body = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return {}
    return body if isinstance(body, dict) else {}
