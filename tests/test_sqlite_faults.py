"""The short form of bench/soak/sqlite_faults.py: an operation of SQLite fails, and the application never knows."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "bench" / "soak" / "sqlite_faults.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("sqlite_faults", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "error", "way"),
    [
        (1, "locked", "on"),
        (3, "i/o", "once"),
        (7, "full", "on"),
        (12, "malformed", "once"),
        (19, "memory", "on"),
        (27, "locked", "once"),
    ],
)
def test_calls_give_what_they_give_without_us_and_each_is_stored_or_counted(script, tmp_path, place, error, way):
    found = script.trial(tmp_path, 60, place, error, way)
    assert script.is_kept(found), found
