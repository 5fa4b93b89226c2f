"""An answer word by word; the last chunk says how many tokens it was."""

from openai import OpenAI

client = OpenAI()
stream = client.chat.completions.create(
    model="smollm2-135m-instruct",
    messages=[{"role": "user", "content": "Tell a story about a fox and a lighthouse."}],
    max_tokens=64,
    stream=True,
    stream_options={"include_usage": True},
)
for chunk in stream:
    if chunk.choices and chunk.choices[0].delta.content:
        print(chunk.choices[0].delta.content, end="", flush=True)
    if chunk.usage:
        print("\nserver:", chunk.model_dump_json(include={"id", "usage", "timings"}, exclude_none=True))
