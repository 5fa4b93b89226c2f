"""What the end of a span costs while a receiver of alerts hangs: p99 of 10,000 spans, beside a process without alerts.

Both processes by turns, five times, the least of each; and how long the exit takes while the receiver hangs still.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RULES = """
receivers: [{{name: hangs, webhook: {{url: "http://127.0.0.1:{port}/", allow_private: true}}}}]
route: {{receiver: hangs, group_wait: 0s}}
groups:
- name: g
  interval: 1s
  rules:
  - {{alert: Errors, signal: error_rate, window: 30s, threshold: 0.01, min_samples: 1, for: 0s}}
"""
APPLICATION = """
import sys, time
import otel_llm
otel_llm.instrument()
from opentelemetry import trace
tracer = trace.get_tracer("application")
chat = {"gen_ai.operation.name": "chat", "otel_llm.outcome": "error", "error.type": "500"}
for line in sys.stdin:
    durations = []
    for _ in range(10_000):
        before = time.perf_counter()
        tracer.start_span("chat m", attributes=chat).end()
        durations.append(time.perf_counter() - before)
    print(sorted(durations)[9_900], flush=True)
"""
ROUNDS = 5


def start(folder: Path, name: str, **environ: str) -> subprocess.Popen[str]:
    """An application that makes spans when it is told to."""
    settings = {"OTEL_LLM_STORE_PATH": str(folder / f"{name}.db"), "OTEL_LLM_ALERTS_DEFAULTS": "false", **environ}
    return subprocess.Popen(
        [sys.executable, "-c", APPLICATION],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **settings},
    )


def p99(application: subprocess.Popen[str]) -> float:
    """Of one burst [s]."""
    if application.stdin is None or application.stdout is None:
        raise ValueError(application)
    application.stdin.write("go\n")
    application.stdin.flush()
    return float(application.stdout.readline())


def main() -> None:
    """Measure once."""
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0)) as listener:
        folder = Path(name)
        (folder / "rules.yaml").write_text(RULES.format(port=listener.getsockname()[1]))
        without = start(folder, "without", OTEL_LLM_ALERTS_MODE="off")
        hung = start(folder, "hung", OTEL_LLM_ALERTS_RULES=str(folder / "rules.yaml"))
        p99(without)
        p99(hung)
        listener.settimeout(60)
        taken, _ = listener.accept()  # and never a word
        pairs = [(p99(without), p99(hung)) for _ in range(ROUNDS)]
        quiet, held = (min(times) for times in zip(*pairs, strict=True))
        print(f"p99 of a span: {quiet * 1e6:.0f} us without alerts, {held * 1e6:.0f} us with; {held / quiet:.2f} times")
        began = time.monotonic()
        hung.communicate()
        print(f"exit while the receiver hangs: {time.monotonic() - began:.2f} s")
        without.communicate()
        taken.close()


if __name__ == "__main__":
    main()
