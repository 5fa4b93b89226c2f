"""The real OpenTelemetry Collector on this project's own configuration file, and what it wrote."""

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from parts.ports import free_ports
from parts.processes import EXIT_WITHIN, started

AGENT = Path(__file__).parents[2] / "collector-config/agent.yaml"
PARTS = Path(os.environ.get("OTEL_LLM_PARTS", "~/.cache/otel-llm")).expanduser()
BINARY = PARTS / "bin/otelcol-slim"


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """A running Collector; `stop` it before reading what it wrote, so that nothing waits in its batches."""

    grpc: str
    http: str
    folder: Path
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(EXIT_WITHIN)

    def spans(self) -> list[dict[str, Any]]:
        """Every span with its ``attributes`` and ``resource`` as plain dicts."""
        return [
            {**span, "attributes": plain(span), "resource": plain(group["resource"])}
            for group in self._written("traces", "resourceSpans")
            for scope in group["scopeSpans"]
            for span in scope["spans"]
        ]

    def metrics(self) -> dict[str, dict[str, Any]]:
        """The last state of every metric, by name."""
        return {
            metric["name"]: metric
            for group in self._written("metrics", "resourceMetrics")
            for scope in group["scopeMetrics"]
            for metric in scope["metrics"]
        }

    def _written(self, signal: str, key: str) -> Iterator[dict[str, Any]]:
        file = self.folder / f"{signal}.jsonl"
        for line in file.read_text().splitlines() if file.exists() else ():
            yield from json.loads(line)[key]


def plain(owner: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a span, point or resource in OTLP's JSON, as Python values."""
    return {item["key"]: _value(item["value"]) for item in owner.get("attributes", ())}


def _value(tagged: dict[str, Any]) -> Any:
    (kind, value), *_ = tagged.items()
    if kind == "arrayValue":
        return [_value(item) for item in value.get("values", ())]
    return int(value) if kind == "intValue" else value


@pytest.fixture(scope="session")
def collector_binary() -> Path:
    """The program; building it takes Go and minutes, so a test never does that."""
    if not BINARY.exists():
        pytest.fail(f"no Collector at {BINARY}: run .ci/collector/build.sh once")
    return BINARY


@contextmanager
def running(
    binary: Path, folder: Path, ports: Sequence[int] = (), *, configs: Sequence[Path] = ()
) -> Iterator[Collector]:
    """One on ``ports`` for gRPC, HTTP and its health, or on any that are free, that writes into ``folder``.

    ``configs`` are laid over its configuration.
    """
    grpc, http, health = ports or free_ports(3)
    environ = {
        "PATH": os.environ["PATH"],
        "OTEL_LLM_COLLECTOR_GRPC_PORT": str(grpc),
        "OTEL_LLM_COLLECTOR_HTTP_PORT": str(http),
        "OTEL_LLM_COLLECTOR_HEALTH_PORT": str(health),
        "OTEL_LLM_COLLECTOR_FOLDER": str(folder),
    }
    command = [binary, *(word for file in (AGENT, *configs) for word in ("--config", file))]
    with started(command, log=folder / "collector.log", ready=lambda: _is_well(health), environ=environ) as process:
        yield Collector(
            grpc=f"http://127.0.0.1:{grpc}", http=f"http://127.0.0.1:{http}", folder=folder, process=process
        )


def _is_well(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1):
            return True
    except urllib.error.URLError:
        return False


@pytest.fixture(scope="session")
def collecting(
    collector_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], AbstractContextManager[Collector]]:
    """``with collecting() as collector:`` runs one on ports and in a folder of its own."""
    return lambda: running(collector_binary, tmp_path_factory.mktemp("collector"))
