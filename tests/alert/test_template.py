import pytest

from otel_llm.alert.template import fault, render


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ value | pct }} fail", "39.66% fail"),
        ("{{value}}", "0.3966"),
        ("{{ threshold | dur }}", "1m 30s"),
        ("{{ labels.model }}: {{ labels.gone }}", "m: -"),
        ("{{ value | round }}", "0"),
        ("no field", "no field"),
    ],
)
def test_fields_are_filled(text, said):
    assert fault(text) is None
    assert render(text, {"model": "m"}, {"value": 0.3966, "threshold": 90.0}) == said


@pytest.mark.parametrize(
    "text", ["{{ valeu }}", "{{ value | upper }}", "{{ labels.a | pct }}", "{{ ''.__class__ }}", "{{ }}"]
)
def test_what_cannot_be_filled_is_a_fault(text):
    assert fault(text)


def test_a_value_nobody_measured_is_a_dash():
    assert render("{{ value | pct }}", {}, {"value": None}) == "-"
