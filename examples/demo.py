"""The whole walk on one machine: a real model, unchanged applications, one command that shows what they did.

Starts `local_model.py` twice (text and embeddings), runs the other examples under ``opentelemetry-instrument`` and asks
``otel-llm`` about them. Needs no key and no network; what it leaves behind is one scratch folder, whose name it prints.

    nox -s demo                            installs what this wants, then runs it
    python examples/demo.py --folder DIR   for an environment that has it all
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
COMMANDS = Path(sys.executable).parent
TEXT_EXAMPLES = ("chat", "stream", "stream_without_usage", "four_at_once", "errors")
SERVER = "server: "
READY_WITHIN = 60.0
EXIT_WITHIN = 10.0


@contextmanager
def served(folder: Path, *flags: str) -> Iterator[str]:
    """The URL of a model server that runs as long as the block does.

    Raises:
        SystemExit: The server ended before it was ready, or was not ready in time; its log says why.
    """
    out, log = (folder / f"model{''.join(flags)}.{kind}" for kind in ("out", "log"))
    with out.open("wb") as stdout, log.open("wb") as stderr:
        server = subprocess.Popen([sys.executable, HERE / "local_model.py", *flags], stdout=stdout, stderr=stderr)
    try:
        yield _ready(server, out, log)
    finally:
        server.terminate()
        server.wait(EXIT_WITHIN)


def _ready(server: subprocess.Popen[bytes], out: Path, log: Path) -> str:
    deadline = time.monotonic() + READY_WITHIN
    while server.poll() is None and time.monotonic() < deadline:
        word, _, url = out.read_text().partition(" ")
        if word == "READY" and url.endswith("\n"):
            return url.strip()
        time.sleep(0.05)
    message = f"demo: the model server did not come up\n{log.read_text(errors='replace')[-2000:]}"
    raise SystemExit(message)


def environment(folder: Path) -> dict[str, str]:
    """What the examples and the commands run with: no telemetry setting of the caller's, a store in ``folder``."""
    kept = {
        name: value
        for name, value in os.environ.items()
        # What else is instrumented is the user's choice; where it goes is the demo's.
        if name == "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS" or not name.startswith(("OTEL_", "OPENAI_"))
    }
    return kept | {
        "PATH": os.pathsep.join((str(COMMANDS), os.environ["PATH"])),
        "OTEL_LLM_STORE_PATH": str(folder / "otel-llm.db"),
        "OTEL_SERVICE_NAME": "demo",
        "OTEL_LLM_PROBE_INTERVAL": "500ms",  # the examples run for seconds
        "OPENAI_API_KEY": "none",
    }


def run(environ: Mapping[str, str], *command: str) -> None:
    """Print a command as a user would type it, then what it prints.

    Raises:
        SystemExit: The command failed.
    """
    print(f"\n$ {' '.join(command)}", flush=True)
    done = subprocess.run([COMMANDS / command[0], *command[1:]], env=environ, cwd=HERE.parent, check=False)
    if done.returncode:
        message = f"demo: {command[0]} ended with {done.returncode}"
        raise SystemExit(message)


def run_example(environ: Mapping[str, str], example: str, server: str) -> None:
    """Run one of the examples against ``server``, recorded. All that it printed is kept beside the store.

    Raises:
        SystemExit: The example failed.
    """
    command = ("opentelemetry-instrument", "python", f"examples/{example}.py")
    print(f"\n$ {' '.join(command)}", flush=True)
    # Named, for a program of one call is over before its server is known.
    at_server = {**environ, "OPENAI_BASE_URL": f"{server}/v1", "OTEL_LLM_PROBE_SERVERS": f"model={server}/metrics"}
    done = subprocess.run(
        [COMMANDS / command[0], *command[1:]],
        env=at_server,
        cwd=HERE.parent,
        check=False,
        stdout=subprocess.PIPE,
        text=True,
    )
    Path(environ["OTEL_LLM_STORE_PATH"]).with_name(f"{example}.out").write_text(done.stdout)
    for line in done.stdout.splitlines():
        print(in_words(line.removeprefix(SERVER)) if line.startswith(SERVER) else line)
    if done.returncode:
        message = f"demo: {example} ended with {done.returncode}"
        raise SystemExit(message)


def in_words(reported: str) -> str:
    """One line of what the model server said of a call, from its JSON."""
    said = json.loads(reported)
    if "error" in said:
        return f"server: {said['status']} {said['error']['type']}"
    timings = said.get("timings")
    if timings is None:
        return f"server: {said['usage']['prompt_tokens']} tokens in"
    return (
        f"server: {timings['cache_n'] + timings['prompt_n']} tokens in ({timings['cache_n']} cached), "
        f"{timings['predicted_n']} out, prefill {timings['prompt_ms']:.0f} ms, decode {timings['predicted_ms']:.0f} ms"
    )


def streamed_call(environ: Mapping[str, str]) -> str:
    """The span id of the first stream whose tokens the server reported."""
    listed = subprocess.run(
        [COMMANDS / "otel-llm", "calls", "list", "--json"], env=environ, check=True, capture_output=True
    )
    return next(
        call["span_id"]
        for call in reversed(json.loads(listed.stdout))
        if call["attributes"].get("gen_ai.request.stream") and call["attributes"].get("gen_ai.usage.output_tokens")
    )


def main() -> None:
    """Run everything once."""
    parser = argparse.ArgumentParser(description="Record real calls to a real model, then look at them.")
    parser.add_argument("--folder", type=Path, help="where the store and the logs go; default: a new one")
    folder = parser.parse_args().folder or Path(tempfile.mkdtemp(prefix="otel-llm-demo-"))
    environ = environment(folder)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("demo: told to stop"))  # so that the servers end with it
    print(f"Scratch folder: {folder}")
    with served(folder) as text, served(folder, "--embeddings") as vectors:
        print(f"SmolLM2-135M behind llama.cpp's server: {text} (text), {vectors} (embeddings)")
        for example in TEXT_EXAMPLES:
            run_example(environ, example, text)
        run_example(environ, "embeddings", vectors)
    run(environ, "otel-llm", "summary", "--by", "model")
    run(environ, "otel-llm", "system")
    run(environ, "otel-llm", "calls", "show", streamed_call(environ))
    print(f"\nLook further: export OTEL_LLM_STORE_PATH={environ['OTEL_LLM_STORE_PATH']}; otel-llm --help")


if __name__ == "__main__":
    main()
