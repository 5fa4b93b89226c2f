"""The reference page and ``explain`` know every name that exists, and none that does not."""

import importlib.util
from pathlib import Path

import pytest

from otel_llm import cli, semconv
from otel_llm.alert import ruleset, schema
from otel_llm.calls import ATTRIBUTES
from otel_llm.cli import glossary
from otel_llm.cli.glossary import TERMS
from otel_llm.config import known

GENERATOR = Path(__file__).parents[1] / "docs" / "generate_reference.py"
GLOSSARY = "add it to src/otel_llm/cli/glossary.py"


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("generate_reference", GENERATOR)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def names(*kinds):
    return {term.name for term in TERMS if term.kind in kinds}


def test_the_page_says_what_the_code_says(generator):
    assert generator.PATH.read_text() == generator.generate(), "run: python docs/generate_reference.py"


def test_the_shipped_rules_are_read_as_they_are_written(generator):
    for name, content in schema.rewrite().items():
        assert (generator.RULES / name).read_bytes() == content, "run: python docs/generate_reference.py"


def test_the_shipped_rules_are_made_beforehand_as_they_are_made_from_their_file():
    made, read = ruleset.made(), schema.load(None, environ={})
    assert (made.rules, made.inhibit, made.plan) == (read.rules, read.inhibit, read.plan)
    assert [rule.digest for rule in made.rules] == [rule.digest for rule in read.rules]


def test_every_attribute_of_a_call_is_explained():
    attributes = set(ATTRIBUTES.values())
    assert attributes <= names("attribute"), GLOSSARY


def test_every_name_on_the_wire_is_explained():
    prefixes = ("gen_ai.", "otel_llm.", "otel.", "server.", "http.", "error.", "hw.", "system.")
    prefixes += ("process.", "cpu.", "disk.", "network.")
    literals = [value for name, value in vars(semconv).items() if name.isupper() and isinstance(value, str)]
    used = {value for value in literals if value.startswith(prefixes)}
    used -= {semconv.EVENT_INFERENCE_DETAILS}  # an event; the variable that asks for it explains it
    used = {f"{name}*" if name.endswith(".") else name for name in used}
    assert used == names("attribute", "metric", "event"), GLOSSARY


def test_every_metric_is_explained_with_its_unit():
    metrics = {value for name, value in vars(semconv).items() if name.startswith("METRIC_")} - {semconv.METRIC_OVERFLOW}
    assert metrics == names("metric"), GLOSSARY
    assert all(term.unit for term in TERMS if term.kind == "metric")


def test_every_setting_is_explained():
    assert {setting.key for setting in known()} == names("setting"), GLOSSARY


def test_every_variable_is_on_the_page(generator):
    variables = [name for name in vars(semconv) if name.startswith("OTEL_LLM_")]
    page = generator.generate()
    assert [name for name in variables if f"`{name}`" not in page] == []


def test_every_command_is_on_the_page(generator):
    page = generator.generate()
    assert [name for name in cli.main.list_commands(None) if f"### `otel-llm {name}`" not in page] == []


def test_a_name_is_explained_once_and_a_word_means_one_thing():
    full = [(term.kind, term.name) for term in TERMS]  # a wait is both an attribute and a metric
    words = [word for term in TERMS for word in term.words]
    assert len(full) == len(set(full))
    assert len(words) == len(set(words))
    assert not {word for word in words if glossary.find(word) is not next(t for t in TERMS if word in t.words)}


def test_a_duration_is_given_in_seconds():
    times = [term for term in TERMS if term.name.endswith(("_time", "time_to_first_token", "_gap", "wait", "backoff"))]
    assert times
    assert {term.unit for term in times} == {"s"}
