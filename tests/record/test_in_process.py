"""Inference without a wire.

xllamacpp runs for real, with a real model. llama-cpp-python, transformers and vLLM are stand-ins (``stand_ins/``): the
first has no wheel, the others want gigabytes or a GPU. They have the shape of the real ones, so these tests show how
what such a library says is told, and not that every version of it says so.
"""

import asyncio
import gc
import http.server
import importlib
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_llm import boundary, semconv
from otel_llm.record import client, in_process, transport
from otel_llm.record.decorator import traced

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
MESSAGES = [{"role": "user", "content": "Tell of a fox."}]


@pytest.fixture(scope="module", autouse=True)
def _path():
    sys.path.insert(0, str(HERE / "stand_ins"))
    yield
    sys.path.remove(str(HERE / "stand_ins"))
    for name in [name for name in sys.modules if name.partition(".")[0] in ("llama_cpp", "transformers", "vllm")]:
        del sys.modules[name]


@pytest.fixture
def llama(recorded):
    return importlib.import_module("llama_cpp").Llama("/home/somebody/models/fox-Q4.gguf")


@pytest.fixture
def transformers(recorded):
    return importlib.import_module("transformers.generation.utils")


@pytest.fixture
def vllm(recorded):
    return importlib.import_module("vllm.entrypoints.llm")


def only(recorded):
    (span,) = recorded.take()
    return span


def test_a_completion_of_llama_is_one_span_without_the_users_folders(recorded, llama):
    assert llama("Once", max_tokens=3, temperature=0.5)["choices"][0]["text"] == "Once upon a"
    span = only(recorded)
    said = span.attributes
    assert span.name == "text_completion fox-Q4.gguf"
    assert said[semconv.PROVIDER_NAME] == "llama_cpp"
    assert (said[semconv.USAGE_INPUT_TOKENS], said[semconv.USAGE_OUTPUT_TOKENS]) == (4, 3)
    assert said[semconv.USAGE_SOURCE] == "provider"
    assert said[semconv.RESPONSE_FINISH_REASONS] == ("length",)
    assert (said[semconv.REQUEST_MAX_TOKENS], said[semconv.REQUEST_TEMPERATURE]) == (3, 0.5)
    assert not [value for value in said.values() if "/home" in str(value)]


def test_what_is_said_by_position_is_said(recorded, llama):
    llama.create_completion("Once", None, 2)
    said = only(recorded).attributes
    assert said[semconv.REQUEST_MAX_TOKENS] == 2
    assert semconv.REQUEST_TEMPERATURE not in said


@pytest.mark.parametrize("method", ["__call__", "create_completion", "create_chat_completion"])
def test_a_stream_of_llama_tells_of_its_first_token_and_estimates_its_tokens(recorded, llama, method):
    prompt = MESSAGES if "chat" in method else "Once"
    stream = getattr(llama, method)(prompt, max_tokens=3, stream=True)
    assert type(stream).__name__ == "generator"
    chunks = list(stream)
    said = only(recorded).attributes
    assert said[semconv.OUTCOME] == "completed"
    assert said[semconv.STREAM_CHUNKS] == len(chunks)
    assert (said[semconv.USAGE_OUTPUT_TOKENS], said[semconv.USAGE_SOURCE]) == (3, "estimated")
    assert 0 < said[semconv.RESPONSE_TIME_TO_FIRST_CHUNK] <= said[semconv.TIME_TO_FIRST_TOKEN]
    assert semconv.TIME_PER_OUTPUT_TOKEN not in said


def test_a_chat_of_llama_that_completes_inside_is_one_chat(recorded, llama):
    llama.create_chat_completion(MESSAGES, max_tokens=3)
    span = only(recorded)
    assert span.attributes[semconv.OPERATION_NAME] == "chat"
    assert sum(point.count for point in recorded.points()[semconv.METRIC_OPERATION_DURATION]) == 1


