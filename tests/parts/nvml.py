"""NVML without a card: real `pynvml` on a stand-in for the driver's library, compiled from ``nvml_driver.c``.

It tests plumbing; what a real card says it cannot know.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("nvml_driver.c")


class Cards:
    """What the stand-in says, as a file that it reads anew whenever it changes.

    Attributes:
        environ: What a process of its own needs in its environment to see the cards.
    """

    def __init__(self, file: Path, library: Path) -> None:
        self._file = file
        self._lines: dict[str, object] = {}
        self.environ = {"NVML_STANDIN": str(file), "LD_LIBRARY_PATH": str(library.parent)}
        self.say({})

    def said(self, key: str) -> int:
        """What a line says, as a number."""
        return int(str(self._lines[key]))

    def say(self, lines: Mapping[str, object]) -> None:
        """Say ``lines`` from now on, beside what was said before; ``None`` takes a line back."""
        self._lines |= lines
        fresh = self._file.with_suffix(".new")
        said = "".join(f"{key}={value}\n" for key, value in self._lines.items() if value is not None)
        fresh.write_bytes(said.encode("utf-8", "surrogateescape"))
        fresh.replace(self._file)


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in, compiled."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.fail("no C compiler here: apt-get install gcc libc6-dev, or use .ci/run")
    library = tmp_path_factory.mktemp("nvml") / "libnvidia-ml.so.1"
    flags = ("-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden", "-pthread")
    subprocess.run((compiler, *flags, f"-Wl,-soname,{library.name}", "-o", library, SOURCE), check=True)
    return library


@pytest.fixture
def cards(tmp_path: Path, nvml_library: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cards]:
    """Two cards, until a test says otherwise. Without this fixture the stand-in says that there is no driver."""
    # The loader takes a library that is loaded for the one of the same name that pynvml asks for.
    ctypes.CDLL(str(nvml_library))
    there = Cards(tmp_path / "cards", nvml_library)
    there.say({"count": 2})
    monkeypatch.setenv("NVML_STANDIN", there.environ["NVML_STANDIN"])
    yield there
    assert os.environ["NVML_STANDIN"] == there.environ["NVML_STANDIN"]
