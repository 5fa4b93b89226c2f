"""OpenAI's bodies and those of its imitators."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm import semconv
from otel_llm.calls import Call
from otel_llm.record.exchange import Facts, Request
from otel_llm.record.providers import openai

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [
        *("id", "model", "object", "type", "choices", "usage", "error", "response", "status", "timings", "time_info"),
        *("x_groq", "delta", "value", "output", "sequence_number", "system_fingerprint", "code", "message"),
        *("incomplete_details", "metadata", "index", "finish_reason", "text", "prompt_tokens_details", "queue_time"),
        *("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "cached_tokens", "prompt_ms"),
    ]
)
KNOWN = st.deferred(
    lambda: st.dictionaries(
        KEYS, JSON | KNOWN | st.lists(KNOWN, max_size=2) | st.sampled_from(["response", "error", "failed"]), max_size=6
    )
)


def ask(body, path="/v1/chat/completions", host="10.0.0.1", port=8000):
    raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    return openai.open(Request(host=host, port=port, path=path, headers={}, body=raw), {})


def read(*messages):
    facts = Facts()
    carried = [openai.read(message, facts) for message in messages]
    return facts, carried


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/v1/chat/completions", semconv.OPERATION_CHAT),
        ("/v1/completions", semconv.OPERATION_TEXT_COMPLETION),
        ("/v1/responses", semconv.OPERATION_CHAT),
        ("/v1/embeddings", semconv.OPERATION_EMBEDDINGS),
        ("/api/paas/v4/chat/completions", semconv.OPERATION_CHAT),
        ("/openai/deployments/gpt/chat/completions", semconv.OPERATION_CHAT),
        ("/openai/deployments/ada/embeddings", semconv.OPERATION_EMBEDDINGS),
        ("/v1/fim/completions", semconv.OPERATION_TEXT_COMPLETION),
        ("/v1/agents/completions", semconv.OPERATION_CHAT),
        ("/v1/prompts/pp-1/completions", semconv.OPERATION_CHAT),
        ("/publishers/mistralai/models/m:streamRawPredict", semconv.OPERATION_CHAT),
    ],
)
def test_the_path_tells_the_operation(path, operation):
    assert ask({"model": "m"}, path).operation == operation


@pytest.mark.parametrize("path", ["/responses", "/embeddings", "/completions", "/survey/responses"])
def test_a_path_that_others_have_too_needs_a_model(path):
    assert ask({"answers": []}, path) is None
    assert ask({"model": "m"}, path) is not None


@pytest.mark.parametrize("body", [None, b"", b"{", b"\xff", b"[]", b"null", b"--boundary", b"[" * 10_000])
def test_a_body_that_cannot_be_read_is_still_a_call(body):
    opening = ask(body)
    assert (opening.operation, opening.model, dict(opening.request)) == ("chat", None, {})


def test_an_azure_path_names_provider_and_deployment():
    opening = ask({}, "/openai/deployments/my-gpt/chat/completions", "gateway.internal")
    assert (opening.provider, opening.model) == ("azure.ai.openai", "my-gpt")


def test_the_body_names_the_model_before_the_path_does():
    assert ask({"model": "m"}, "/openai/deployments/my-gpt/chat/completions").model == "m"


@pytest.mark.parametrize(
    ("path", "provider"),
    [("/models/chat/completions", "azure.ai.inference"), ("/openai/v1/chat/completions", "azure.ai.openai")],
)
def test_a_host_of_azure_that_serves_both_is_told_by_the_path(path, provider):
    assert ask({"model": "m"}, path, "mine.services.ai.azure.com", None).provider == provider


def test_an_engine_of_old_is_the_model():
    assert ask({"prompt": "hi"}, "/v1/engines/davinci/completions").model == "davinci"


def test_another_publisher_on_vertex_is_asked_in_openais_words():
    opening = ask({"messages": []}, "/v1/projects/p/locations/l/publishers/mistralai/models/m@1:rawPredict")
    assert (opening.provider, opening.model) == ("gcp.vertex_ai", "m@1")


@pytest.mark.parametrize(
    "path", ["/publishers/anthropic/models/m:rawPredict", "/publishers/google/models/m:rawPredict", "/any:rawPredict"]
)
def test_what_no_other_publisher_is_asked_is_left_alone(path):
    assert ask({"model": "m"}, path) is None


def test_what_the_body_asks_is_told():
    body = {
        "model": "m",
        "stream": True,
        "temperature": 0,
        "top_p": 0.9,
        "top_k": 40,
        "max_tokens": 100,
        "seed": -7,
        "frequency_penalty": 0.1,
        "presence_penalty": -0.2,
        "stop": ["a", "b"],
        "n": 2,
        "reasoning_effort": "low",
        "messages": [{"role": "user", "content": "secret"}],
    }
    said = dict(ask(body).request)
    assert said == {
        "stream": True,
        "temperature": 0.0,
        "top_p": 0.9,
        "top_k": 40.0,
        "max_tokens": 100,
        "seed": -7,
        "frequency_penalty": 0.1,
        "presence_penalty": -0.2,
        "stop_sequences": ("a", "b"),
        "choice_count": 2,
        "reasoning_level": "low",
    }


@pytest.mark.parametrize(
    ("body", "name", "value"),
    [
        ({"max_completion_tokens": 5, "max_tokens": 9}, "max_tokens", 5),
        ({"max_output_tokens": 7}, "max_tokens", 7),
        ({"stop": "x"}, "stop_sequences", ("x",)),
        ({"n": 1}, "choice_count", None),
        ({"reasoning": {"effort": "high"}}, "reasoning_level", "high"),
        ({"dimensions": 256}, "dimension_count", 256),
        ({"encoding_format": "base64"}, "encoding_formats", ("base64",)),
        ({"seed": 1 << 70}, "seed", None),
        ({"temperature": "hot"}, "temperature", None),
        ({"temperature": True}, "temperature", None),
        ({"stream": "yes"}, "stream", None),
        ({"max_tokens": -1}, "max_tokens", None),
        ({"max_tokens": 1.5}, "max_tokens", None),
        ({"stop": [1, "x", None]}, "stop_sequences", ("x",)),
        ({"reasoning": "high"}, "reasoning_level", None),
    ],
)
def test_a_parameter_is_told_in_any_spelling_and_only_of_the_right_type(body, name, value):
    assert ask({"model": "m", **body}).request.get(name) == value


def test_names_and_lists_are_bounded():
    opening = ask({"model": "m" * 100_000, "stop": ["s" * 100_000] * 1000})
    assert len(opening.model) <= 1024
    assert sum(map(len, opening.request["stop_sequences"])) <= 65_536


def test_what_is_told_can_be_encoded():
    facts, _ = read({"model": "lone \ud83d", "choices": [{"finish_reason": "\udc00"}]})
    assert (facts.response_model, facts.finish) == ("lone ?", {0: "?"})


USAGES = [
    ({"prompt_tokens": 10, "completion_tokens": 5}, (10, 5, None, None, None)),
    ({"input_tokens": 10, "output_tokens": 5}, (10, 5, None, None, None)),
    ({"prompt_tokens": 10, "total_tokens": 10}, (10, None, None, None, None)),
    ({"prompt_tokens": 0, "completion_tokens": 0}, (0, 0, None, None, None)),
    (
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 3},
        },
        (10, 5, 4, None, 3),
    ),
    (
        {
            "input_tokens": 10,
            "output_tokens": 5,
            "input_tokens_details": {"cached_tokens": 4},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
        (10, 5, 4, None, 0),
    ),
    ({"prompt_tokens": 10, "prompt_cache_hit_tokens": 6}, (10, None, 6, None, None)),
    ({"prompt_tokens": 10, "cached_tokens": 6}, (10, None, 6, None, None)),
    ({"prompt_tokens": 10, "prompt_tokens_details": None}, (10, None, None, None, None)),
    ({"prompt_tokens": 10, "cache_creation_input_tokens": 0}, (10, None, None, None, None)),
    ({"prompt_tokens": 10, "prompt_tokens_details": {"cache_write_tokens": 2}}, (10, None, None, 2, None)),
    ({"prompt_tokens": 10.0, "completion_tokens": 2.0}, (10, 2, None, None, None)),
    ({"prompt_tokens": "10", "completion_tokens": -2}, (None, None, None, None, None)),
    ({"prompt_tokens": True, "completion_tokens": [1]}, (None, None, None, None, None)),
    ({"prompt_tokens": None, "completion_tokens": 1 << 70}, (None, None, None, None, None)),
]


@pytest.mark.parametrize(("usage", "tokens"), USAGES, ids=range(len(USAGES)))
def test_tokens_are_counted(usage, tokens):
    facts, _ = read({"choices": [], "usage": usage})
    assert (
        facts.input_tokens,
        facts.output_tokens,
        facts.cache_read_input_tokens,
        facts.cache_creation_input_tokens,
        facts.reasoning_output_tokens,
    ) == tokens


def test_a_later_usage_wins():
    facts, _ = read(*({"usage": {"prompt_tokens": 10, "completion_tokens": number}} for number in (1, 2, 9)))
    assert (facts.input_tokens, facts.output_tokens) == (10, 9)


def test_a_usage_that_says_less_takes_nothing_back():
    facts, _ = read({"usage": {"prompt_tokens": 10, "completion_tokens": 4}}, {"usage": {}}, {"usage": None})
    assert (facts.input_tokens, facts.output_tokens) == (10, 4)


def test_llama_cpp_tells_its_clock_and_its_tokens():
    timings = {"cache_n": 3, "prompt_n": 4, "prompt_ms": 250.0, "predicted_n": 8, "predicted_ms": 500.0}
    facts, _ = read({"choices": [], "timings": timings})
    assert (facts.server_prefill_time, facts.server_decode_time) == (0.25, 0.5)
    assert (facts.input_tokens, facts.cache_read_input_tokens, facts.output_tokens) == (7, 3, 8)
    assert facts.provider == "llama_cpp"


def test_a_reported_usage_wins_over_timings():
    facts, _ = read(
        {"usage": {"prompt_tokens": 1, "completion_tokens": 2}, "timings": {"predicted_n": 9, "cache_n": 5}}
    )
    assert (facts.input_tokens, facts.output_tokens) == (1, 2)


def test_groq_tells_its_clock_in_seconds():
    usage = {"queue_time": 0.1, "prompt_time": 0.2, "completion_time": 0.3, "prompt_tokens": 1}
    facts, _ = read({"usage": usage})
    assert (facts.server_queue_time, facts.server_prefill_time, facts.server_decode_time) == (0.1, 0.2, 0.3)
    assert read({"x_groq": {"usage": usage}})[0].input_tokens == 1


def test_cerebras_tells_its_clock_in_seconds():
    facts, _ = read({"time_info": {"queue_time": 0.1, "prompt_time": 0.2, "completion_time": 0.3}})
    assert (facts.server_queue_time, facts.server_prefill_time, facts.server_decode_time) == (0.1, 0.2, 0.3)


@pytest.mark.parametrize("value", ["1", -1, None, True, [1], float("nan")])
def test_a_time_of_the_wrong_type_is_not_said(value):
    facts, _ = read({"usage": {"queue_time": value, "prompt_time": 0.2}})
    assert (facts.server_queue_time, facts.server_prefill_time) == (None, 0.2)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"error": {"message": "no", "type": "t", "code": "c"}}, "c", "no"),
        ({"error": {"message": "no", "type": "t", "code": None}}, "t", "no"),
        ({"error": {"message": "no", "code": 404}}, "404", "no"),
        ({"error": {"message": "no"}}, None, "no"),
        ({"error": "overloaded"}, None, "overloaded"),
        ({"error": "bad", "code": "c", "message": "why"}, "c", "why"),
        ({"error": "bad", "error_type": "validation"}, "validation", "bad"),
        ({"error": {"message": ["no"], "code": {}}}, None, None),
        ({"error": [1]}, None, None),
        ({"type": "error", "sequence_number": 1, "code": "c", "message": "no"}, "c", "no"),
        ({"type": "error", "sequence_number": 1, "error": {"code": "c", "message": "no"}}, "c", "no"),
        (
            {"type": "response.failed", "response": {"status": "failed", "error": {"code": "c", "message": "no"}}},
            "c",
            "no",
        ),
    ],
    ids=range(12),
)
def test_an_error_is_told_in_any_of_its_shapes(body, code, message):
    facts, _ = read(body)
    assert (facts.failed, facts.error_code, facts.error_message) == (True, code, message)


@pytest.mark.parametrize("error", [None, False, "", {}, [], 0])
def test_an_error_that_says_nothing_is_none(error):
    assert not read({"error": error, "choices": []})[0].failed
    assert not read({"object": "response", "status": "completed", "error": error})[0].failed


@pytest.mark.parametrize(
    ("delta", "carries"),
    [
        ({"role": "assistant"}, False),
        ({"role": "assistant", "content": ""}, False),
        ({"content": "a"}, True),
        ({"content": None}, False),
        ({"reasoning_content": "a"}, True),
        ({"reasoning": "a"}, True),
        ({"tool_calls": [{"index": 0}]}, True),
        ({"tool_calls": []}, False),
        ({"refusal": "no"}, True),
        ({"audio": {"data": "x"}}, True),
        ({}, False),
    ],
)
def test_a_delta_carries_output_when_something_is_in_it(delta, carries):
    assert read({"choices": [{"delta": delta}]})[1] == [carries]


@pytest.mark.parametrize(
    ("event", "carries"),
    [
        ({"type": "response.created", "response": {}}, False),
        ({"type": "response.output_text.delta", "delta": "a"}, True),
        ({"type": "response.output_text.delta", "delta": ""}, False),
        ({"type": "response.reasoning_summary_text.delta", "delta": "a"}, True),
        ({"type": "response.function_call_arguments.delta", "delta": "{"}, True),
        ({"type": "response.output_text.done", "text": "a"}, False),
        ({"type": "response.completed", "response": {"output": [1]}}, False),
    ],
)
def test_an_event_carries_output_when_it_is_a_delta(event, carries):
    assert read(event)[1] == [carries]


@pytest.mark.parametrize("kind", ["completed", "failed", "incomplete"])
def test_the_last_event_ends_the_stream(kind):
    facts, _ = read({"type": f"response.{kind}", "response": {"status": kind}})
    assert (facts.done, facts.promised, facts.finish) == (True, True, {0: kind})


def test_an_incomplete_response_tells_why():
    facts, _ = read(
        {"object": "response", "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    )
    assert facts.finish == {0: "max_output_tokens"}


def test_a_response_in_progress_has_not_finished():
    assert read({"object": "response", "status": "in_progress"})[0].finish == {}


@given(st.lists(KNOWN, max_size=3))
def test_any_answer_is_read_and_what_it_tells_fits_a_call(messages):
    facts = Facts()
    for message in messages:
        openai.read(message, facts)
    call = Call(operation="chat", **facts.tell({}))
    assert Call.from_attributes(call.attributes()) == call


@given(st.dictionaries(st.sampled_from(["model", "stream", "stop", "n", "seed", "reasoning", "messages"]), JSON))
def test_any_request_is_opened_and_what_it_tells_fits_a_call(body):
    opening = ask(body)
    call = Call(operation="chat", **opening.request)
    assert Call.from_attributes(call.attributes()) == call
