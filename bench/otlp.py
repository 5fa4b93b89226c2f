"""What encoding OTLP from the store costs, beside the SDK's encoder on the same spans. Prints JSON.

Both make the bytes of the same requests of 512 spans, in turn, in one process; from the store the reading of the rows
is counted too. Usage: python bench/otlp.py [ROWS]
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from otel_llm.store.batch import Batches
from otel_llm.store.connection import Connection
from otel_llm.store.otlp import COLUMNS, SpanEncoder
from otel_llm.store.writer import BATCH
from store import batches


def main(rows: int) -> None:
    """Write, encode in both ways, print."""
    ours: list[float] = []
    theirs: list[float] = []
    sizes = [0, 0]
    with tempfile.TemporaryDirectory() as folder:
        connection = Connection(Path(folder) / "bench.db")
        writer, encoder, reached = Batches(), SpanEncoder(connection.sqlite), 0
        for batch in batches(rows):
            writer.write(connection.sqlite, batch)
            begin = time.thread_time()
            request = encode_spans([span for _, span in batch]).SerializeToString()
            theirs.append((time.thread_time() - begin) / len(batch) * 1e6)
            sizes[0] += len(request)
            begin = time.thread_time()
            found = connection.sqlite.execute(
                f"SELECT {COLUMNS} FROM spans WHERE id > ? ORDER BY id LIMIT ?",  # noqa: S608 - constants
                (reached, BATCH),
            ).fetchall()
            request = encoder.request(found)
            ours.append((time.thread_time() - begin) / len(batch) * 1e6)
            sizes[1] += len(request)
            reached = found[-1][0]
        connection.close()
    print(
        json.dumps(
            {
                "spans": rows,
                "cpu_us_per_span": {
                    "sdk": round(statistics.median(theirs), 1),
                    "store": round(statistics.median(ours), 1),
                },
                "ratio": round(statistics.median(ours) / statistics.median(theirs), 3),
                "bytes": {"sdk": sizes[0], "store": sizes[1]},
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
