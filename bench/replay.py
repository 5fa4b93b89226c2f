"""How fast the store is replayed into a backend that takes everything, on one core. Prints JSON.

The backend is a process of its own, which reads and forgets. Usage: python bench/replay.py [ROWS]
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from otel_llm.store.batch import Batches
from otel_llm.store.connection import Connection
from otel_llm.store.replay import Replay, Wish
from otel_llm.store.sender import Destination
from store import batches

_SINK = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
connection, _ = server.accept()
file = connection.makefile("rb")
while True:
    length = 0
    while (line := file.readline()) not in (b"\\r\\n", b""):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    if not line:
        break
    file.read(length)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
"""


def main(rows: int) -> None:
    """Fill, send, print."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.db"
        connection, writer = Connection(path), Batches()
        for batch in batches(rows):
            writer.write(connection.sqlite, batch)
        connection.close()
        sink = subprocess.Popen([sys.executable, "-c", _SINK], stdout=subprocess.PIPE, text=True)
        assert sink.stdout is not None  # noqa: S101 - a pipe was asked for
        port = int(sink.stdout.readline())
        with Replay(path, Destination(url=f"http://127.0.0.1:{port}"), Wish(patience=5)) as replay:
            begin, processor = time.perf_counter(), time.process_time()
            sent = sum(replay.run())
            wall, processor = time.perf_counter() - begin, time.process_time() - processor
        sink.terminate()
        sink.wait()
    print(
        json.dumps(
            {
                "spans": sent,
                "spans_per_second": {"wall": round(sent / wall), "cpu": round(sent / processor)},
                "cpu_us_per_span": round(processor / sent * 1e6, 1),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
