"""Stands in for llama-cpp-python 0.3, whose wheel is not built here: the shape of its results and who calls whom."""


class Llama:
    def __init__(self, model_path):
        self.model_path = model_path

    def _create_completion(self, prompt, max_tokens, *, stream):
        words = ["Once", " upon", " a"][:max_tokens]
        head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": self.model_path}
        if prompt == "bad":
            message = "Requested tokens exceed context window of 8"
            raise ValueError(message)
        if stream:
            for word in words:
                yield {**head, "choices": [{"text": word, "index": 0, "logprobs": None, "finish_reason": None}]}
            yield {**head, "choices": [{"text": "", "index": 0, "logprobs": None, "finish_reason": "length"}]}
            return
        choice = {"text": "".join(words), "index": 0, "logprobs": None, "finish_reason": "length"}
        usage = {"prompt_tokens": 4, "completion_tokens": len(words), "total_tokens": 4 + len(words)}
        yield {**head, "choices": [choice], "usage": usage}

    def create_completion(self, prompt, suffix=None, max_tokens=16, temperature=0.8, stream=False):  # noqa: ARG002, FBT002
        chunks = self._create_completion(prompt, max_tokens, stream=stream)
        return chunks if stream else next(chunks)

    def __call__(self, prompt, suffix=None, max_tokens=16, temperature=0.8, stream=False):  # noqa: FBT002
        return self.create_completion(
            prompt=prompt, suffix=suffix, max_tokens=max_tokens, temperature=temperature, stream=stream
        )

    def create_chat_completion(self, messages, max_tokens=None, temperature=0.2, stream=False):  # noqa: FBT002
        made = self.create_completion(
            prompt=messages[-1]["content"], max_tokens=max_tokens, temperature=temperature, stream=stream
        )
        if stream:
            return self._chunks(made)
        text = made["choices"][0]["text"]
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return {**made, "id": "chat" + made["id"], "object": "chat.completion", "choices": [choice]}

    @staticmethod
    def _chunks(made):
        for number, chunk in enumerate(made):
            head = {**chunk, "id": "chat" + chunk["id"], "object": "chat.completion.chunk"}
            if number == 0:
                yield {**head, "choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}]}
            choice = chunk["choices"][0]
            delta = {} if choice["finish_reason"] else {"content": choice["text"]}
            yield {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": choice["finish_reason"]}]}

    def create_embedding(self, input, model=None):  # noqa: A002
        usage = {"prompt_tokens": 3, "total_tokens": 3}
        data = [{"object": "embedding", "embedding": [0.1, 0.2], "index": 0} for _ in [input]]
        return {"object": "list", "data": data, "model": model or self.model_path, "usage": usage}
