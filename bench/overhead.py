"""What a call and a streamed chunk cost more with an instrumentation than without: arms of one run, in turn.

``nox -s bench`` runs it. Each round starts every arm in a process of its own, in changing order; what is reported is
the median over rounds of the difference to the un-instrumented arm of the same round, with a bootstrap interval.
"""

import argparse
import json
import platform
import random
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

ARMS = ("none", "sdk-floor", "otel-llm", "otel-llm-store", "genai-openai")
ARM = Path(__file__).with_name("arm.py")


def _run(arm: str, folder: str) -> dict[str, float]:
    command = [sys.executable, str(ARM), arm, f"{folder}/{arm}.db"]
    figures: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return figures


def _interval(values: list[float]) -> tuple[float, float]:
    """The 95 % bootstrap interval of the median."""
    draws = random.Random(7)  # noqa: S311 - no secret: the same interval for the same figures
    medians = sorted(statistics.median(draws.choices(values, k=len(values))) for _ in range(2000))
    return medians[50], medians[1949]


def _added(rounds: list[dict[str, dict[str, float]]], arm: str) -> dict[str, dict[str, float]]:
    """Medians and intervals of what ``arm`` adds [us]."""
    added: dict[str, list[float]] = {"call": [], "chunk": [], "async_call": [], "async_chunk": []}
    for figures in rounds:
        mine, bare = figures[arm], figures["none"]
        for prefix in ("", "async_"):
            call = mine[f"{prefix}call"] - bare[f"{prefix}call"]
            stream = mine[f"{prefix}stream"] - bare[f"{prefix}stream"]
            added[f"{prefix}call"].append(call)
            added[f"{prefix}chunk"].append((stream - call) / mine["chunks"])
    return {
        name: {"median": statistics.median(values), "low": _interval(values)[0], "high": _interval(values)[1]}
        for name, values in added.items()
    }


def main() -> None:
    """Run the rounds and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds: list[dict[str, dict[str, float]]] = []
    order = list(ARMS)
    for number in range(parser.parse_args().rounds):
        random.Random(number).shuffle(order)  # noqa: S311 - a fixed order of arms
        with tempfile.TemporaryDirectory() as folder:
            rounds.append({arm: _run(arm, folder) for arm in order})
        print(f"round {number + 1}", file=sys.stderr, flush=True)
    bare = {name: statistics.median(figures["none"][name] for figures in rounds) for name in rounds[0]["none"]}
    result = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "rounds": len(rounds),
        "unit": "us CPU",
        "un-instrumented": bare,
        "added": {arm: _added(rounds, arm) for arm in ARMS if arm != "none"},
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