def test_embeddings_of_llama(recorded, llama):
    llama.create_embedding("a fox", model="fox-embed")
    said = only(recorded).attributes
    assert (said[semconv.OPERATION_NAME], said[semconv.USAGE_INPUT_TOKENS]) == ("embeddings", 3)
    assert said[semconv.REQUEST_MODEL] == "fox-embed"


def test_an_error_of_llama_reaches_the_user_and_the_span(recorded, llama):
    with pytest.raises(ValueError, match="exceed context window"):
        llama("bad")
    assert only(recorded).attributes[semconv.ERROR_TYPE] == "ValueError"
    with pytest.raises(ValueError, match="exceed context window"):
        list(llama("bad", stream=True))
    assert only(recorded).attributes[semconv.ERROR_TYPE] == "ValueError"


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("how", ["closed", "forgotten"])
def test_a_stream_that_is_left_is_abandoned(recorded, llama, begun, how):
    stream = llama("Once", stream=True)
    if begun:
        next(stream)
    if how == "closed":
        stream.close()
    del stream
    gc.collect()
    (span,) = recorded.wait(1)
    assert span.attributes[semconv.OUTCOME] == "abandoned"


def test_a_call_of_ones_own_around_is_completed_instead_of_doubled(recorded, llama):
    with client.call("chat", model="fox", provider="mine") as call:
        call.metadata(tenant="a")
        for _ in llama.create_chat_completion(MESSAGES, max_tokens=3, stream=True):
            pass
    said = only(recorded).attributes
    assert (said[semconv.REQUEST_MODEL], said[semconv.PROVIDER_NAME]) == ("fox", "mine")
    assert said["otel_llm.metadata.tenant"] == "a"
    assert said[semconv.TIME_TO_FIRST_TOKEN] > 0
    assert said[semconv.RESPONSE_FINISH_REASONS] == ("length",)
    assert sum(point.count for point in recorded.points()[semconv.METRIC_OPERATION_DURATION]) == 1


def test_a_span_of_somebody_elses_around_is_completed_and_measured(recorded, llama):
    tracer = trace.get_tracer("app", tracer_provider=recorded.provider)
    with tracer.start_as_current_span("answer", attributes={semconv.OPERATION_NAME: "chat"}):
        llama("Once", max_tokens=3)
    said = only(recorded).attributes
    assert said[semconv.USAGE_OUTPUT_TOKENS] == 3
    assert sum(point.count for point in recorded.points()[semconv.METRIC_OPERATION_DURATION]) == 1


def test_a_traced_function_around_is_the_call(recorded, llama):
    @traced("chat", model="fox")
    def ask():
        return llama.create_chat_completion(MESSAGES, max_tokens=2)

    ask()
    span = only(recorded)
    assert span.name == "chat fox"
    assert span.attributes[semconv.USAGE_OUTPUT_TOKENS] == 2


def test_an_agent_around_is_the_parent(recorded, llama):
    tracer = trace.get_tracer("app", tracer_provider=recorded.provider)
    with tracer.start_as_current_span("agent", attributes={semconv.OPERATION_NAME: "invoke_agent"}):
        llama("Once")
    call, agent = recorded.take()
    assert call.parent.span_id == agent.context.span_id


def test_what_must_not_be_seen_is_not(recorded, llama):
    with suppress_instrumentation():
        llama("Once")
    transport.WireInstrumentor().uninstrument()
    llama("Once")
    assert recorded.take() == []


def test_a_stream_open_at_exit_is_ended(recorded, llama):
    stream = llama("Once", stream=True)
    next(stream)
    transport.end_all()
    assert only(recorded).attributes[semconv.OUTCOME] == "abandoned"
    assert len(list(stream)) == 3


def test_no_context_crosses_a_yield(recorded, llama):
    for _ in llama("Once", stream=True):
        assert not trace.get_current_span().is_recording()


def test_a_fault_of_ours_leaves_the_result_as_it_is(recorded, llama, monkeypatch):
    def broken(*_):
        raise RuntimeError

    monkeypatch.setattr(in_process.Facts, "tell", broken)
    monkeypatch.setattr(in_process.Inference, "chunk", broken)
    assert llama("Once", max_tokens=3)["usage"]["completion_tokens"] == 3
    assert len(list(llama("Once", max_tokens=3, stream=True))) == 4
    assert len(recorded.take()) == 2
    assert set(boundary.errors()) == {"client.end", "local.read"}
    boundary.reset()


