"""Every shape through every client: what our spans say is true, and the page says what the run says."""

import fcntl
import pickle

import pytest

from conformance import matrix, shapes, table

CELLS = [cell for client in shapes.CLIENTS for cell in shapes.cells(client)]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3400)]
"""Whoever comes first waits for the whole run."""


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """The whole run, once, whichever of several test processes comes first."""
    folder = tmp_path_factory.getbasetemp().parent
    with (folder / "conformance.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = folder / f"conformance-{tmp_path_factory.getbasetemp().name.partition('gw')[0] or 'all'}.pickle"
        if not kept.exists():
            kept.write_bytes(pickle.dumps(matrix.run(tmp_path_factory.mktemp("conformance"))))
        return pickle.loads(kept.read_bytes())  # noqa: S301 - written by ourselves


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.key)
def test_the_span_says_what_is_true(run, cell):
    verdict = run.verdicts["otel-llm"][cell.key]
    assert verdict.fault is None
    assert verdict.word == "ok"


def test_the_program_runs_under_the_official_instrumentation_too(run):
    faults = {key: verdict.fault for key, verdict in run.verdicts["official"].items() if verdict.fault}
    assert faults == {}


def test_the_page_says_what_the_run_says(run):
    assert table.PAGE.read_text() == table.render(run), "python tests/conformance/table.py writes it anew"


def test_every_lack_names_a_shape_and_says_why():
    names = {shape.name for shape in shapes.SHAPES}
    for client in shapes.CLIENTS:
        assert {name.rpartition(": ")[2] for name in client.lacks} <= names
        assert all(client.lacks.values())
