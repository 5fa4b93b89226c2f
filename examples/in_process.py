"""A model in this process, without a wire, told of by hand: first token, usage, finish and a value of one's own.

xllamacpp's calls are recorded without this too; where a library is not, this is all it takes. Prints the story and the
tokens it took; ``otel-llm calls list`` shows the call.
"""

import local_model
import xllamacpp

import otel_llm

otel_llm.instrument()
model = xllamacpp.Server(local_model.settings(0, embeddings=False))
request = {
    "messages": [{"role": "user", "content": "Tell a story about a fox and a lighthouse."}],
    "max_tokens": 48,
    "stream": True,
}
with otel_llm.call("chat", model=local_model.MODEL, provider="in_process") as call:
    call.metadata(topic="fox")
    last = {}

    def take(chunk: dict) -> None:
        """Print what came; a true result would stop the model."""
        choice = chunk["choices"][0]
        if text := choice["delta"].get("content"):
            call.first_token()
            print(text, end="", flush=True)
        if choice["finish_reason"]:
            call.finish(choice["finish_reason"])
        last.update(chunk)

    model.handle_chat_completions(request, take)
    counts = last["timings"]
    call.usage(input_tokens=counts["prompt_n"] + counts["cache_n"], output_tokens=counts["predicted_n"])
print(f"\n{counts['predicted_n']} tokens")
