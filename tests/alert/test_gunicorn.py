"""Four workers of a real gunicorn whose calls fail: one episode, one word, with and without ``--preload``."""

import os
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from parts.ports import free_ports, is_open
from parts.processes import started
from parts.rules import errors
from parts.waiting import WITHIN, wait_for

BIN = Path(sys.executable).parent
WORKERS = 4
RULE = "window: 10s, threshold: 0.5, min_samples: 4, for: 1s, keep_firing_for: 3s, cooldown: 0s"
APPLICATION = """
import os, time
import httpx

ANSWERS = {
    200: {"model": "m", "choices": [{"finish_reason": "stop"}], "usage": {"prompt_tokens": 7}},
    500: {"error": {"code": "down"}},
}

def application(environ, start_response):
    status = int(environ["PATH_INFO"].strip("/"))
    transport = httpx.MockTransport(lambda _: httpx.Response(status, json=ANSWERS[status]))
    with httpx.Client(transport=transport) as client:
        client.post("https://api.openai.com/v1/chat/completions", json={"model": "m"})
    time.sleep(0.02)  # so that others get the next request
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--preload"]], ids=["plain", "preload"])
def test_four_workers_tell_an_episode_once(tmp_path, hook, options):
    (tmp_path / "wsgi.py").write_text(APPLICATION)
    (tmp_path / "rules.yaml").write_text(errors(RULE, hook.url))
    (port,) = free_ports(1)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    environ = kept | {
        "OTEL_LLM_STORE_PATH": str(tmp_path / "calls.db"),
        "OTEL_LLM_ALERTS_RULES": str(tmp_path / "rules.yaml"),
        "OTEL_LLM_ALERTS_DEFAULTS": "false",
        "PYTHONPATH": str(tmp_path),
    }
    command = [
        BIN / "opentelemetry-instrument",
        BIN / "gunicorn",
        "-w",
        str(WORKERS),
        "-b",
        f"127.0.0.1:{port}",
        "-t",
        "300",
    ]
    with started(
        [*command, *options, "wsgi:application"],
        log=tmp_path / "gunicorn.log",
        ready=lambda: is_open(port),
        environ=environ,
    ):
        pids = set()

        def ask(status):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{status}") as answer:
                pids.add(int(answer.read()))

        def ask_until(status, told):
            deadline = time.monotonic() + WITHIN
            while [said["status"] for said in hook.alerts()] != told:
                assert time.monotonic() < deadline, (hook.alerts(), (tmp_path / "gunicorn.log").read_text())
                ask(status)

        wait_for(lambda: ask(500) or len(pids) == WORKERS)
        ask_until(500, ["firing"])
        for _ in range(100):
            ask(500)
        ask_until(200, ["firing", "resolved"])
        for _ in range(50):
            ask(200)
    assert [said["status"] for said in hook.alerts()] == ["firing", "resolved"]
