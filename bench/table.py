"""Writes the tables of docs/benchmarks.md and README.md, between their markers, from ``results/*.json``."""

import json
import re
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).with_name("results")
NAMES = {
    "none": "nothing switched on",
    "again": "nothing switched on, once more (the measurement's own error)",
    "sdk-floor": "the SDK alone: one span, three histogram records",
    "sdk-configured": "the SDK's own configurator without exporters, and SQLite with a file open",
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


_KINDS = {
    "call_thread": "call, on its thread",
    "call": "call, in all",
    "async_call": "async call, in all",
    "chunk": "chunk",
    "async_chunk": "async chunk",
}


def overhead() -> str:
    """CPU time that each arm adds."""
    figures = _read("overhead")
    rows = [
        [
            NAMES[arm],
            *("-" if arm == "sdk-floor" and "chunk" in kind else _between(added[kind], 1) for kind in _KINDS),
        ]
        for arm, added in figures["added"].items()
    ]
    bare = figures["un-instrumented"]["call"]["median"]
    said = (
        f"{_told(figures, 'nox -s bench -- bench/overhead.py')} {figures['rounds']} rounds; CPU time added [us]"
        f" to a call that takes {bare:.0f}, median [95 % interval]."
    )
    return f"{said}\n\n{_rows(['arm', *_KINDS.values()], rows)}"


def footprint() -> str:
    """Memory, start and event loop."""
    figures = _read("footprint")
    memory = figures["memory"]["arms"]
    kept = [
        [
            NAMES[arm],
            f"{(seen['rss'] - memory['none']['rss']) / 1e6:.1f}",
            f"{seen['growth_calls'] / 1e6:.1f}",
            f"{seen['growth_streams'] / 1e6:.1f}",
        ]
        for arm, seen in memory.items()
    ]
    through = figures["pass"]["arms"]
    started = [
        [NAMES[arm], f"{seen['added']}", f"{seen['instructions']}", f"{through[arm]}" if arm in through else "-"]
        for arm, seen in figures["start"]["arms"].items()
    ]
    calls = figures["memory"]["calls"]
    return "\n\n".join(
        (
            f"{_told(figures, 'nox -s bench -- bench/footprint.py')} Resident memory [MB], the median of the rounds:",
            _rows(["arm", "over none", f"growth, {calls} calls", "growth, 500 left streams"], kept),
            "CPU time of a start [ms], the least of the rounds:",
            _rows(
                [
                    *("arm", "over `import openai`", "the same, million instructions"),
                    "`opentelemetry-instrument python -c pass` over `pass`",
                ],
                started,
            ),
            f"Turns of the event loop with 500 streams at once, begun over {figures['lag']['over']:.0f} s; CPU [ms]:",
            _turns(figures["lag"]["arms"]),
            "The same, with all 500 begun at one moment; the longest turn holds 500 beginnings:",
            _turns(figures["burst"]["arms"]),
        )
    )


def _turns(arms: dict[str, Any]) -> str:
    kinds = {"median": "median", "p99": "p99", "max": "longest", "wall_p99": "p99 by the clock"}
    rows = [
        [
            NAMES[arm],
            *(f"{seen[kind]:.1f}" for kind in kinds),
            f"{seen['stored']:.0f} of {seen['streams']:.0f}" if "stored" in seen else "-",
        ]
        for arm, seen in arms.items()
    ]
    return _rows(["arm", *kinds.values(), "spans stored"], rows)


def instructions() -> str:
    """Instructions that each arm adds."""
    figures = _read("instructions")
    official = figures["added"]["genai-openai"]
    rows = []
    for arm, added in figures["added"].items():
        cells = []
        for kind in ("thread", "call", "chunk"):
            value, theirs = statistics.median(added[kind]), statistics.median(official[kind])
            cells += (
                ["-"] * 2
                if (arm, kind) == ("sdk-floor", "chunk")
                else [f"{round(value, -2):,.0f}", f"{value / theirs:.2f}"]
            )
        rows.append([NAMES[arm], *cells])
    head = [
        "arm",
        *(cell for what in ("call, on its thread", "call, in all", "chunk") for cell in (what, "of the official")),
    ]
    return f"{_told(figures, 'nox -s bench -- bench/instructions.py')} Instructions added.\n\n{_rows(head, rows)}"


TABLES: dict[str, tuple[str, Callable[[], str], str]] = {
    "overhead": ("overhead", overhead, "docs/benchmarks.md"),
    "footprint": ("footprint", footprint, "docs/benchmarks.md"),
    "instructions": ("instructions", instructions, "docs/benchmarks.md"),
    "cost": ("instructions", instructions, "README.md"),
}
"""By marker: the results that are needed, what writes the table, and where it stands."""


def main() -> None:
    """Replace what stands between the markers; tell which tables could not be made, and of which run."""
    missing: list[str] = []
    for name, (results, table, page) in TABLES.items():
        file = ROOT / page
        marks = re.compile(rf"(<!-- table {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        try:
            made = table()
        except FileNotFoundError:
            missing.append(f"{results}.json: expected a run, found none; the table {name} stays (bench/{results}.py)")
            continue
        except KeyError as key:
            missing.append(
                f"{results}.json: expected {key}, found an older run; the table {name} stays (bench/{results}.py)"
            )
            continue
        file.write_text(marks.sub(lambda match, made=made: f"{match[1]}\n{made}\n\n{match[2]}", file.read_text()))
    if missing:
        sys.exit("\n".join(missing))


if __name__ == "__main__":
    main()