def test_a_server_in_this_process_that_answers_a_recorded_call_makes_no_second_span(recorded, llama):
    """As `llama_cpp.server` does, whose handler calls the model on another thread."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            answer = json.dumps(llama.create_chat_completion(body["messages"])).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        in_process._seen.clear()
        url = f"http://127.0.0.1:{server.server_port}/v1/chat/completions"
        httpx.post(url, json={"model": "m", "messages": MESSAGES}, trust_env=False, timeout=60)
        server.shutdown()
    assert only(recorded).attributes[semconv.SERVER_ADDRESS] == "127.0.0.1"


def test_a_call_elsewhere_does_not_hide_one_in_this_process(recorded, llama, server):
    url = f"http://localhost:{server.port}/stream/v1/chat/completions"
    in_process._seen.update(pid=os.getpid(), at=float("inf"), ports=frozenset())
    with httpx.stream(
        "POST", url, json={"model": "m", "messages": MESSAGES, "stream": True}, trust_env=False
    ) as answer:
        llama("Once")
        answer.read()
    in_process._seen.clear()
    assert len(recorded.take()) == 2


def test_generate_counts_by_shape(recorded, transformers):
    model = transformers.GenerationMixin()
    made = model.generate(input_ids=transformers.Tensor(1, 7), max_new_tokens=5, temperature=0.7, do_sample=True)
    assert made.shape == (1, 12)
    span = only(recorded)
    said = span.attributes
    assert span.name == "text_completion HuggingFaceTB/SmolLM2-135M-Instruct"
    assert (said[semconv.USAGE_INPUT_TOKENS], said[semconv.USAGE_OUTPUT_TOKENS]) == (7, 5)
    assert said[semconv.USAGE_SOURCE] == "provider"
    assert (said[semconv.REQUEST_MAX_TOKENS], said[semconv.REQUEST_TEMPERATURE]) == (5, 0.7)
    assert semconv.TIME_TO_FIRST_TOKEN not in said


def test_generate_of_a_padded_batch_is_an_estimate(recorded, transformers):
    model = transformers.GenerationMixin()
    model.generate(transformers.Tensor(3, 7), max_new_tokens=5, return_dict_in_generate=True)
    said = only(recorded).attributes
    assert (said[semconv.USAGE_INPUT_TOKENS], said[semconv.USAGE_OUTPUT_TOKENS]) == (21, 15)
    assert said[semconv.USAGE_SOURCE] == "estimated"


def test_generate_of_an_encoder_decoder_and_of_embeddings(recorded, transformers):
    config = transformers.GenerationConfig(max_new_tokens=4)
    transformers.GenerationMixin(encoder_decoder=True).generate(transformers.Tensor(1, 9), config)
    said = only(recorded).attributes
    assert (said[semconv.USAGE_INPUT_TOKENS], said[semconv.USAGE_OUTPUT_TOKENS]) == (9, 4)
    assert said[semconv.REQUEST_MAX_TOKENS] == 4
    transformers.GenerationMixin().generate(inputs_embeds=transformers.Tensor(1, 6, 32), max_new_tokens=4)
    said = only(recorded).attributes
    assert (said[semconv.USAGE_INPUT_TOKENS], said[semconv.USAGE_OUTPUT_TOKENS]) == (6, 4)


def test_a_streamer_hears_all_it_would_and_tells_of_the_first_token(recorded, transformers):
    class Streamer:
        def __init__(self):
            self.heard = []

        def put(self, value):
            self.heard.append(value)

        def end(self):
            self.heard.append("end")

    streamer, prompt = Streamer(), transformers.Tensor(1, 7)
    transformers.GenerationMixin().generate(prompt, streamer=streamer, max_new_tokens=3)
    assert streamer.heard == [prompt, 0, 1, 2, "end"]
    said = only(recorded).attributes
    assert said[semconv.TIME_TO_FIRST_TOKEN] > 0
    assert said[semconv.TIME_PER_OUTPUT_TOKEN] > 0


def test_an_error_of_generate_goes_on(recorded, transformers):
    with pytest.raises(ValueError, match="max_new_tokens"):
        transformers.GenerationMixin().generate(transformers.Tensor(1, 7), max_new_tokens=-1)
    assert only(recorded).attributes[semconv.OUTCOME] == "error"


def test_one_prompt_of_vllm_has_the_times_that_it_measured(recorded, vllm):
    metrics = SimpleNamespace(
        scheduled_ts=10.25, queued_ts=10.0, first_token_ts=10.5, last_token_ts=11.5, first_token_latency=0.5
    )
    params = SimpleNamespace(temperature=0.2, top_k=-1, max_tokens=3, n=1)
    vllm.LLM("/models/fox", metrics).chat(MESSAGES, params)
    span = only(recorded)
    said = span.attributes
    assert span.name == "chat fox"
    assert said[semconv.PROVIDER_NAME] == "vllm"
    assert (said[semconv.USAGE_INPUT_TOKENS], said[semconv.USAGE_OUTPUT_TOKENS]) == (5, 3)
    assert said[semconv.USAGE_CACHE_READ_INPUT_TOKENS] == 4
    assert said[semconv.RESPONSE_FINISH_REASONS] == ("stop",)
    assert (said[semconv.SERVER_QUEUE_TIME], said[semconv.SERVER_PREFILL_TIME]) == (0.25, 0.25)
    assert said[semconv.SERVER_DECODE_TIME] == 1.0
    assert said[semconv.TIME_TO_FIRST_TOKEN] == pytest.approx(0.5)
    assert semconv.BATCH_SIZE not in said


def test_older_versions_of_vllm_measure_in_other_words(recorded, vllm):
    metrics = SimpleNamespace(arrival_time=1.0, first_scheduled_time=1.5, first_token_time=2.0, last_token_time=4.0)
    vllm.LLM("fox", metrics).generate("Once")
    said = only(recorded).attributes
    assert said[semconv.SERVER_QUEUE_TIME] == 0.5
    assert said[semconv.TIME_TO_FIRST_TOKEN] == pytest.approx(1.0)


def test_a_batch_of_vllm_is_one_span_that_says_how_many(recorded, vllm):
    params = [SimpleNamespace(temperature=0.1), SimpleNamespace(temperature=0.9)]
    vllm.LLM("fox", SimpleNamespace(first_token_latency=0.5)).generate(["a", "b"], params)
    said = only(recorded).attributes
    assert said[semconv.BATCH_SIZE] == 2
    assert (said[semconv.USAGE_INPUT_TOKENS], said[semconv.USAGE_OUTPUT_TOKENS]) == (11, 6)
    assert semconv.TIME_TO_FIRST_TOKEN not in said
    assert semconv.REQUEST_TEMPERATURE not in said


def test_vllm_without_metrics_has_no_times(recorded, vllm):
    vllm.LLM("fox").generate("Once")
    said = only(recorded).attributes
    assert semconv.SERVER_QUEUE_TIME not in said
    assert said[semconv.USAGE_OUTPUT_TOKENS] == 3


def test_an_error_of_vllm_goes_on(recorded, vllm):
    with pytest.raises(ValueError, match="max_tokens"):
        vllm.LLM("fox").generate("Once", SimpleNamespace(max_tokens=0))
    assert only(recorded).attributes[semconv.ERROR_TYPE] == "ValueError"


@pytest.fixture
def asked_for(monkeypatch):
    monkeypatch.setenv(semconv.CAPTURE_MESSAGE_CONTENT, "SPAN_ONLY")


def kept(recorded):
    said = recorded.spans[-1].attributes
    return {name: json.loads(said[name]) for name in semconv.CONTENT if name in said}


def says(words, role="user", **more):
    return {"role": role, "parts": [{"type": "text", "content": words}], **more}


@pytest.mark.parametrize("stream", [False, True])
def test_content_of_llama_in_this_process(stream, asked_for, recorded, llama):
    answer = llama.create_chat_completion([{"role": "user", "content": "Once"}], max_tokens=3, stream=stream)
    if stream:
        list(answer)
    (asked,), (heard,) = kept(recorded)[semconv.INPUT_MESSAGES], kept(recorded)[semconv.OUTPUT_MESSAGES]
    assert asked == says("Once")
    assert heard["parts"] == says("Once upon a")["parts"]


def test_content_of_a_call_around_one_in_this_process_is_on_its_span(asked_for, recorded, llama):
    with client.call(model="m"):
        llama("Once", max_tokens=3)
    assert len(recorded.spans) == 1
    assert kept(recorded)[semconv.OUTPUT_MESSAGES][0]["parts"] == says("Once upon a")["parts"]


@pytest.mark.parametrize(
    ("method", "prompts", "made"),
    [
        ("generate", ["a", "b"], [{"role": "user", "parts": [*says("a")["parts"], *says("b")["parts"]]}]),
        ("generate", "a", [says("a")]),
        ("chat", [{"role": "user", "content": "a"}], [says("a")]),
        ("generate", [{"prompt_token_ids": [1, 2]}], []),
    ],
)
def test_content_of_vllm_in_this_process(method, prompts, made, asked_for, recorded, vllm):
    model = vllm.LLM("/models/fox")
    answers = getattr(model, method)(prompts)
    assert kept(recorded).get(semconv.INPUT_MESSAGES, []) == made
    assert kept(recorded)[semconv.OUTPUT_MESSAGES] == [says("fox", "assistant", finish_reason="stop") for _ in answers]


def test_embeddings_have_no_content(asked_for, recorded, llama):
    llama.create_embedding("a secret")
    assert kept(recorded) == {}


def test_calls_in_other_tasks_keep_their_parents(recorded, llama):
    tracer = trace.get_tracer("app", tracer_provider=recorded.provider)

    async def ask():
        with tracer.start_as_current_span("request"):
            await asyncio.to_thread(llama, "Once")

    async def main():
        await asyncio.gather(ask(), ask())

    asyncio.run(main())
    spans = recorded.take()
    calls = [span for span in spans if span.name != "request"]
    requests = {span.context.span_id for span in spans if span.name == "request"}
    assert {call.parent.span_id for call in calls} == requests


CHAT = {"model": "smollm2", "messages": MESSAGES, "max_tokens": 8, "temperature": 0}


@pytest.mark.slow
def test_a_real_model_in_this_process_is_one_span_with_its_own_counts(recorded, model):
    answer = model.handle_chat_completions(CHAT)
    said = only(recorded).attributes
    assert said[semconv.PROVIDER_NAME] == "llama_cpp"
    assert said[semconv.USAGE_INPUT_TOKENS] == answer["usage"]["prompt_tokens"]
    assert said[semconv.USAGE_OUTPUT_TOKENS] == answer["usage"]["completion_tokens"] == 8
    assert said[semconv.RESPONSE_ID] == answer["id"]
    assert said[semconv.SERVER_DECODE_TIME] == pytest.approx(answer["timings"]["predicted_ms"] / 1000)
    assert semconv.STREAM_CHUNKS not in said


@pytest.mark.slow
@pytest.mark.parametrize("form", [dict, json.dumps], ids=["dict", "json"])
def test_a_real_model_streams_to_its_callback_untouched(recorded, model, form):
    pieces = []
    assert model.handle_chat_completions(form({**CHAT, "stream": True}), pieces.append) is None
    assert {type(piece) for piece in pieces} == {dict if form is dict else str}
    said = only(recorded).attributes
    assert said[semconv.STREAM_CHUNKS] == len(pieces)
    assert said[semconv.USAGE_OUTPUT_TOKENS] == 8
    assert said[semconv.RESPONSE_TIME_TO_FIRST_CHUNK] <= said[semconv.TIME_TO_FIRST_TOKEN]
    assert said[semconv.TIME_PER_OUTPUT_TOKEN] > 0
    assert said[semconv.OUTCOME] == "completed"


@pytest.mark.slow
def test_a_callback_that_stops_a_real_model_abandons_the_call(recorded, model):
    pieces = []
    model.handle_chat_completions({**CHAT, "stream": True}, callback=lambda piece: pieces.append(piece) or True)
    assert len(pieces) == 1
    assert only(recorded).attributes[semconv.OUTCOME] == "abandoned"


@pytest.mark.slow
def test_errors_of_a_real_model_are_told(recorded, model):
    with pytest.raises(ValueError, match="messages"):
        model.handle_chat_completions({"messages": "none"})
    assert only(recorded).attributes[semconv.ERROR_TYPE] == "ValueError"
    assert "error" in model.handle_embeddings({"input": "a fox"})
    span = only(recorded)
    assert span.attributes[semconv.ERROR_TYPE] == "501"
    assert "does not support embeddings" in span.status.description


@pytest.mark.slow
def test_a_real_model_told_by_hand_streams_into_one_span(recorded, model):
    pieces = []
    with client.call("chat", model="smollm2", provider="in_process") as call:

        def take(piece):
            choice = piece["choices"][0]
            if choice["delta"].get("content"):
                call.first_token()
                pieces.append(choice["delta"]["content"])
            if choice["finish_reason"]:
                call.finish(choice["finish_reason"])

        with suppress_instrumentation():  # what the SDK says alone
            model.handle_chat_completions({**CHAT, "stream": True}, take)
        call.usage(output_tokens=len(pieces))
    said = only(recorded).attributes
    assert said[semconv.USAGE_OUTPUT_TOKENS] == len(pieces) > 1
    assert said[semconv.RESPONSE_FINISH_REASONS] == ("length",)
    assert said[semconv.TIME_TO_FIRST_TOKEN] > 0
    assert said[semconv.TIME_PER_OUTPUT_TOKEN] > 0


@pytest.mark.slow
def test_the_example_of_a_model_in_its_process_is_one_stored_call(tmp_path):
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    environ["OTEL_LLM_STORE_PATH"] = str(tmp_path / "calls.db")
    command = [sys.executable, EXAMPLES / "in_process.py"]
    printed = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300, check=True).stdout
    listed = subprocess.run(
        [Path(sys.executable).with_name("otel-llm"), "calls", "list", "--json"],
        *(),
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    (call,) = json.loads(listed.stdout)
    said = call["attributes"]
    assert said["otel_llm.metadata.topic"] == "fox"
    assert said[semconv.PROVIDER_NAME] == "in_process"
    assert f"{said[semconv.USAGE_OUTPUT_TOKENS]} tokens" in printed
    assert said[semconv.TIME_TO_FIRST_TOKEN] < call["duration"]


@pytest.mark.slow
def test_the_example_of_a_worker_stores_and_shows_the_waits(tmp_path):
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    environ["OTEL_LLM_STORE_PATH"] = str(tmp_path / "calls.db")

    def run(*command):
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300, check=True).stdout

    printed = run(sys.executable, EXAMPLES / "worker_queue.py")
    assert (printed.count("3 wait\n"), printed.count("0 wait\n")) == (1, 1)
    command = Path(sys.executable).with_name("otel-llm")
    calls = json.loads(run(command, "calls", "list", "--json"))
    assert {call["attributes"][semconv.QUEUE_NAME] for call in calls} == {"jobs"}
    waits = [call["attributes"][semconv.QUEUE_WAIT] for call in reversed(calls)]
    assert re.findall(r"waited (.+) s\n", printed) == [f"{wait:.3f}" for wait in waits]
    assert len(waits) == 3
    (group,) = json.loads(run(command, "summary", "--json"))["groups"]
    assert group["queue_wait"]["count"] == 3
    assert group["queue_wait"]["max"] == pytest.approx(max(waits))
    assert "jobs" in run(command, "calls", "show", calls[0]["span_id"])
