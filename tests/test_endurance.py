"""Hours of kills and outages in a minute; ``nox -s soak -- bench/soak/endurance.py`` plays two hours of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "bench/soak/endurance.py"


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_or_doubled_while_callers_are_killed_and_backends_fail():
    command = [sys.executable, SCRIPT, "--minutes", "6", "--minute", "4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.stdout.startswith("{"), done.stderr
    told = json.loads(done.stdout)
    assert told["wrong"] == [], told
    assert told["kills"] == 6
    assert told["acknowledged"] > 100
    assert done.returncode == 0
