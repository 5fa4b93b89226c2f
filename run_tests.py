"""Check everything: style, types and tests, with pytest's own summary as the last line.

    python run_tests.py --install-deps   on a machine that has nothing but Python 3.11 and pip
    python run_tests.py --quick          only the tests that start no heavy parts; seconds instead of minutes
    python run_tests.py                  again, with what is installed

The environments are nox's (``.venv`` holds nox itself, ``.nox`` one environment per session). The real Collector that
the full run starts is built once, by ``.ci/collector/build.sh``, and Prometheus and Alertmanager are fetched once, by
``.ci/prometheus/fetch.sh``, into ``$OTEL_LLM_PARTS`` (or ``~/.cache/otel-llm``).
"""

import argparse
import importlib.util
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
OWN = HERE / ".venv"
CHECKS = ("lint", "types")
# A file stays with one worker: the parts that it starts are started once.
# The tests kill, fork and time real processes on whatever machine this is: who fails is asked once more, and named.
AGAIN = ("--reruns", "1", "--reruns-delay", "2", "-raR")
COVERED = ("-n", "2", "--dist", "loadfile", *AGAIN, "--cov", "--cov-report=term:skip-covered", "--cov-report=html")
QUICK = ("-m", "not slow", "--no-cov")


def main() -> int:
    """The exit status: of the first step that failed, or 0."""
    parser = argparse.ArgumentParser(description="Check style, types and tests.")
    parser.add_argument("--install-deps", action="store_true", help="install what is missing first")
    parser.add_argument("--quick", action="store_true", help="leave out the slow tests and the coverage")
    options = parser.parse_args()
    python = _python_with_nox(install=options.install_deps)
    if python is None:
        print("run_tests: nox is missing; python run_tests.py --install-deps brings it", file=sys.stderr)
        return 2
    nox = (str(python), "-m", "nox", *(() if options.install_deps else ("--no-install",)), "-s")
    steps: list[tuple[str, ...]] = []
    if options.install_deps and not options.quick:
        steps += [("bash", ".ci/collector/build.sh"), ("bash", ".ci/prometheus/fetch.sh")]
    steps += [(*nox, *CHECKS), (*nox, "tests", "--install-only")]
    # Started here and not by nox, whose own words would come after pytest's summary.
    steps.append((str(HERE / ".nox/tests/bin/python"), "-m", "pytest", *(QUICK if options.quick else COVERED)))
    for step in steps:
        status = subprocess.run(step, cwd=HERE, check=False).returncode
        if status:
            return status
    return 0


def _python_with_nox(*, install: bool) -> Path | None:
    """An interpreter that has nox: this one, or that of ``.venv``, made when ``install`` is set."""
    if importlib.util.find_spec("nox"):
        return Path(sys.executable)
    python = OWN / "bin/python"
    if not python.exists() and install:
        venv.create(OWN, with_pip=True)
    if install:
        subprocess.run([python, "-m", "pip", "install", "--quiet", "nox"], check=True)
    return python if python.exists() else None


if __name__ == "__main__":
    sys.exit(main())
