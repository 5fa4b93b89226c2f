"""Runs arms, sums figures up, and keeps them in ``results/*.json`` with date, machine and load."""

import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import peers

ARM = Path(__file__).with_name("arm.py")
PIECES = 204
"""Of a stream of `arm`."""

FOLDER = Path(__file__).with_name("results")


def run(arm: str, mode: str, *arguments: str) -> dict[str, Any]:
    """The figures of ``arm`` in ``mode``, from a process of its own."""
    command = [str(peers.python(arm)), str(ARM), arm, mode, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ())
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def environ() -> dict[str, str]:
    """The environment of an arm: a store of its own, bytecode kept, no network."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    folder = tempfile.mkdtemp(prefix="otel-llm-bench-")
    return {**kept, "OTEL_LLM_STORE_PATH": f"{folder}/calls.db"}


def shuffled(arms: list[str], number: int) -> list[str]:
    """``arms`` in an order that only ``number`` decides."""
    return random.Random(number).sample(arms, len(arms))  # noqa: S311 - no secret


def summary(values: list[float]) -> dict[str, float]:
    """The median of ``values`` and its 95 % bootstrap interval."""
    draws = random.Random(7)  # noqa: S311 - no secret: the same interval for the same figures
    medians = sorted(statistics.median(draws.choices(values, k=len(values))) for _ in range(2000))
    return {
        "median": round(statistics.median(values), 2),
        "low": round(medians[50], 2),
        "high": round(medians[1949], 2),
    }


def load() -> float:
    """Processes that wanted a processor over the last minute."""
    return round(os.getloadavg()[0], 1)


def keep(name: str, figures: dict[str, Any]) -> None:
    """Write ``figures`` where `table` finds them."""
    told = {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": f"{os.cpu_count()} shared cores, {platform.machine()}, Python {platform.python_version()}",
        **figures,
    }
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(told, indent=1) + "\n")
    print(json.dumps(told))
