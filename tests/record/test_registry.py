"""Formats of this package, of other packages, and paths named by the user."""

import logging
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import httpx
import pytest
from telling import asked, opened

from otel_llm import boundary, semconv
from otel_llm.record import providers, registry
from otel_llm.record.exchange import Opening
from otel_llm.record.registry import Registry
from otel_llm.record.settings import Config


class Mine:
    """A format of another package; entry points of these tests name what follows."""

    PATHS = ("/mine/talk", "/v1/messages")

    def open(self, request, _hosts):
        return Opening(operation="chat", provider="mine") if "mine" in request.path or request.certain else None

    def read(self, _message, _facts):
        return False


class Raising(Mine):
    PATHS = ("/chat/completions",)

    def open(self, request, _hosts):
        raise KeyError(request.path)


class Greedy(Mine):
    PATHS = ("",)


MINE, RAISES, NO_FORMAT = Mine(), Raising(), Greedy()


@pytest.fixture
def others(monkeypatch):
    """Names entry points of the group."""

    def install(**points):
        found = EntryPoints(EntryPoint(name, value, registry.GROUP) for name, value in points.items())
        monkeypatch.setattr(registry, "entry_points", lambda group: found.select(group=group))

    boundary.reset()
    yield install
    boundary.reset()


def test_a_provider_is_one_file_and_one_list_entry():
    folder = Path(providers.__file__).parent
    files = {file.stem for file in folder.glob("*.py")} - {"__init__", "hosts"}
    listed = {known.__name__.rpartition(".")[2] for known in providers.FORMATS}
    assert files == listed, f"edit FORMATS in {providers.__file__}: it lacks {files - listed}"


def test_a_format_of_another_package_is_asked(others):
    others(mine=f"{__name__}:MINE")
    assert opened("/mine/talk", registry=Registry.load(Config()))[1].provider == "mine"


def test_what_it_does_not_open_goes_to_the_next(others):
    others(mine=f"{__name__}:MINE")
    found = opened("/v1/messages", {"model": "m", "messages": []}, registry=Registry.load(Config()))
    assert found[1].provider == "anthropic"


@pytest.mark.parametrize("value", ["no_such_package:FORMAT", f"{__name__}:no_such_name", f"{__name__}:NO_FORMAT"])
def test_a_broken_one_is_told_and_breaks_no_other(others, caplog, value):
    others(broken=value, mine=f"{__name__}:MINE")
    with caplog.at_level(logging.WARNING, "otel_llm"):
        loaded = Registry.load(Config())
    assert opened("/mine/talk", registry=loaded)[1].provider == "mine"
    assert opened("/v1/chat/completions", {"model": "m"}, registry=loaded)[1].provider == "openai"
    assert len(caplog.records) == 1


def test_one_that_raises_leaves_the_request_to_the_next(others):
    others(raises=f"{__name__}:RAISES")
    assert opened("/v1/chat/completions", {"model": "m"}, registry=Registry.load(Config()))[1].provider == "openai"
    assert boundary.errors() == {"record.open": 1}


@pytest.mark.parametrize(
    ("value", "operation"), [("openai", "chat"), ("openai/embeddings", "embeddings"), ("cohere/v2/embed", "embeddings")]
)
def test_a_path_that_the_user_names_is_a_call_whatever_its_body(value, operation):
    loaded = Registry.load(Config(paths={"/llm/v3/talk": value}))
    for body in ({"model": "m"}, b"?", None):
        assert opened("/gateway/llm/v3/talk", body, registry=loaded)[1].operation == operation


def test_a_path_that_the_user_names_keeps_what_stands_before_its_ending():
    loaded = Registry.load(Config(paths={":speak": "gemini:streamGenerateContent"}))
    opening = opened("/models/gemini-x:speak", {}, registry=loaded)[1]
    assert (opening.model, opening.array) == ("gemini-x", True)


@pytest.mark.parametrize("name", [known.__name__.rpartition(".")[2] for known in providers.FORMATS])
def test_every_format_can_be_named(name):
    assert opened("/talk", b"?", registry=Registry.load(Config(paths={"/talk": name}))) is not None


def test_a_format_of_another_package_can_be_named(others):
    others(mine=f"{__name__}:MINE")
    loaded = Registry.load(Config(paths={"/talk": "mine"}))
    assert opened("/talk", registry=loaded)[1].provider == "mine"


@pytest.mark.parametrize("value", ["opnai", "openai/embed", "", "/"])
def test_a_wrong_name_is_told_and_left_out(caplog, value):
    with caplog.at_level(logging.WARNING, "otel_llm"):
        loaded = Registry.load(Config(paths={"/talk": value}))
    assert opened("/talk", {"model": "m"}, registry=loaded) is None
    assert caplog.records[0].getMessage().startswith("record.paths./talk: expected ")


class TestOnTheWire:
    @pytest.fixture
    def config(self):
        return Config(paths={"/llm/v3/talk": "openai"})

    def test_a_path_that_the_user_names_is_recorded(self, recorded):
        answer = {"id": "c", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
        transport = httpx.MockTransport(lambda _: httpx.Response(200, json=answer))
        with httpx.Client(transport=transport) as client:
            client.post("https://llm.example/llm/v3/talk", json={"model": "m"})
        [span] = recorded.take()
        assert (span.name, span.attributes[semconv.USAGE_INPUT_TOKENS]) == ("chat m", 3)


def test_nothing_of_everyday_traffic_is_taken_for_a_call():
    for path in ("/", "/api/v1/users", "/graphql", "/search", "/login", "/v1/traces", "/model/7", "/generate/report"):
        assert opened(path, {"query": "hi", "model": "car", "messages": []}) is None


def test_the_choosier_of_two_formats_with_one_path_is_asked_first():
    assert asked("/api/embeddings", {"model": "m", "prompt": "hi"}).provider == "ollama"
    assert asked("/v1/chat", {"model": "m", "message": "hi"}).provider == "cohere"
    assert asked("/v1/generate", {"model": "m", "prompt": "hi"}).provider == "cohere"
    assert asked("/generate", {"inputs": "hi"}).provider == "tgi"
    assert asked("/api/generate", {"model": "m", "prompt": "hi"}).provider == "ollama"
