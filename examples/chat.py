"""One question, one answer."""

from openai import OpenAI

client = OpenAI()  # OPENAI_BASE_URL and OPENAI_API_KEY come from the environment
answer = client.chat.completions.create(
    model="smollm2-135m-instruct",
    messages=[{"role": "user", "content": "Name three colours."}],
    max_tokens=32,
    temperature=0,
)
print(answer.choices[0].message.content)
print("server:", answer.model_dump_json(include={"id", "usage", "timings"}, exclude_none=True))
