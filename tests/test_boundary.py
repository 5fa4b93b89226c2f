"""Our errors stop at the boundary; cancellation and interrupts do not."""

import asyncio
import logging
import threading

import pytest

from otel_llm import boundary


@pytest.fixture(autouse=True)
def _fresh():
    boundary.reset()
    yield
    boundary.reset()


def test_an_error_inside_goes_no_further():
    with boundary.guard("here"):
        raise KeyError
    assert boundary.errors() == {"here": 1}


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
def test_what_is_not_an_exception_passes(kind):
    with pytest.raises(kind), boundary.guard("here"):
        raise kind
    assert boundary.errors() == {}


def test_a_group_with_a_cancellation_in_it_passes():
    both = BaseExceptionGroup("both", [asyncio.CancelledError(), ValueError()])
    with pytest.raises(BaseExceptionGroup), boundary.guard("here"):
        raise both


def test_nothing_is_counted_where_nothing_fails():
    with boundary.guard("here"):
        pass
    assert boundary.errors() == {}


def test_a_place_is_logged_once_a_minute_and_counted_each_time(caplog):
    for _ in range(5):
        with boundary.guard("here"):
            raise ValueError
    assert len(caplog.records) == 1
    assert boundary.errors() == {"here": 5}


def test_each_place_is_logged_by_itself(caplog):
    for where in ("here", "there"):
        with boundary.guard(where):
            raise ValueError
    assert len(caplog.records) == 2


def test_the_log_tells_type_and_line_but_not_the_text(caplog):
    with boundary.guard("here"):
        message = "sk-secret-of-the-user"
        raise ValueError(message)
    assert "here failed with ValueError at test_boundary.py:" in caplog.text
    assert "secret" not in caplog.text


def test_a_broken_log_handler_changes_nothing(monkeypatch):
    class Broken(logging.Handler):
        def handle(self, _record):
            raise RuntimeError

    handler = Broken()
    monkeypatch.setattr(boundary.logger, "handlers", [*boundary.logger.handlers, handler])
    with boundary.guard("here"):
        raise ValueError
    assert boundary.errors() == {"here": 1}


def test_the_number_of_places_is_bounded():
    for number in range(1000):
        boundary.swallow(f"place {number}", ValueError())
    counts = boundary.errors()
    assert len(counts) == 201
    assert sum(counts.values()) == 1000


def test_errors_on_many_threads_are_all_counted():
    def fail():
        for _ in range(500):
            boundary.swallow("here", ValueError())

    threads = [threading.Thread(target=fail) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert boundary.errors() == {"here": 2000}


def test_the_logger_leaves_its_output_to_the_application():
    assert not any(isinstance(handler, logging.NullHandler) for handler in boundary.logger.handlers)
    assert boundary.logger.propagate
