"""Ids are unique whatever the program does to ``random``."""

import random

from otel_llm.record.ids import IdGenerator


def test_seeding_twice_gives_different_ids():
    seen = set()
    for _ in range(10):
        random.seed(0)
        generator = IdGenerator()
        seen |= {generator.generate_trace_id(), generator.generate_span_id()}
    assert len(seen) == 20


def test_drawing_ids_does_not_disturb_the_programs_own_numbers():
    random.seed(0)
    expected = random.random()  # noqa: S311 - not for secrets
    random.seed(0)
    IdGenerator().generate_trace_id()
    assert random.random() == expected  # noqa: S311


def test_ids_fit_and_are_never_zero(monkeypatch):
    bytes_drawn = iter([bytes(8), b"\x01" * 8, bytes(16), b"\x02" * 16])
    monkeypatch.setattr("os.urandom", lambda _size: next(bytes_drawn))
    generator = IdGenerator()
    assert generator.generate_span_id() == int.from_bytes(b"\x01" * 8)
    assert generator.generate_trace_id() == int.from_bytes(b"\x02" * 16)
