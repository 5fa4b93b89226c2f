"""The demo, run as a user runs it, and its records beside what the model server itself reported."""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from parts.application import Desk, reported_tokens, said
from parts.model import EXAMPLES
from parts.ports import is_open

pytestmark = pytest.mark.slow

UNSEEN_BY_THE_SERVER = 1.0
"""[s] Most that a call may last beyond the server's own clock: connection, queue, transport.

The least of some calls is held against it: what the machine has to do besides is no part of it.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """A finished run: what it printed, what the model server reported, what ``otel-llm`` says of it."""

    printed: str
    servers: list[dict[str, Any]]
    complained: str
    calls: list[dict[str, Any]]
    summary: dict[str, Any]

    @property
    def by_id(self) -> dict[str, dict[str, Any]]:
        return {call["attributes"].get("gen_ai.response.id"): call for call in self.calls}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, EXAMPLES / "demo.py", "--folder", folder],
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
        env=Desk(folder / "unused.db").environ(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    desk = Desk(folder / "otel-llm.db")
    return Demo(
        printed=done.stdout,
        servers=[server for kept in folder.glob("*.out") for server in said(kept.read_text())],
        complained=done.stderr,
        calls=desk.ask("calls", "list", "--limit", "100"),
        summary=desk.ask("summary", "--by", "model"),
    )


@pytest.fixture(scope="module")
def pairs(demo: Demo) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each answer that the server gave an id: what it reported, and the call as recorded."""
    return [(server, demo.by_id[server["id"]]) for server in demo.servers if "id" in server]


def test_every_call_is_one_span(demo):
    assert len(demo.calls) == len(demo.servers) == 9


def test_nothing_is_said_that_the_applications_did_not_say(demo):
    assert demo.complained == ""


def test_tokens_are_what_the_server_reported(pairs):
    assert len(pairs) == 7
    for server, call in pairs:
        attributes = call["attributes"]
        recorded = attributes["gen_ai.usage.input_tokens"], attributes["gen_ai.usage.output_tokens"]
        assert recorded == reported_tokens(server)


def test_tokens_of_a_stream_without_usage_come_from_the_server_too(pairs):
    (call,) = (call for server, call in pairs if "usage" not in server)
    assert call["attributes"]["otel_llm.usage.source"] == "provider"


def test_cached_tokens_are_what_the_server_reported(pairs):
    for server, call in pairs:
        assert call["attributes"]["gen_ai.usage.cache_read.input_tokens"] == server["timings"]["cache_n"]


def test_prefill_and_decode_are_the_servers_own_clock(pairs):
    for server, call in pairs:
        timings = server["timings"]
        assert call["attributes"]["otel_llm.server.prefill_time"] == pytest.approx(timings["prompt_ms"] / 1e3)
        assert call["attributes"]["otel_llm.server.decode_time"] == pytest.approx(timings["predicted_ms"] / 1e3)


def test_a_call_lasts_as_long_as_the_server_worked_and_hardly_longer(pairs):
    beyond = [
        call["duration"] - (server["timings"]["prompt_ms"] + server["timings"]["predicted_ms"]) / 1e3
        for server, call in pairs
    ]
    assert 0 <= min(beyond) <= UNSEEN_BY_THE_SERVER


def test_the_first_token_of_a_stream_comes_when_the_prompt_is_read(pairs):
    streams = [(server, call) for server, call in pairs if call["attributes"].get("gen_ai.request.stream")]
    assert len(streams) == 6
    beyond = [
        call["attributes"]["otel_llm.time_to_first_token"] - server["timings"]["prompt_ms"] / 1e3
        for server, call in streams
    ]
    assert 0 <= min(beyond) <= UNSEEN_BY_THE_SERVER


def test_the_first_chunk_is_never_later_than_the_first_token(pairs):
    for _, call in pairs:
        attributes = call["attributes"]
        if "otel_llm.time_to_first_token" in attributes:
            first_chunk = attributes["gen_ai.response.time_to_first_chunk"]
            assert 0 < first_chunk <= attributes["otel_llm.time_to_first_token"]


def test_time_per_output_token_is_the_decode_time_shared_out(pairs):
    for _, call in pairs:
        attributes = call["attributes"]
        if "otel_llm.time_per_output_token" in attributes:
            decode = call["duration"] - attributes["otel_llm.time_to_first_token"]
            shared = decode / (attributes["gen_ai.usage.output_tokens"] - 1)
            assert attributes["otel_llm.time_per_output_token"] == pytest.approx(shared, rel=0.02)


def test_the_refused_call_is_an_error_with_its_status(demo):
    (refused,) = (call for call in demo.calls if call["status"] == "ERROR")
    assert refused["attributes"]["error.type"] == "400"
    assert refused["attributes"]["http.response.status_code"] == 400


def test_a_refused_call_has_no_tokens(demo):
    (refused,) = (call for call in demo.calls if call["status"] == "ERROR")
    assert not any(name.startswith("gen_ai.usage.") for name in refused["attributes"])


def test_embeddings_carry_the_tokens_that_the_server_reported(demo):
    (call,) = (call for call in demo.calls if call["attributes"]["gen_ai.operation.name"] == "embeddings")
    (server,) = (server for server in demo.servers if set(server) == {"usage"})
    assert call["attributes"]["gen_ai.usage.input_tokens"] == server["usage"]["prompt_tokens"]


def test_the_four_at_once_overlap(demo):
    streams = [call for call in demo.calls if call["attributes"].get("gen_ai.usage.output_tokens") == 48]
    four = [call for call in streams if call["attributes"]["otel_llm.stream.chunks"] > 0][:4]
    starts = [call["start_time_unix_nano"] / 1e9 for call in four]
    assert max(starts) < min(start + call["duration"] for start, call in zip(starts, four, strict=True))


def test_the_summary_adds_up(demo):
    (group,) = demo.summary["groups"]
    recorded = [call["attributes"] for call in demo.calls]
    assert demo.summary["calls"] == len(demo.calls)
    assert demo.summary["errors"] == 1
    for kind in ("input_tokens", "output_tokens"):
        assert group[kind] == sum(attributes.get(f"gen_ai.usage.{kind}", 0) for attributes in recorded)


def test_the_summarys_longest_call_is_the_longest_call(demo):
    (group,) = demo.summary["groups"]
    finished = [call["duration"] for call in demo.calls if call["status"] != "ERROR"]
    assert group["duration"]["max"] == pytest.approx(max(finished))


def test_the_demo_shows_the_summary_and_one_stream(demo):
    for command in ("$ otel-llm summary --by model", "$ otel-llm calls show "):
        assert command in demo.printed


def test_no_server_outlives_the_demo(demo):
    ports = {int(port) for port in re.findall(r"http://127\.0\.0\.1:(\d+)", demo.printed)}
    assert len(ports) == 2
    assert not any(is_open(port) for port in ports)


BY_HAND = ("in_process", "worker_queue")
"""Examples of the client SDK: they import it, and so are no unchanged applications."""

APPLICATIONS = sorted(path for path in Path(EXAMPLES).glob("*.py") if path.stem not in BY_HAND)


@pytest.mark.parametrize("example", APPLICATIONS, ids=lambda path: path.stem)
def test_an_example_knows_nothing_of_otel_llm(example):
    assert not re.search(r"^\s*(import|from) (otel_llm|opentelemetry)", example.read_text(), re.MULTILINE)
