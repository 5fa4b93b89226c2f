"""A prompt that is longer than the model's context: the server refuses it and the application goes on."""

import json

import openai

client = openai.OpenAI()
try:
    client.chat.completions.create(
        model="smollm2-135m-instruct",
        messages=[{"role": "user", "content": "again and " * 3000}],
        max_tokens=8,
    )
except openai.BadRequestError as refusal:
    print("refused with", refusal.status_code)
    print("server:", json.dumps({"status": refusal.status_code, "error": refusal.body}))
