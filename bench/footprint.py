"""What an instrumentation takes besides time in a call: memory, start, and the event loop's. Keeps JSON.

Memory: resident, over the process without instrumentation; growth over 10,000 calls and 500 streams that nobody reads
on. Start: CPU time of ``import openai`` with the instrumentation switched on over the same without, and instructions as
valgrind counts them (it must be there), which the load of the machine does not change. Event loop: how long its turns
are while 500 streams run at once, begun one after another or all at once, and whether the store has a span of each.
"""

import argparse
import re
import resource
import statistics
import subprocess
from typing import Any

import peers
import results

STARTED = ("sdk-floor", "sdk-configured", "otel-llm", "otel-llm-store", "genai-openai", "openinference")
RESIDENT = ("none", "sdk-floor", "sdk-configured", "otel-llm", "otel-llm-store", "genai-openai")
RUNNING = ("none", "otel-llm", "otel-llm-store", "genai-openai")
COUNTS = ("streams", "stored")
SPREAD = 5.0
"""Over which 500 streams begin one after another [s]."""


def _cpu(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, env=results.environ(), capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


def _starts(rounds: int) -> dict[str, dict[str, float]]:
    """CPU time of a start [ms]: the least of ``rounds``, with the instrumentation and without."""
    seen: dict[str, dict[str, list[float]]] = {arm: {"with": [], "without": []} for arm in STARTED}
    for number in range(rounds):
        for arm in results.shuffled(list(STARTED), number):
            python = str(peers.python(arm))
            seen[arm]["with"].append(_cpu([python, str(results.ARM), arm, "start"]))
            seen[arm]["without"].append(_cpu([python, str(results.ARM), "none", "start"]))
    return {
        arm: {
            "added": round(min(each["with"]) - min(each["without"])),
            "instructions": round((_instructions(arm, arm) - _instructions(arm, "none")) / 1e6),
        }
        for arm, each in seen.items()
    }


def _instructions(environment: str, arm: str) -> int:
    """Instructions of a start of ``arm`` in the environment of another, which was started before."""
    count = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    command = [*count, str(peers.python(environment)), str(results.ARM), arm, "start"]
    environ = {**results.environ(), "PYTHONHASHSEED": "0"}
    told = subprocess.run(command, check=True, env=environ, capture_output=True, text=True).stderr
    found = re.search(r"I\s+refs:\s+([\d,]+)", told)
    if found is None:
        message = f"{' '.join(command)}: expected a count of instructions, found {told[-200:]!r}"
        raise ValueError(message)
    return int(found[1].replace(",", ""))


def _memory(rounds: int, calls: int) -> dict[str, dict[str, Any]]:
    """Resident memory and what it grows by [B], the median of ``rounds``."""
    seen = [
        {arm: results.run(arm, "memory", str(calls), "500") for arm in results.shuffled(list(RESIDENT), number)}
        for number in range(rounds)
    ]
    return {
        arm: {kind: statistics.median(each[arm][kind] for each in seen) for kind in seen[0][arm]} for arm in RESIDENT
    }


def _passes(rounds: int) -> dict[str, float]:
    """CPU time of ``opentelemetry-instrument python -c pass`` over ``python -c pass`` [ms], the least of ``rounds``."""
    added = {}
    for arm in ("otel-llm", "genai-openai"):
        python = peers.python(arm)
        bare = [_cpu([str(python), "-c", "pass"]) for _ in range(rounds)]
        command = [str(python.with_name("opentelemetry-instrument")), str(python), "-c", "pass"]
        added[arm] = round(min(_cpu(command) for _ in range(rounds)) - min(bare))
    return added


def _lags(rounds: int, spread: float) -> dict[str, dict[str, float]]:
    """The loop's turns [ms], the least of ``rounds``: a busy machine only adds."""
    seen = [
        {arm: results.run(arm, "lag", "500", str(spread)) for arm in results.shuffled(list(RUNNING), number)}
        for number in range(rounds)
    ]
    return {
        arm: {kind: min(each[arm][kind] * (1 if kind in COUNTS else 1000) for each in seen) for kind in seen[0][arm]}
        for arm in RUNNING
    }


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=10_000)
    asked = parser.parse_args()
    load = results.load()
    memory = _memory(asked.rounds, asked.calls)
    figures = {
        "memory": {"unit": "B", "calls": asked.calls, "streams": 500, "arms": memory},
        "start": {"unit": "ms CPU", "over": "import openai", "arms": _starts(asked.rounds)},
        "pass": {"unit": "ms CPU", "over": "python -c pass", "arms": _passes(asked.rounds)},
        "lag": {"unit": "ms CPU", "rounds": asked.rounds, "over": SPREAD, "arms": _lags(asked.rounds, SPREAD)},
        "burst": {"unit": "ms CPU", "rounds": asked.rounds, "over": 0.0, "arms": _lags(asked.rounds, 0.0)},
    }
    results.keep("footprint", {**figures, "load": [load, results.load()]})


if __name__ == "__main__":
    main()
