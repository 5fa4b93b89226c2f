"""How many machine instructions a call costs more with an instrumentation than without. Needs valgrind, gcc.

Processor time on a shared machine swings by a factor of two; instructions under valgrind hardly move. One process for
each arm counts calls and streams before the instrumentation is switched on and after, the collector of garbage off;
nothing but these is counted, so a round takes minutes. ``python bench/instructions.py [--calls 40] [--streams 6]``;
keeps JSON, instructions.

A call is counted in all, and on its own thread alone: there otel-llm puts down what is to be measured, which in the
other count is measured as well.
"""

import argparse
import ctypes
import gc
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peers
import results

ARMS = ("sdk-floor", "otel-llm", "genai-openai")
WARM = 30
"""Calls before any is counted: the interpreter adapts to what it runs often."""

SWITCH = """
#include <valgrind/callgrind.h>
void begin(void) { CALLGRIND_START_INSTRUMENTATION; CALLGRIND_ZERO_STATS; }
void end(const char *name) { CALLGRIND_DUMP_STATS_AT(name); CALLGRIND_STOP_INSTRUMENTATION; }
"""
_TOLD = re.compile(r"desc: Trigger: Client Request: (\w+)-(\w+).*?^(?:totals|summary): (\d+)", re.DOTALL | re.MULTILINE)


def _count_here(switch: Any, name: str, one: Callable[[], None], number: int, after: Callable[[], object]) -> None:
    """Count ``number`` times ``one`` and then ``after``."""
    gc.collect()
    gc.disable()
    switch.begin()
    for _ in range(number):
        one()
    after()
    switch.end(name.encode())
    gc.enable()


def work(arm_name: str, calls: int, streams: int, library: str) -> None:
    """In a process of its own: count, before the instrumentation is switched on and after."""
    sys.argv = ["arm.py", arm_name]
    import arm  # noqa: PLC0415 - belongs to the measured process alone
    import httpx2  # noqa: PLC0415
    import openai  # noqa: PLC0415

    switch = ctypes.PyDLL(library)

    def call() -> None:
        client.chat.completions.create(model="gpt-4o-mini", messages=arm.MESSAGES, temperature=0.2)

    def stream() -> None:
        for _ in client.chat.completions.create(model="gpt-4o-mini", messages=arm.MESSAGES, stream=True):
            pass

    client = openai.OpenAI(api_key="k", max_retries=0, http_client=httpx2.Client(transport=arm.Transport()))
    measure: Callable[[], object] = int
    for when in ("bare", "with"):
        if when == "with":
            peers.PEERS[arm_name].switch_on()
            if peers.PEERS[arm_name].ours:
                from otel_llm.record import transport  # noqa: PLC0415

                transport.reaper.take = lambda _one: None  # type: ignore[method-assign]
                measure = transport.recorder().metrics.measure
        for _ in range(WARM):
            call()
        stream()
        measure()
        _count_here(switch, f"{when}-thread", call, calls, int)
        measure()
        _count_here(switch, f"{when}-call", call, calls, measure)
        _count_here(switch, f"{when}-stream", stream, streams, measure)
    os._exit(0)


def _found(tool: str, package: str) -> str:
    found = shutil.which(tool)
    return found or sys.exit(f"bench/instructions.py: expected {tool} on PATH, found none (apt-get install {package})")


def _count(arm: str, calls: int, streams: int) -> dict[str, float]:
    """Instructions that one call or stream takes more, by what was counted."""
    with tempfile.TemporaryDirectory() as folder:
        library = f"{folder}/switch.so"
        source = Path(folder, "switch.c")
        source.write_text(SWITCH)
        subprocess.run([_found("cc", "gcc"), "-shared", "-fPIC", "-O1", "-o", library, str(source)], check=True)
        tool = ["--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/out"]
        command = [_found("valgrind", "valgrind"), *tool, str(peers.python(arm)), __file__, "--work", arm, library]
        numbers = ["--calls", str(calls), "--streams", str(streams)]
        environ = {**results.environ(), "PYTHONHASHSEED": "0"}
        done = subprocess.run([*command, *numbers], check=False, capture_output=True, text=True, env=environ)
        found = {}
        for file in Path(folder).glob("out*"):
            for when, what, number in _TOLD.findall(file.read_text(errors="replace")):
                found[when, what] = int(number) / (streams if what == "stream" else calls)
    try:
        return {what: found["with", what] - found["bare", what] for what in ("thread", "call", "stream")}
    except KeyError as key:
        sys.exit(f"{arm}: expected a count of {key}, found none in {done.stderr[-1500:]}")


def main() -> None:
    """Keep what each arm adds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--streams", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        work(asked.work[0], asked.calls, asked.streams, asked.work[1])
    load = results.load()
    added: dict[str, dict[str, list[int]]] = {arm: {"call": [], "thread": [], "chunk": []} for arm in ARMS}
    for _ in range(asked.rounds):
        for arm in ARMS:
            seen = _count(arm, asked.calls, asked.streams)
            added[arm]["call"].append(round(seen["call"]))
            added[arm]["thread"].append(round(seen["thread"]))
            added[arm]["chunk"].append(round((seen["stream"] - seen["call"]) / results.PIECES))
    figures = {"unit": "instructions", "rounds": asked.rounds, "load": [load, results.load()], "added": added}
    results.keep("instructions", figures)


if __name__ == "__main__":
    main()
