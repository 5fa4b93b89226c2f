"""What a call and a streamed chunk cost more with an instrumentation than without: arms of one run, in turn.

Each round starts every arm in a process of its own and in its own environment, in changing order. The process measures
itself before the instrumentation is switched on and after; what is reported is the median over rounds of the
difference, with a bootstrap interval. ``none`` switches nothing on: its difference is the measurement's own error.
"""

import argparse
import statistics
import sys
import time
from typing import Any

import results
from peers import PEERS

KINDS = ("call", "async_call", "chunk", "async_chunk")


def _added(figures: dict[str, Any]) -> dict[str, float]:
    """What one process saw added [us]."""
    bare, mine = figures["bare"], figures["with"]
    added = {}
    for prefix in ("", "async_"):
        call = mine[f"{prefix}call"] - bare[f"{prefix}call"]
        added[f"{prefix}call"] = call
        added[f"{prefix}chunk"] = (mine[f"{prefix}stream"] - bare[f"{prefix}stream"] - call) / figures["chunks"]
    return added


def main() -> None:
    """Run the rounds and keep what they gave."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--minutes", type=float, default=60, help="begin no round after this time")
    parser.add_argument("--window", type=float, default=2.0, help="CPU time of one measurement [s]")
    parser.add_argument("--arms", nargs="+", choices=list(PEERS), default=list(PEERS))
    asked = parser.parse_args()
    began, load = time.monotonic(), results.load()
    rounds: list[dict[str, dict[str, float]]] = []
    bare: list[dict[str, float]] = []
    for number in range(asked.rounds):
        if time.monotonic() - began > asked.minutes * 60:
            break
        seen = {arm: results.run(arm, "cost", str(asked.window)) for arm in results.shuffled(asked.arms, number)}
        bare += [figures["bare"] for figures in seen.values()]
        rounds.append({arm: _added(figures) for arm, figures in seen.items()})
        print(f"round {number + 1}", file=sys.stderr, flush=True)
    results.keep(
        "overhead",
        {
            "unit": "us CPU",
            "rounds": len(rounds),
            "window": asked.window,
            "load": [load, results.load()],
            "un-instrumented": {kind: statistics.median(figures[kind] for figures in bare) for kind in bare[0]},
            "added": {
                arm: {kind: results.summary([added[arm][kind] for added in rounds]) for kind in KINDS}
                for arm in asked.arms
            },
        },
    )


if __name__ == "__main__":
    main()
