"""CPU time that starting costs over ``python -c pass``, in the environment whose Python runs this. Prints JSON [ms].

Run it in two environments, one with otel-llm and one with the OpenTelemetry packages alone, to tell whose time it is.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

COMMANDS = Path(sys.executable).parent
SDK = "import opentelemetry.sdk.trace.export, opentelemetry.sdk.metrics.export, opentelemetry.sdk._configuration"
ARMS = {
    "pass": [sys.executable, "-c", "pass"],
    "import of the SDK": [sys.executable, "-c", SDK],
    "opentelemetry-instrument": [str(COMMANDS / "opentelemetry-instrument"), sys.executable, "-c", "pass"],
}
if find_spec("otel_llm"):
    ARMS["otel_llm.instrument()"] = [sys.executable, "-c", "import otel_llm; otel_llm.instrument()"]
RUNS = 9


def _cpu(command: list[str], environ: dict[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, env=environ, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


def main() -> None:
    """Measure the arms in turn and print the least of each."""
    least: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environ = {**kept, "OTEL_LLM_STORE_PATH": f"{folder}/calls.db"}
        for _ in range(RUNS + 1):
            for arm, command in ARMS.items():
                took = _cpu(command, environ)
                least[arm] = min(took, least.get(arm, took))
    print(json.dumps({arm: round(took - least["pass"]) for arm, took in least.items()}))


if __name__ == "__main__":
    main()
