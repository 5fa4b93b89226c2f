"""Run every cell in its environment, ours and the official instrumentation's, and judge what the spans say."""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from conformance import shapes
from conformance.judge import judge
from conformance.scripted import Server
from parts.environments import environment

TESTS = Path(__file__).parents[1]
WITHIN = 2400.0
"""Longest that one child may take [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of one cell under one instrumentation.

    Attributes:
        word: The judge's; ``None`` where the cell was not run.
        fault: What is wrong with the program itself: it failed where it should not have, or the other way round.
    """

    word: str | None = None
    fault: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """The whole run.

    Attributes:
        verdicts: By instrumentation and cell.
        versions: Of each environment's pinned distributions.
    """

    verdicts: Mapping[str, Mapping[str, Verdict]]
    versions: Mapping[str, Mapping[str, str]]


def run(folder: Path) -> Matrix:
    """Every cell, two children at a time: one for each environment and instrumentation.

    Raises:
        AssertionError: If an environment cannot be made or a child breaks down; the text is its own.
    """
    pythons = {name: environment(*held) for name, held in shapes.ENVIRONMENTS.items()}
    jobs = [(name, instrumentation) for instrumentation in shapes.INSTRUMENTATIONS for name in shapes.ENVIRONMENTS]
    server = Server()
    try:
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(partial(_answer, pythons, server.addresses, folder), jobs))
    finally:
        server.close()
    verdicts: dict[str, dict[str, Verdict]] = {one: {} for one in shapes.INSTRUMENTATIONS}
    for (_, instrumentation), answer in zip(jobs, answers, strict=True):
        verdicts[instrumentation].update(_judged(answer["cells"]))
    versions = {name: _pinned(name, answer["versions"]) for (name, _), answer in zip(jobs, answers, strict=True)}
    return Matrix(verdicts=verdicts, versions=versions)


def run_aside() -> Matrix:
    """The same, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        return run(Path(folder))


def _answer(pythons, addresses, folder, job):
    name, instrumentation = job
    output = folder / f"{name}-{instrumentation}.json"
    environ = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "COV_", "PYTEST"))},
        "PYTHONPATH": str(TESTS),
        "OTEL_LLM_STORE_ENABLED": "false",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    ports = [f"{port}={address}" for port, address in addresses.items()]
    command = [pythons[name], "-m", "conformance.child", instrumentation, name, output, *ports]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=WITHIN, check=False)
    assert done.returncode == 0, f"{name}, {instrumentation}:\n{done.stderr[-4000:]}"
    return json.loads(output.read_text())


def _judged(answers):
    known = {cell.key: cell for client in shapes.CLIENTS for cell in shapes.cells(client)}
    for key, answer in answers.items():
        true = shapes.truth(known[key].shape, known[key].client)
        yield key, Verdict(word=judge(answer["spans"], true), fault=_fault(answer["raised"], true.raises))


def _fault(raised, expected):
    if raised and expected is False:
        return raised
    return "no error where one is due" if expected and not raised else None


def _pinned(name, versions):
    wanted = [one.partition("==")[0].partition("[")[0] for one in shapes.ENVIRONMENTS[name]]
    return {one: versions[one] for one in wanted}
