"""What a call and a streamed chunk cost more with an instrumentation than without: arms of one run, in turn.

Every arm is a process in an environment of its own, and all are there from the beginning. In each round every one does
a batch of the same calls, one after another, in changing order; what an arm adds is what it took over ``none`` in the
same round. So what slows the machine for a while slows both. Reported is the median over rounds, with a bootstrap
interval; a second process with nothing switched on, ``again``, tells the measurement's own error.
"""

import argparse
import subprocess
import sys
from typing import IO

import peers
import results

BATCHES = {"call": 40, "stream": 2, "async_call": 40, "async_stream": 2}
"""How many of each kind are done before it is somebody else's turn."""

AGAIN = "again"

ARMS = [name for name in peers.PEERS if name != "sdk-configured"]
"""All that does something in a call: ``sdk-floor`` is what anybody pays who uses the SDK's public API."""


class Arm:
    """A process that does batches when it is its turn."""

    def __init__(self, name: str) -> None:
        self._name = "none" if name == AGAIN else name
        self._process: subprocess.Popen[str] = subprocess.Popen(
            [str(peers.python(self._name)), str(results.ARM), self._name, "cost"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=results.environ(),
        )
        while self._line() != "ready":
            pass  # some print at their start

    def do(self, kind: str, times: int) -> tuple[float, float]:
        """CPU time of one [us], of its thread and of the process."""
        pipe: IO[str] = self._process.stdin  # type: ignore[assignment]
        pipe.write(f"{kind} {times}\n")
        pipe.flush()
        thread, process = map(float, self._line().split())
        return thread, process

    def _line(self) -> str:
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        return line.strip() or sys.exit(f"{self._name}: expected a line, found its end ({self._process.wait()})")

    def end(self) -> None:
        """End the process."""
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait(30)


def _round(arms: dict[str, Arm], number: int) -> dict[str, dict[str, float]]:
    """What each arm took, by what was done: one call or stream [us]."""
    took: dict[str, dict[str, float]] = {name: {} for name in arms}
    for kind, times in BATCHES.items():
        for name in results.shuffled(list(arms), number):
            took[name][f"{kind}_thread"], took[name][kind] = arms[name].do(kind, times)
    return took


def _added(mine: dict[str, float], bare: dict[str, float]) -> dict[str, float]:
    """What an arm added in one round [us]."""
    more = {kind: mine[kind] - bare[kind] for kind in mine}
    return {
        **{kind: more[kind] for kind in ("call", "async_call", "call_thread", "async_call_thread")},
        "chunk": (more["stream"] - more["call"]) / results.PIECES,
        "async_chunk": (more["async_stream"] - more["async_call"]) / results.PIECES,
    }


def main() -> None:
    """Run the rounds and keep what they gave."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--arms", nargs="+", choices=list(peers.PEERS), default=ARMS)
    asked = parser.parse_args()
    load = results.load()
    arms = {name: Arm(name) for name in dict.fromkeys(("none", AGAIN, *asked.arms))}
    for number in range(3):  # interpreters adapt, caches fill
        _round(arms, number)
    rounds = []
    for number in range(asked.rounds):
        rounds.append(_round(arms, number))
        print(f"round {number + 1}", file=sys.stderr, flush=True)
    for arm in arms.values():
        arm.end()
    added = {name: [_added(took[name], took["none"]) for took in rounds] for name in arms if name != "none"}
    figures = {name: {kind: [one[kind] for one in seen] for kind in seen[0]} for name, seen in added.items()}
    results.keep(
        "overhead",
        {
            "unit": "us CPU",
            "rounds": len(rounds),
            "load": [load, results.load()],
            "un-instrumented": {
                kind: results.summary([took["none"][kind] for took in rounds]) for kind in rounds[0]["none"]
            },
            "added": {
                name: {kind: results.summary(values) for kind, values in seen.items()} for name, seen in figures.items()
            },
        },
    )


if __name__ == "__main__":
    main()
