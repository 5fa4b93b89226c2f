"""The same without ``stream_options``: most applications never ask for the usage of a stream."""

from openai import OpenAI

client = OpenAI()
stream = client.chat.completions.create(
    model="smollm2-135m-instruct",
    messages=[{"role": "user", "content": "Why is the sky blue?"}],
    max_tokens=48,
    stream=True,
)
for chunk in stream:
    if chunk.choices and chunk.choices[0].delta.content:
        print(chunk.choices[0].delta.content, end="", flush=True)
print("\nserver:", chunk.model_dump_json(include={"id", "usage", "timings"}, exclude_none=True))
