"""How many machine instructions a call costs more with an instrumentation than without. Needs valgrind.

Processor time on a shared machine swings by a factor of two; instructions under ``valgrind --tool=cachegrind`` hardly
move. Each arm is run with few and with more calls, the collector of garbage off, and the difference divided by their
number, twice, to show how far two counts are apart. ``python bench/instructions.py [--calls 40] [--streams 6]``; keeps
JSON, instructions.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

import results

ARMS = ("none", "sdk-floor", "otel-llm", "genai-openai")
_FEW = 5
_REFS = re.compile(r"I\s+refs:\s+([\d,]+)")


def work(arm_name: str, kind: str, number: int) -> None:
    """In a process of its own: ``number`` calls or streams."""
    sys.argv = ["arm.py", arm_name]
    import gc  # noqa: PLC0415 - belongs to the measured process alone

    import arm  # noqa: PLC0415
    import httpx2  # noqa: PLC0415
    import openai  # noqa: PLC0415
    import peers  # noqa: PLC0415

    peers.PEERS[arm_name].switch_on()
    client = openai.OpenAI(api_key="k", max_retries=0, http_client=httpx2.Client(transport=arm.Transport()))

    def call() -> None:
        client.chat.completions.create(model="gpt-4o-mini", messages=arm.MESSAGES, temperature=0.2)

    def stream() -> None:
        for _ in client.chat.completions.create(model="gpt-4o-mini", messages=arm.MESSAGES, stream=True):
            pass

    one = {"call": call, "stream": stream}[kind]
    for _ in range(3):
        one()
    gc.collect()
    gc.disable()
    for _ in range(number):
        one()
    os._exit(0)


def _count(arm: str, kind: str, number: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        valgrind = ["valgrind", "--tool=cachegrind", "--cache-sim=no", f"--cachegrind-out-file={folder}/out"]
        done = subprocess.run(
            [*valgrind, sys.executable, __file__, "--work", arm, kind, str(number)],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
    found = _REFS.search(done.stderr)
    if found is None:
        sys.exit(f"valgrind: expected a line 'I refs', found {done.stderr[-300:]!r}")
    return int(found[1].replace(",", ""))


def main() -> None:
    """Print what each arm adds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--streams", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work[0], arguments.work[1], int(arguments.work[2]))
    if shutil.which("valgrind") is None:
        sys.exit("bench/instructions.py: expected valgrind on PATH, found none (apt-get install valgrind)")
    load = results.load()
    each: dict[str, dict[str, list[float]]] = {arm: {"call": [], "stream": []} for arm in arguments.arms}
    for _ in range(arguments.rounds):
        for arm in arguments.arms:
            for kind, number in (("call", arguments.calls), ("stream", arguments.streams)):
                each[arm][kind].append((_count(arm, kind, _FEW + number) - _count(arm, kind, _FEW)) / number)
    from arm import PIECES  # noqa: PLC0415 - imports the SDKs, which the workers do on their own

    added = {}
    for arm in arguments.arms[1:]:
        calls, streams = (
            [mine - bare for mine, bare in zip(each[arm][kind], each["none"][kind], strict=True)]
            for kind in ("call", "stream")
        )
        chunks = [(stream - call) / len(PIECES) for stream, call in zip(streams, calls, strict=True)]
        added[arm] = {"call": [round(call) for call in calls], "chunk": [round(chunk) for chunk in chunks]}
    results.keep(
        "instructions",
        {"unit": "instructions", "rounds": arguments.rounds, "load": [load, results.load()], "added": added},
    )


if __name__ == "__main__":
    main()
