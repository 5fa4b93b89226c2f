"""Stands in for vLLM, which wants a GPU and its torch: what ``LLM`` returns, as ``vllm/outputs.py`` says."""

from types import SimpleNamespace


class LLM:
    def __init__(self, model, metrics=None):
        self.llm_engine = SimpleNamespace(model_config=SimpleNamespace(model=model))
        self.metrics = metrics

    def generate(self, prompts, sampling_params=None, use_tqdm=True):  # noqa: FBT002, ARG002
        if sampling_params is not None and getattr(sampling_params, "max_tokens", 1) == 0:
            message = "max_tokens must be at least 1, got 0."
            raise ValueError(message)
        return [self._answer(number) for number, _ in enumerate([prompts] if isinstance(prompts, str) else prompts)]

    def chat(self, messages, sampling_params=None, use_tqdm=True):  # noqa: FBT002
        return self.generate([str(messages)], sampling_params, use_tqdm=use_tqdm)

    def _answer(self, number):
        choice = SimpleNamespace(index=0, text="fox", token_ids=[1, 2, 3], finish_reason="stop")
        return SimpleNamespace(
            request_id=str(number),
            prompt_token_ids=[1] * (5 + number),
            outputs=[choice],
            finished=True,
            metrics=self.metrics,
            num_cached_tokens=4,
        )
