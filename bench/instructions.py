"""How many machine instructions a call costs more with an instrumentation than without. Needs valgrind.

Processor time on a shared machine swings by a factor of two; instructions under ``valgrind --tool=cachegrind`` hardly
move. Each arm is run with few and with more calls, the collector of garbage off, and the difference divided by their
number. ``python bench/instructions.py [--calls 40] [--streams 6]``; prints JSON, thousands of instructions.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

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
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work[0], arguments.work[1], int(arguments.work[2]))
    if shutil.which("valgrind") is None:
        sys.exit("bench/instructions.py: expected valgrind on PATH, found none (apt-get install valgrind)")
    each: dict[str, dict[str, float]] = {}
    for arm in ARMS:
        each[arm] = {
            kind: (_count(arm, kind, _FEW + number) - _count(arm, kind, _FEW)) / number / 1000
            for kind, number in (("call", arguments.calls), ("stream", arguments.streams))
        }
    from arm import PIECES  # noqa: PLC0415 - imports the SDKs, which the workers do on their own

    added = {}
    for arm in ARMS[1:]:
        call, stream = (each[arm][kind] - each["none"][kind] for kind in ("call", "stream"))
        added[arm] = {"call": round(call), "chunk": round((stream - call) / len(PIECES), 2)}
    print(json.dumps({"unit": "thousand instructions", "added": added}))


if __name__ == "__main__":
    main()
