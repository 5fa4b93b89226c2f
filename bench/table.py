"""Writes the tables of docs/benchmarks.md, between their markers, from ``results/*.json``."""

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).with_name("results")
NAMES = {
    "none": "nothing switched on (the measurement's own error)",
    "sdk-floor": "the SDK alone: one span, three histogram records",
    "otel-llm": "**otel-llm**",
    "otel-llm-store": "**otel-llm, with the store**",
    "genai-openai": "opentelemetry-instrumentation-genai-openai 1.3b0",
    "traceloop": "opentelemetry-instrumentation-openai 0.62.4 (Traceloop)",
    "openinference": "openinference-instrumentation-openai 0.1.66",
    "logfire": "logfire 5.2",
    "langfuse": "langfuse 5.0.4",
}


def _read(name: str) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return figures


def _rows(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _told(figures: dict[str, Any], command: str) -> str:
    load = " to ".join(str(value) for value in figures["load"])
    return f"`{command}`, {figures['date'][:10]}, {figures['machine']}, load {load}."


def _between(figure: dict[str, float], digits: int) -> str:
    return f"{figure['median']:.{digits}f} [{figure['low']:.{digits}f}, {figure['high']:.{digits}f}]"


def overhead(kinds: tuple[str, ...] = ("call", "async_call", "chunk", "async_chunk")) -> str:
    """CPU time that each arm adds."""
    figures = _read("overhead")
    rows = [
        [NAMES[arm], *("-" if arm == "sdk-floor" and kind != "call" else _between(added[kind], 1) for kind in kinds)]
        for arm, added in figures["added"].items()
    ]
    words = {"call": "call", "async_call": "async call", "chunk": "chunk", "async_chunk": "async chunk"}
    said = f"{_told(figures, 'nox -s bench')} {figures['rounds']} rounds; CPU time added [us], median [95 % interval]."
    return f"{said}\n\n{_rows(['arm', *(words[kind] for kind in kinds)], rows)}"


def footprint() -> str:
    """Memory, start and event loop."""
    figures = _read("footprint")
    memory, lag = figures["memory"]["arms"], figures["lag"]["arms"]
    kept = [
        [
            NAMES[arm],
            f"{(seen['rss'] - memory['none']['rss']) / 1e6:.1f}",
            f"{seen['growth_calls'] / 1e6:.1f}",
            f"{seen['growth_streams'] / 1e6:.1f}",
        ]
        for arm, seen in memory.items()
    ]
    late = [
        [
            NAMES[arm],
            *(f"{seen[kind]:.1f}" for kind in ("median", "p99", "max")),
            f"{seen['stored']:.0f} of {seen['streams']:.0f}" if "stored" in seen else "-",
        ]
        for arm, seen in lag.items()
    ]
    through = figures["pass"]["arms"]
    started = [
        [NAMES[arm], f"{seen['added']}", f"{through[arm]}" if arm in through else "-"]
        for arm, seen in figures["start"]["arms"].items()
    ]
    calls = figures["memory"]["calls"]
    return "\n\n".join(
        (
            f"{_told(figures, 'nox -s bench -- bench/footprint.py')} Resident memory [MB]:",
            _rows(["arm", "over none", f"growth, {calls} calls", "growth, 500 left streams"], kept),
            "CPU time of a start [ms], the least of the rounds:",
            _rows(["arm", "over `import openai`", "`opentelemetry-instrument python -c pass` over `pass`"], started),
            "How late the event loop is while 500 streams run at once [ms]:",
            _rows(["arm", "median", "p99", "max", "spans stored"], late),
        )
    )


TABLES = {"overhead": overhead, "footprint": footprint}


def main() -> None:
    """Replace what stands between the markers."""
    file = ROOT / "docs" / "benchmarks.md"
    text = file.read_text()
    for name, table in TABLES.items():
        if not (RESULTS / f"{name}.json").exists():
            continue
        marks = re.compile(rf"(<!-- table {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        made = table()
        text = marks.sub(lambda match, made=made: f"{match[1]}\n{made}\n\n{match[2]}", text)
    file.write_text(text)


if __name__ == "__main__":
    main()
