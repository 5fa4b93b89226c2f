"""``otel-llm doctor``: why nothing, or not everything, is recorded. Cli storey.

The checks look at one thing each; the last one runs a program under ``opentelemetry-instrument`` in this very
environment and reads back what was stored, because only the whole shows that the whole works.
"""

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import click
from rich.text import Text

from otel_llm import config, semconv
from otel_llm.cli import checks, itself, options, output, specimen
from otel_llm.cli.checks import Check, Findings, Status
from otel_llm.cli.db import quarantined, size
from otel_llm.cli.run import find_instrument
from otel_llm.fleet.keys import TRIAL
from otel_llm.store.migration import schema_steps
from otel_llm.store.query import Filter, Reader, StoreError

_STYLES: Final[Mapping[Status, str]] = {"ok": "green", "warn": "yellow", "fail": "bold red"}
_NAME_WIDTH: Final = 18
_TIMEOUT: Final = 60.0
"""[s] Importing everything on a slow disk takes its time."""

_TAIL: Final = 6
_MUTED: Final = (
    *("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER", "OTEL_CONFIG_FILE"),
    semconv.OTEL_LLM_FORWARD,
    *("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
    *("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"),
    semconv.OTEL_LLM_REDIS_URL,
)
"""Left out of the self-test, so that its call reaches nobody but its own store; each has a check of its own."""


@click.command(cls=options.Command)
@options.json_option
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """Find out why nothing, or not everything, is recorded.

    Looks at this environment: run it where and as the application runs. Exit code 1 when a check fails.
    """
    found: list[Check] = []
    for check in examine():
        found.append(check)
        if not as_json:
            _print(check)
    if as_json:
        output.print_json([dataclasses.asdict(check) for check in found])
    if any(check.status == "fail" for check in found):
        ctx.exit(options.ERROR)


def examine() -> Findings:
    """Every finding, as it is made."""
    environ = os.environ
    loaded = config.load()
    parts: dict[str, Callable[[], Findings]] = {
        "versions": checks.versions,
        "distribution": partial(checks.distribution, environ),
        "switches": partial(checks.switches, environ, loaded),
        "sitecustomize": checks.site,
        "configuration": partial(checks.configuration, loaded),
        "store": partial(_store, loaded.store_path),
        "sqlite": checks.sqlite,
        "libraries": checks.libraries,
        "instrumentations": partial(checks.instrumentations, environ),
        "otlp": partial(checks.otlp, environ),
        "forwarding": partial(_forwarding, environ, loaded),
        "redis": partial(checks.redis, loaded),
        "gpu": checks.driver,
        "own figures": partial(_itself, loaded.store_path),
        "self-test": partial(self_test, environ),
    }
    for name, check in parts.items():
        yield from checks.guarded(name, check)


def _print(check: Check) -> None:
    line = Text.assemble(
        (f"{check.status:<5}", _STYLES[check.status]), f"{check.name:<{_NAME_WIDTH}}", output.clean(check.detail)
    )
    console = output.console()
    console.print(line)
    if check.fix and check.status != "ok":
        console.print(Text(f"{'':<5}{'':<{_NAME_WIDTH}}fix: {output.clean(check.fix)}"))


def _store(path: Path) -> Findings:
    """The store: that it can be written, what it holds, when the last call was seen."""
    if not checks.writable(path):
        fix = f"choose another place: {semconv.OTEL_LLM_STORE_PATH}=/a/path/otel-llm.db"
        yield Check(name="store", status="fail", detail=f"{path} cannot be written", fix=fix)
        return
    if not path.exists():
        detail = f"{path} will be made at the first call; no call yet"
        yield Check(name="store", status="warn", detail=detail, fix="otel-llm run -- python app.py")
        return
    try:
        with Reader(path) as store:
            info = store.info()
            newest = store.calls(Filter(limit=1))
    except StoreError as error:
        yield Check(name="store", status="fail", detail=str(error), fix="move the file away; a new one is made")
        return
    held = size(info["size"] + info["wal_size"])
    detail = f"{path}, {held}, schema {info['schema_version']}, {info['journal_mode'].upper()}"
    if info["schema_version"] > len(schema_steps()):
        fix = f"upgrade otel-llm, or choose another place: {semconv.OTEL_LLM_STORE_PATH}=/a/path/otel-llm.db"
        detail += ": of a later version of otel-llm; it can be read, and no call is recorded into it"
        yield Check(name="store", status="fail", detail=detail, fix=fix)
    else:
        yield Check(name="store", status="ok", detail=detail)
    if damaged := quarantined(path):
        detail = f"{len(damaged)} set aside, the last is {damaged[-1].name}"
        yield Check(name="damaged", status="warn", detail=detail, fix="otel-llm db salvage, then delete them")
    if not newest:
        yield Check(name="calls", status="warn", detail="no call yet", fix="otel-llm run -- python app.py")
        return
    age = max(0.0, (time.time_ns() - newest[0].start_time_unix_nano) / 1e9)
    yield Check(name="calls", status="ok", detail=f"the last one began {output.duration(age)} ago")


def _forwarding(environ: Mapping[str, str], loaded: config.Loaded) -> Findings:
    """How far each backend has come that the store's content is sent to; nothing where nobody ever forwarded."""
    name, found = "forwarding", []
    if loaded.store_path.exists():
        with Reader(loaded.store_path) as store:
            found = store.forwarding()
    for standing in found:
        state = standing.state
        said = [f"{standing.destination} ({', '.join(standing.signals)}): about {standing.waiting:,} wait"]
        said.append(f"{state.delivered:,} sent, the last {_ago(state.delivered_at)}")
        if state.refused:
            said.append(f"{state.refused:,} refused")
        if state.expired:
            said.append(f"about {state.expired:,} gone before they were sent")
        if state.error:
            said.append(f"{_ago(state.error_at)}: {state.error}")
        fix = "look whether the backend answers (check otlp above); nothing is lost while the store holds it"
        yield Check(name=name, status="warn" if state.error else "ok", detail="; ".join(said), fix=fix)
    if not loaded.settings.forward:
        if found:
            yield Check(name=name, status="ok", detail="off here: forward is false")
    elif not any(environ.get(f"OTEL_EXPORTER_OTLP_{part}ENDPOINT") for part in ("", "TRACES_", "METRICS_", "LOGS_")):
        detail = "forward is on, but no backend is named: nothing is sent"
        yield Check(name=name, status="warn", detail=detail, fix="set OTEL_EXPORTER_OTLP_ENDPOINT")
    elif not found:
        yield Check(name=name, status="ok", detail="on; nothing was sent yet")


def _ago(moment: int | None) -> str:
    return "never" if moment is None else f"{output.duration(max(0.0, (time.time_ns() - moment) / 1e9))} ago"


def _itself(path: Path) -> Findings:
    """What otel-llm has said of itself; `_store` tells of a store that cannot be read."""
    if path.exists():
        try:
            with Reader(path) as store:
                yield from itself.examine(store)
        except StoreError:
            return


def self_test(environ: Mapping[str, str]) -> Findings:
    """Record one call of each covered library into a store of its own, and read it back."""
    name = "self-test"
    with tempfile.TemporaryDirectory(prefix="otel-llm-doctor-") as folder:
        path = Path(folder) / "otel-llm.db"
        child = {key: value for key, value in environ.items() if key not in _MUTED}
        child |= {semconv.OTEL_LLM_STORE_PATH: str(path), semconv.OTEL_LLM_STORE_ENABLED: "true"}
        child[semconv.OTEL_LLM_REDIS_NAMESPACE] = TRIAL  # a file may name a Redis, too
        argv = [find_instrument(), sys.executable, "-m", specimen.__name__]
        try:
            done = subprocess.run(  # noqa: S603 - our own module under our own interpreter
                argv, env=child, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT, check=False
            )
        except subprocess.TimeoutExpired:
            yield Check(name=name, status="fail", detail=f"the program did not end within {_TIMEOUT:g} s")
            return
        called = done.stdout.split()
        recorded = _recorded(path)
    if not called and done.returncode == 0:
        yield Check(name=name, status="fail", detail="no library that is recorded is installed: nothing to call with")
        return
    if done.returncode == 0 and recorded == [(specimen.INPUT_TOKENS, specimen.OUTPUT_TOKENS)] * len(called):
        detail = f"a call with {' and one with '.join(called)} was recorded with its tokens"
        yield Check(name=name, status="ok", detail=detail)
        return
    said = " | ".join([line.strip() for line in done.stderr.splitlines() if line.strip()][-_TAIL:])
    detail = (
        f"called with {' and '.join(called) or 'nothing'}, recorded {len(recorded)}, exit code {done.returncode}; "
        f"the program said: {said or 'nothing'}"
    )
    yield Check(name=name, status="fail", detail=detail, fix="see the checks above")


def _recorded(path: Path) -> list[tuple[int | None, int | None]]:
    """Input and output tokens of each call in the store at ``path``."""
    if not path.exists():
        return []
    with Reader(path) as store:
        calls = store.calls(Filter(limit=10))
    asked, answered = semconv.USAGE_INPUT_TOKENS, semconv.USAGE_OUTPUT_TOKENS
    return [(call.attributes.get(asked), call.attributes.get(answered)) for call in calls]
