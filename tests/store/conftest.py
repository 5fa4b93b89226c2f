"""A database of one's own and spans to put into it."""

import pytest
from finished_spans import Spans

from otel_llm.store.database import Database
from parts.waiting import WITHIN


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "otel-llm.db"


@pytest.fixture
def database(path):
    made = Database(path)
    yield made
    made.close(WITHIN)


@pytest.fixture
def spans():
    return Spans()


@pytest.fixture
def kept(database, spans):
    """Write spans and wait until they are on disk."""

    def keep(*some):
        for span in some:
            assert database.submit_span(span)
        assert database.flush(WITHIN)
        return database

    return keep
