"""An outage of a real Collector, forwarded through: the shorter form of ``bench/soak/forward.py``."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "bench/soak/forward.py"


@pytest.mark.slow
def test_what_was_recorded_while_the_backend_was_away_arrives_though_who_forwards_is_killed(collector_binary):
    command = [sys.executable, SCRIPT, "--away", "10", "--spans", "1000", "--protocol", "grpc", "--kill"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 missing" in done.stdout
