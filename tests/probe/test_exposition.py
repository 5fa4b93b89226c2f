"""Pages of vLLM, SGLang and TGI, written after their metric references (no such server runs here): one vocabulary."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm import semconv
from otel_llm.probe.exposition import ENGINES, Page, parse, tell
from otel_llm.probe.sightings import KINDS

PAGES = Path(__file__).with_name("pages")


def page(name):
    return parse((PAGES / f"{name}.txt").read_text())


@pytest.mark.parametrize(
    ("name", "engine", "running", "waiting", "cache"),
    [
        ("vllm-0.12", "vllm", 3.0, 2.0, 0.42),
        ("vllm-0.7", "vllm", 3.0, 2.0, 0.42),
        ("sglang-0.5", "sglang", 7.0, 1.0, 0.28),
        ("tgi-3", "tgi", 5.0, 0.0, None),
    ],
)
def test_servers_and_versions_tell_the_same_under_one_name(name, engine, running, waiting, cache):
    found = page(name)
    said = dict(tell(found, None, 0.0))
    assert found.engine == engine
    assert said.get(semconv.METRIC_SERVER_RUNNING) == running
    assert said.get(semconv.METRIC_SERVER_WAITING) == waiting
    assert said.get(semconv.METRIC_SERVER_KV_CACHE) == cache


def test_two_looks_give_rates_and_means_of_what_was_between():
    said = dict(tell(page("vllm-0.12-later"), page("vllm-0.12"), 10.0))
    assert said[semconv.METRIC_SERVER_INPUT_RATE] == 50.0
    assert said[semconv.METRIC_SERVER_OUTPUT_RATE] == 100.0
    assert said[semconv.METRIC_SERVER_QUEUE_TIME] == 0.5
    assert said[semconv.METRIC_SERVER_PREFILL_TIME] == 0.125
    assert said[semconv.METRIC_SERVER_DECODE_TIME] == 1.5
    assert said[semconv.METRIC_SERVER_CACHE_HITS] == 0.5
    assert said[semconv.METRIC_SERVER_PREFILL_RATE] == 1000.0
    assert said[semconv.METRIC_SERVER_DECODE_RATE] == pytest.approx(1000 / 6)


def test_a_server_that_began_anew_has_no_rates():
    said = dict(tell(page("vllm-0.12"), page("vllm-0.12-later"), 10.0))
    assert semconv.METRIC_SERVER_OUTPUT_RATE not in said
    assert semconv.METRIC_SERVER_RUNNING in said


def test_nothing_finished_means_no_mean():
    said = dict(tell(page("vllm-0.12"), page("vllm-0.12"), 10.0))
    assert semconv.METRIC_SERVER_QUEUE_TIME not in said
    assert said[semconv.METRIC_SERVER_OUTPUT_RATE] == 0.0


def test_several_engines_add_up_and_the_fullest_cache_counts():
    text = "\n".join(
        f'vllm:num_requests_running{{engine="{number}"}} 2\nvllm:kv_cache_usage_perc{{engine="{number}"}} 0.{number}'
        for number in (1, 9)
    )
    said = dict(tell(parse(text), None, 0.0))
    assert said == {semconv.METRIC_SERVER_RUNNING: 4.0, semconv.METRIC_SERVER_KV_CACHE: 0.9}


@pytest.mark.parametrize(
    "text", ["", "<html>404</html>", "go_goroutines 3\n", "\x00\xff", "vllm:num_requests_running NaN"]
)
def test_what_is_no_page_of_a_known_server_is_nothing(text):
    assert parse(text) is None


@given(st.text(st.sampled_from('vllm:num_requests_running{}="# .0+eInfNa\n'), max_size=200))
def test_no_text_is_too_strange(text):
    found = parse(text)
    if found is not None:
        list(tell(found, Page(engine=found.engine), 1.0))


def test_servers_that_are_watched_for_are_those_that_can_be_read():
    assert set(ENGINES) == KINDS
