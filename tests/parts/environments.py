"""Virtual environments beside the tests' own: other versions of an SDK, other people's instrumentations, web servers.

Made once and kept outside the tree (``~/.cache/otel-llm/environments``), named after what they hold; the project is
installed editable from this tree, so a kept environment always runs the code at hand.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import platformdirs

PROJECT: Final = Path(__file__).resolve().parents[2]
WITHIN: Final = 900.0
"""Most time that making one may take [s]."""


def environment(*requirements: str, ours: bool = True) -> Path:
    """The interpreter of an environment that holds ``requirements`` and, where ``ours``, this project.

    Args:
        requirements: As pip takes them.
        ours: Whether the project itself is installed; without, the environment is what its users have today.

    Raises:
        AssertionError: If it cannot be made; the text is pip's.
    """
    project = ("--editable", str(PROJECT)) if ours else ()
    wanted = "\n".join((sys.version, *requirements, *project, *(_metadata() if ours else ())))
    place = platformdirs.user_cache_path("otel-llm") / "environments" / hashlib.sha256(wanted.encode()).hexdigest()[:16]
    python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may want the same one
        if not (place / "requirements.txt").exists():
            _run(sys.executable, "-m", "venv", "--clear", str(place))
            _run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *project, *requirements)
            (place / "requirements.txt").write_text(wanted)
    return python


def _metadata() -> tuple[str, ...]:
    """What an editable install copies: dependencies and entry points. A change there wants a new environment."""
    return ((PROJECT / "pyproject.toml").read_text().partition("[tool.hatch")[0],)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
