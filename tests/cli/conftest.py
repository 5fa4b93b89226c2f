"""A recorded store, and the command run on it as a user would: piped, or on a terminal."""

import pytest
from click.testing import CliRunner
from recording_store import Recorded, show

from otel_llm.cli import main


@pytest.fixture
def recorded(tmp_path):
    store = Recorded(tmp_path / "calls.db")
    yield store
    store.exporter.shutdown()


@pytest.fixture
def piped(recorded):
    """Run ``otel-llm`` on the recorded store with its output in a pipe."""

    def run(*arguments):
        recorded.written()
        return CliRunner().invoke(main, [*arguments, "--db", str(recorded.path)])

    return run


@pytest.fixture
def on_terminal(recorded):
    """Run ``otel-llm`` on the recorded store on a terminal of so many columns; gives its lines, without colour."""

    def run(*arguments, columns):
        recorded.written()
        return show(*arguments, "--db", str(recorded.path), columns=columns, NO_COLOR="1")

    return run
