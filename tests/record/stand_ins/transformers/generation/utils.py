"""Stands in for Hugging Face Transformers 4 and 5, whose torch is half a gigabyte: ``generate`` and its shapes."""

from types import SimpleNamespace


class Tensor:
    def __init__(self, *shape):
        self.shape = shape


class GenerationConfig:
    def __init__(self, **changed):
        self.changed = changed

    def to_diff_dict(self):
        return dict(self.changed)


class GenerationMixin:
    name_or_path = "HuggingFaceTB/SmolLM2-135M-Instruct"

    def __init__(self, *, encoder_decoder=False):
        self.config = SimpleNamespace(is_encoder_decoder=encoder_decoder)

    def generate(self, inputs=None, generation_config=None, streamer=None, **kwargs):
        prompt = inputs if inputs is not None else kwargs.get("input_ids")
        embedded = kwargs.get("inputs_embeds")
        new = kwargs.get("max_new_tokens") or (generation_config.changed if generation_config else {})["max_new_tokens"]
        if new < 0:
            message = "`max_new_tokens` must be greater than 0"
            raise ValueError(message)
        if streamer is not None:
            streamer.put(prompt)
            for token in range(new):
                streamer.put(token)
            streamer.end()
        if embedded is not None:
            return Tensor(embedded.shape[0], new)
        rows = prompt.shape[0] * kwargs.get("num_return_sequences", 1)
        columns = 1 + new if self.config.is_encoder_decoder else prompt.shape[1] + new
        made = Tensor(rows, columns)
        return SimpleNamespace(sequences=made) if kwargs.get("return_dict_in_generate") else made
