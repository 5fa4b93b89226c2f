"""An application that calls a model until its standard input ends, and writes down each call that has come back.

Run as ``opentelemetry-instrument python _caller.py BASE_URL LEDGER NAME CALLS_PER_SECOND [LEAK]``; knows nothing of
otel-llm. The server gives an answer the identity that the caller asked for, so that a line of the ledger can be looked
up in the store. ``LEAK`` bytes of each call are kept for ever, to see whether that would be noticed.
"""

import gc
import os
import sys
import threading
import time
from pathlib import Path

import openai

TIDIED = 200
"""Calls between two collections: httpx leaves 33 objects of each in cycles, with us or without, and Python by itself
waits until they are a quarter of all there are, which is megabytes."""

MESSAGES: list = [{"role": "user", "content": "Name a colour."}]


def main() -> None:
    """Call, write down, wait."""
    base_url, path, name, rate, *leak = sys.argv[1:]
    kept: list[bytes] = []
    ledger = os.open(Path(path), os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    client = openai.OpenAI(base_url=base_url, api_key="none", max_retries=0)
    number = 0
    while not ended.wait(1 / float(rate)):
        number += 1
        if not number % TIDIED:
            gc.collect()
        identity = f"{name}-{number}"
        kept += [os.urandom(int(size)) for size in leak]
        try:
            if number % 3:
                client.chat.completions.create(model="m-1", messages=MESSAGES, user=identity)
            else:
                for _ in client.chat.completions.create(model="m-1", messages=MESSAGES, user=identity, stream=True):
                    pass
        except openai.APIError as error:
            print(f"{name}: {error!r}", file=sys.stderr, flush=True)
            continue
        os.write(ledger, f"{identity} {time.monotonic()}\n".encode())


if __name__ == "__main__":
    main()
