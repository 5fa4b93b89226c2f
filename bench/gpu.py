"""What reading the cards costs, and what a real card says.

    python bench/gpu.py            one reading of 8 cards of the stand-in: CPU of our own code, without pynvml's calls
    python bench/gpu.py --real     what NVML says on this machine, field by field, each with the time its question took

The stand-in's values are made up. ``--real`` is for a machine with an NVIDIA driver; run it once on each kind of card.
"""

import argparse
import ctypes
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

from otel_llm.probe import nvml
from otel_llm.probe.fields import FIELDS
from otel_llm.probe.nvml import Nvml

SOURCE = Path(__file__).parents[1] / "tests/parts/nvml_driver.c"
ROUNDS = 300


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", action="store_true", help="read this machine's cards instead of the stand-in's")
    parser.add_argument("--cards", type=int, default=8, help="how many cards the stand-in has (8)")
    options = parser.parse_args()
    return show_real() if options.real else measure(options.cards)


def show_real() -> int:
    """Print what the cards of this machine say."""
    names, why = nvml.diagnose()
    if not names:
        print(f"bench/gpu.py: expected an NVIDIA driver and a card, found none: {why}", file=sys.stderr)
        return 1
    source = Nvml()
    source.read(time.monotonic())
    time.sleep(1.0)
    for card in source.cards(time.monotonic()):
        print(f"\n{card.identity}")
        for field in FIELDS:
            began = time.perf_counter()
            readings = card.read((field,), time.monotonic())
            took = (time.perf_counter() - began) * 1e3
            print(f"  {field.name}: {took:.3f} ms{'' if readings else ', absent'}")
            for reading in readings:
                extra = {key: value for key, value in reading.attributes.items() if key not in card.identity}
                print(f"    {reading.name} {reading.value} {extra or ''}")
    began = time.perf_counter()
    source.read(time.monotonic())
    print(f"\none reading of all cards: {(time.perf_counter() - began) * 1e3:.2f} ms; errors {source.errors or 'none'}")
    source.close()
    return 0


def measure(cards: int) -> int:
    """Print the CPU of one reading of the stand-in's cards."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "libnvidia-ml.so.1")
        compiler = shutil.which("cc") or "gcc"
        soname = f"-Wl,-soname,{library.name}"
        subprocess.run((compiler, "-O2", "-shared", "-fPIC", soname, "-o", library, SOURCE), check=True)
        said = Path(folder, "cards")
        said.write_text(f"count={cards}\nfield.82=50\nfield.197=1000\nfield.198=1000\nenergy=1000\n")
        os.environ["NVML_STANDIN"] = str(said)
        ctypes.CDLL(str(library))
        source = Nvml()
        readings = source.read(0.0)
        with_calls = cpu(source)
        replay(source)
        own = cpu(source)
        source.close()
    print(f"{cards} cards, {len(readings)} readings, {ROUNDS} rounds; CPU of one reading, median (best)")
    print(f"  with pynvml and the stand-in's calls  {with_calls[0]:.3f} ms ({with_calls[1]:.3f})")
    print(f"  own code, pynvml's answers replayed   {own[0]:.3f} ms ({own[1]:.3f})")
    return 0


def cpu(source: Nvml) -> tuple[float, float]:
    """Median and least CPU time of a reading [ms]."""
    took = []
    for tick in range(ROUNDS):
        began = time.thread_time_ns()
        source.read(tick * 0.001)
        took.append((time.thread_time_ns() - began) / 1e6)
    return statistics.median(took), min(took)


def replay(source: Nvml) -> None:
    """Have each question answered by what it was answered before, at the cost of a call that does nothing."""
    real = source._nvml  # noqa: SLF001 - measured from the inside
    answers: dict[str, object] = {}

    class Replayed(SimpleNamespace):
        def __getattr__(self, name: str) -> object:
            value = getattr(real, name)
            if not name.startswith("nvmlDeviceGet"):
                setattr(self, name, value)
                return value

            def first(*arguments: object, **options: object) -> object:
                answers[name] = answer = value(*arguments, **options)
                setattr(self, name, lambda *_arguments, **_options: answer)
                return answer

            if name in {"nvmlDeviceGetFieldValues", "nvmlDeviceGetClockInfo", "nvmlDeviceGetTotalEccErrors"}:
                return keyed(self, name, value)
            return first

    def keyed(holder: Replayed, name: str, ask: object) -> object:
        """A question whose arguments tell answers apart."""
        known: dict[object, object] = {}

        def answer(_handle: object, *arguments: object) -> object:
            if arguments not in known:
                known[arguments] = ask(_handle, *arguments)  # type: ignore[operator]
            return known[arguments]

        setattr(holder, name, answer)
        return answer

    replayed = Replayed()
    source._nvml = replayed  # noqa: SLF001
    for card in source._cards:  # noqa: SLF001
        card.nvml = replayed


if __name__ == "__main__":
    sys.exit(main())
