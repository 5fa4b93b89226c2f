"""What the tests of a fleet ask for where they are not about its deadlines."""

import pytest

from otel_llm.fleet import client, ledger, remote
from otel_llm.fleet.line import Line
from parts.waiting import WITHIN


@pytest.fixture
def unhurried(monkeypatch):
    """Deadlines and leases are far away, so that a machine that stands still for a moment parts nobody."""
    monkeypatch.setattr(client, "PATIENCE", WITHIN)
    monkeypatch.setattr(Line.ask, "__defaults__", (WITHIN,))
    for name in ("_FIRST", "_SOON", "_DRIFT", "_PATIENCE", "LEASE"):
        monkeypatch.setattr(ledger, name, WITHIN)
    monkeypatch.setattr(remote, "LEASE", WITHIN)
