"""Two sentences as vectors, and how near they are."""

from openai import OpenAI

client = OpenAI()
answer = client.embeddings.create(
    model="smollm2-135m-instruct",
    input=["A fox lives near the lighthouse.", "An animal dwells by the sea."],
    encoding_format="float",
)
first, second = (item.embedding for item in answer.data)
print(f"{len(first)} dimensions, cosine {sum(a * b for a, b in zip(first, second, strict=True)):.3f}")
print("server:", answer.model_dump_json(include={"usage"}))
