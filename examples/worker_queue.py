"""Work that waits for one worker: each call says how long it waited, and the queue how much waits.

The model runs in this process. Prints the wait of each piece of work; ``otel-llm calls list`` shows the calls.
"""

import queue
import threading

import local_model
import xllamacpp

import otel_llm

otel_llm.instrument()
model = xllamacpp.Server(local_model.settings(0, embeddings=False))
jobs = otel_llm.queue("jobs")
todo: queue.Queue = queue.Queue()


def work() -> None:
    """Answer what comes, until nothing will."""
    while (item := todo.get()) is not None:
        ticket, prompt = item
        with ticket:
            model.handle_chat_completions({"messages": [{"role": "user", "content": prompt}], "max_tokens": 8})
        print(f"{prompt}: waited {ticket.waited:.3f} s")


for animal in ("fox", "owl", "hare"):
    todo.put((jobs.enqueue(), f"Tell of the {animal}."))
todo.put(None)
print(f"{jobs.depth} wait")
worker = threading.Thread(target=work)
worker.start()
worker.join()
print(f"{jobs.depth} wait")
