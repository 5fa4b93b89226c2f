"""A call survives the way onto a span and back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_llm import calls as call_module
from otel_llm import semconv
from otel_llm.calls import Call

VALUES = {
    str: st.text(),
    int: st.integers(min_value=0, max_value=2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    tuple: st.lists(st.text()).map(tuple),
}
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.lists(st.one_of(st.integers(), st.text())),
    st.dictionaries(st.text(), st.integers()),
)


@st.composite
def calls(draw):
    said = {name: draw(st.none() | VALUES[kind]) for name, kind in call_module.KINDS.items() if name != "operation"}
    metadata = draw(st.dictionaries(st.text(), st.one_of(*VALUES.values()), max_size=3))
    operation = draw(st.sampled_from(sorted(semconv.INFERENCE_OPERATIONS)))
    return Call(operation=operation, metadata=metadata, **said)


@settings(max_examples=30, deadline=None)
@given(calls())
def test_what_attributes_writes_from_attributes_reads(call):
    assert Call.from_attributes(call.attributes()) == call


@settings(max_examples=30, deadline=None)
@given(calls())
def test_a_store_that_keeps_sequences_as_lists_changes_nothing(call):
    kept = {name: list(value) if isinstance(value, tuple) else value for name, value in call.attributes().items()}
    assert Call.from_attributes(kept) == call


@given(st.dictionaries(st.sampled_from(list(call_module.ATTRIBUTES.values())), JUNK))
def test_attributes_of_any_type_never_raise(attributes):
    call = Call.from_attributes(attributes)
    if call is not None:
        for name, kind in call_module.KINDS.items():
            value = getattr(call, name)
            assert value is None or type(value) is kind


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        (semconv.USAGE_INPUT_TOKENS, "7"),
        (semconv.USAGE_INPUT_TOKENS, 7.0),
        (semconv.USAGE_INPUT_TOKENS, True),
        (semconv.REQUEST_TEMPERATURE, True),
        (semconv.REQUEST_STREAM, 1),
        (semconv.REQUEST_MODEL, ["m"]),
        (semconv.RESPONSE_FINISH_REASONS, "stop"),
        (semconv.RESPONSE_FINISH_REASONS, [1]),
    ],
)
def test_a_value_of_the_wrong_type_counts_as_not_said(attribute, value):
    assert Call.from_attributes({semconv.OPERATION_NAME: "chat", attribute: value}) == Call(operation="chat")


def test_a_whole_number_is_a_float_where_one_is_wanted():
    call = Call.from_attributes({semconv.OPERATION_NAME: "chat", semconv.REQUEST_TEMPERATURE: 1})
    assert call is not None
    assert type(call.temperature) is float


@pytest.mark.parametrize("operation", [None, "execute_tool", "invoke_agent", ["chat"], {"chat": 1}, 3])
def test_a_span_that_is_no_inference_is_no_call(operation):
    assert Call.from_attributes({semconv.OPERATION_NAME: operation}) is None


def test_what_nobody_said_is_no_attribute():
    assert Call(operation="chat").attributes() == {semconv.OPERATION_NAME: "chat"}


def test_a_zero_that_was_said_is_kept():
    assert Call(operation="chat", output_tokens=0).attributes()[semconv.USAGE_OUTPUT_TOKENS] == 0


def test_every_field_but_metadata_has_an_attribute_of_its_own():
    names = list(call_module.ATTRIBUTES.values())
    assert len(names) == len(set(names)) == len(Call.__struct_fields__) - 1


@pytest.mark.parametrize(("model", "name"), [("m", "chat m"), (None, "chat")])
def test_the_span_is_named_by_operation_and_model(model, name):
    assert Call(operation="chat", request_model=model).span_name == name


def test_metadata_stands_under_its_prefix():
    call = Call(operation="chat", metadata={"tenant": "a"})
    assert call.attributes()["otel_llm.metadata.tenant"] == "a"
