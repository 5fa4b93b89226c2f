"""``generate`` of Hugging Face Transformers' models, in this process.

Nothing counts tokens there, so the shapes of what goes in and comes out do: exact for one sequence, and an estimate for
a batch, whose rows are padded to one length. A streamer is handed tokens as they are made, the prompt before them, and
so knows when the first one came; without a streamer nobody does. The tensors' values are never looked at.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import wrapt

from otel_llm import boundary, semconv
from otel_llm.record import in_process
from otel_llm.record.exchange import Opening, count, number, stated

PROVIDER: Final = "transformers"


def patch(module: Any) -> None:
    """Wrap the method of ``module.GenerationMixin``."""
    wrapt.wrap_function_wrapper(module, "GenerationMixin.generate", _generate)


def _generate(wrapped: Callable[..., Any], model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    said: Mapping[str, Any] = kwargs
    with boundary.guard("local.begin"):
        said = in_process.stated(wrapped, args, kwargs)
    inference = in_process.begin(partial(_ask, model, said))
    if inference is None:
        return wrapped(*args, **kwargs)
    if kwargs.get("streamer") is not None:
        with boundary.guard("local.begin"):
            kwargs = {**kwargs, "streamer": _Streamer(kwargs["streamer"], inference)}
    result = in_process.run(inference, partial(wrapped, *args, **kwargs))
    with boundary.guard("local.read"):
        _read(result, model, said, inference)
    with boundary.ending(inference):
        inference.end()
    return result


class _Streamer(wrapt.ObjectProxy):  # type: ignore[type-arg]
    """The user's streamer, that tells when the first token came."""

    def __init__(self, streamer: Any, inference: in_process.Inference) -> None:
        super().__init__(streamer)
        self._self_inference = inference
        self._self_pieces = 0

    def put(self, value: Any) -> Any:
        """Take the prompt first, then each token."""
        self._self_pieces += 1
        if self._self_pieces > 1:
            with boundary.guard("local.read"):
                self._self_inference.first_token()
        return self.__wrapped__.put(value)


def _ask(model: Any, said: Mapping[str, Any]) -> Opening:
    changed = getattr(said.get("generation_config"), "to_diff_dict", dict)
    asked = {**changed(), **said}
    several = count(asked.get("num_return_sequences"))
    return Opening(
        operation=semconv.OPERATION_TEXT_COMPLETION,
        provider=PROVIDER,
        model=in_process.base_name(getattr(model, "name_or_path", None)),
        request=stated(
            temperature=number(asked.get("temperature")),
            top_p=number(asked.get("top_p")),
            top_k=number(asked.get("top_k")),
            max_tokens=count(asked.get("max_new_tokens")),
            choice_count=several if several != 1 else None,
        ),
    )


def _read(result: Any, model: Any, said: Mapping[str, Any], inference: in_process.Inference) -> None:
    prompt = _shape(said.get("inputs") if said.get("inputs") is not None else said.get("input_ids"))
    embedded = _shape(said.get("inputs_embeds"))
    made = _shape(getattr(result, "sequences", result))
    facts = inference.facts
    if len(made) != 2:  # noqa: PLR2004 - rows and columns
        return
    rows, columns = made
    before = 0
    if getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        before = 1  # the token that every decoder starts with
    elif len(prompt) == 2:  # noqa: PLR2004
        before = prompt[1]
    if len(prompt) == 2:  # noqa: PLR2004
        facts.input_tokens = prompt[0] * prompt[1]
    elif len(embedded) == 3:  # noqa: PLR2004 - rows, columns and dimensions
        facts.input_tokens = embedded[0] * embedded[1]
    facts.output_tokens = rows * max(0, columns - before)
    inference.estimated = rows > 1


def _shape(tensor: Any) -> tuple[int, ...]:
    """The shape of a tensor; an empty one for whatever is none."""
    return tuple(int(length) for length in getattr(tensor, "shape", ()))
