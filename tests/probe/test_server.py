"""Model servers: the real llama.cpp under load, and pages that are slow, huge, no text, or elsewhere."""

import http.server
import json
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from opentelemetry.sdk.trace import TracerProvider

from otel_llm import semconv
from otel_llm.probe import server
from otel_llm.probe.server import Servers, fetch_page
from otel_llm.probe.sightings import MOST_SERVERS, Sightings
from parts.waiting import WITHIN

PAGE = b"vllm:num_requests_running 3\n"


class Handler(http.server.BaseHTTPRequestHandler):
    """What the path says."""

    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        kind = self.path.strip("/")
        if kind == "redirect":
            self.send_response(302)
            self.send_header("Location", "/metrics")
            self.end_headers()
            return
        self.send_response(200 if kind != "gone" else 404)
        self.end_headers()
        if kind == "huge":
            piece = b"vllm:num_requests_running 3\n" * 4096
            for _ in range(60):
                self.wfile.write(piece)
        elif kind == "drip":
            while not self.server.ended.wait(0.05):
                self.wfile.write(b"#")
        elif kind == "hang":
            self.server.ended.wait(WITHIN)
        elif kind == "bytes":
            self.wfile.write(bytes(range(256)))
        else:
            self.wfile.write(PAGE)

    def log_message(self, *_):
        pass


@pytest.fixture
def page():
    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.asked = []
    listening.ended = threading.Event()
    listening.url = f"http://127.0.0.1:{listening.server_port}"
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
    thread.start()
    yield listening
    listening.ended.set()
    listening.shutdown()
    thread.join()
    listening.server_close()


def called(*places, provider="vllm"):
    """Sightings of real spans that went to ``places``."""
    sightings = Sightings()
    tracing = TracerProvider()
    tracing.add_span_processor(sightings)
    for address, port in places:
        attributes = {
            semconv.PROVIDER_NAME: provider,
            semconv.SERVER_ADDRESS: address,
            semconv.SERVER_PORT: port,
        }
        tracing.get_tracer("t").start_span("chat", attributes=attributes).end()
    return sightings


def test_a_server_that_was_called_is_asked(page):
    (reading,) = Servers(called(("127.0.0.1", page.server_port)), {}).read(1.0)
    assert reading.name == semconv.METRIC_SERVER_RUNNING
    assert reading.value == 3.0
    assert reading.attributes[semconv.SERVER_PORT] == page.server_port
    assert "Authorization" not in page.asked[0][1]


def test_a_server_that_was_named_is_asked(page):
    (reading,) = Servers(Sightings(), {"llm": page.url}).read(1.0)
    assert reading.value == 3.0


def test_a_provider_far_away_is_never_asked():
    assert not called(("api.openai.com", 443), provider="openai").servers


def test_servers_beyond_the_bound_are_not_looked_at():
    sightings = called(*(("10.0.0.1", 8000 + number) for number in range(MOST_SERVERS + 3)))
    assert len(sightings.servers) == MOST_SERVERS
    assert sightings.beyond


@pytest.mark.parametrize(
    ("kind", "timeout", "fault"),
    [
        ("redirect", WITHIN, "found status 302"),
        ("gone", WITHIN, "found status 404"),
        ("huge", WITHIN, "expected at most 4,000,000 bytes"),
        ("drip", 2.0, "one that drips"),
        ("hang", 0.5, "timed out"),
    ],
)
def test_a_page_that_will_not_do_is_refused_in_time(page, kind, timeout, fault, monkeypatch):
    monkeypatch.setattr(server, "TIMEOUT", timeout)
    before = time.monotonic()
    with pytest.raises((OSError, ValueError), match=fault):
        fetch_page(f"{page.url}/{kind}")
    assert time.monotonic() - before < WITHIN / 2


def test_a_page_that_is_no_text_says_nothing_and_the_next_question_waits(page):
    servers = Servers(Sightings(), {"llm": f"{page.url}/bytes"})
    assert servers.read(1.0) == []
    assert servers.read(2.0) == []
    assert len(page.asked) == 1
    servers.read(1000.0)
    assert len(page.asked) == 2


def test_a_server_that_is_back_is_told_again(page):
    answers = [OSError("refused"), PAGE.decode()]

    def fetch(_url):
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    servers = Servers(Sightings(), {"llm": page.url}, fetch)
    assert servers.read(1.0) == []
    assert [reading.value for reading in servers.read(100.0)] == [3.0]


@pytest.mark.slow
def test_the_real_llama_cpp_tells_what_four_streams_do_to_it(model_url, monkeypatch):
    monkeypatch.setattr(server, "TIMEOUT", WITHIN)
    parts = urlsplit(model_url)
    servers = Servers(called((parts.hostname, parts.port), provider="llama_cpp"), {})
    body = {"model": "m", "max_tokens": 200, "ignore_eos": True, "messages": [{"role": "user", "content": "Count."}]}

    def ask(_number):
        request = urllib.request.Request(  # noqa: S310
            f"{parts.scheme}://{parts.netloc}/v1/chat/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=500) as response:  # noqa: S310
            return json.load(response)["usage"]["completion_tokens"]

    begun = time.monotonic()
    servers.read(begun)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask, number) for number in range(4)]
        most = 0.0
        while not all(one.done() for one in asked):
            fetched = fetch_page(f"{parts.scheme}://{parts.netloc}/metrics")
            found = dict(server.tell(server.parse(fetched), None, 0.0))
            most = max(most, found[semconv.METRIC_SERVER_RUNNING])
            time.sleep(0.05)
    tokens = sum(one.result() for one in asked)
    ended = time.monotonic()
    said = {reading.name: reading.value for reading in servers.read(ended)}
    assert most == 4.0
    assert said[semconv.METRIC_SERVER_OUTPUT_RATE] == pytest.approx(tokens / (ended - begun), rel=0.1)
    assert said[semconv.METRIC_SERVER_DECODE_RATE] > 0
    assert said[semconv.METRIC_SERVER_WAITING] == 0.0
