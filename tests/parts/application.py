"""Unchanged applications under ``opentelemetry-instrument``, and the commands that a user asks about them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from parts.model import EXAMPLES

COMMANDS = Path(sys.executable).parent
WITHIN = 500.0


@dataclass(frozen=True, slots=True)
class Desk:
    """One user's place: a store of its own and an environment that nothing of the tester's own settings reaches.

    Attributes:
        store: The SQLite file that everything run here records into.
        settings: Environment variables beside the defaults.
    """

    store: Path
    settings: dict[str, str] = field(default_factory=dict)

    def environ(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "OPENAI_"))}
        return {
            **kept,
            "PATH": os.pathsep.join((str(COMMANDS), os.environ["PATH"])),
            "OTEL_LLM_STORE_PATH": str(self.store),
            "OPENAI_API_KEY": "none",
            # Installed for the tests of doubled spans; a user's environment has it not.
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "openai",
            **self.settings,
            **more,
        }

    def run_instrumented(self, *arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
        """``opentelemetry-instrument python ARGUMENTS``; its output is kept, its exit status not judged."""
        return self._run("opentelemetry-instrument", "python", *arguments, **environ)

    def run_example(self, name: str, url: str, **environ: str) -> list[dict[str, Any]]:
        """One of ``examples/`` against the server at ``url``; what that server said of each call."""
        done = self.run_instrumented(EXAMPLES / f"{name}.py", OPENAI_BASE_URL=f"{url}/v1", **environ)
        assert done.returncode == 0, done.stderr
        return said(done.stdout)

    def otel_llm(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run("otel-llm", *arguments)

    def ask(self, *arguments: str) -> Any:
        """What ``otel-llm ARGUMENTS --json`` prints."""
        done = self.otel_llm(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def _run(self, *command: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMANDS / command[0], *command[1:]],
            env=self.environ(**environ),
            capture_output=True,
            text=True,
            timeout=WITHIN,
            check=False,
        )


def said(output: str) -> list[dict[str, Any]]:
    """What the model server itself reported, from the lines that the examples print it on."""
    marker = "server: "
    return [json.loads(line.removeprefix(marker)) for line in output.splitlines() if line.startswith(marker)]


def reported_tokens(server: dict[str, Any]) -> tuple[int, int]:
    """Input and output tokens of one call as the server counted them: its usage, else its timings."""
    if usage := server.get("usage"):
        return usage["prompt_tokens"], usage["completion_tokens"]
    timings = server["timings"]
    return timings["cache_n"] + timings["prompt_n"], timings["predicted_n"]


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "otel-llm.db"


@pytest.fixture
def desk(store_path: Path) -> Desk:
    return Desk(store_path)


@pytest.fixture
def run_instrumented(desk: Desk) -> Callable[..., subprocess.CompletedProcess[str]]:
    return desk.run_instrumented
