"""The cards beside the calls, in an application of its own."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from parts.nvml import Cards

APPLICATION = Path(__file__).with_name("calling.py")


@pytest.fixture
def ran(cards: Cards, tmp_path: Path):
    """Runs the application with two cards; gives its calls and the names of the metrics in its store."""
    cards.say({"power": 100_000, "energy": 1000, "gpu": 0})

    def run(**environ: str) -> tuple[list[dict], set[str]]:
        store = tmp_path / "store.db"
        own = {"OTEL_LLM_STORE_PATH": str(store), "OTEL_LLM_PROBE_INTERVAL": "200ms"}
        everything = os.environ | cards.environ | own | environ
        subprocess.run((sys.executable, APPLICATION), env=everything, check=True, timeout=300)
        command = (Path(sys.executable).with_name("otel-llm"), "calls", "list", "--json", "--db", store)
        listed = subprocess.run(command, check=True, capture_output=True, env=everything)
        with sqlite3.connect(store) as connection:
            (dump,) = ("\n".join(connection.iterdump()),)
        return json.loads(listed.stdout), {name for name in ("hw.power", "hw.gpu.utilization") if name in dump}

    return run


def test_calls_to_a_server_on_this_host_say_their_energy_and_the_cards_are_beside_them(ran):
    for _ in range(3):
        calls, metrics = ran()
        assert metrics == {"hw.power", "hw.gpu.utilization"}
        # The first call may end before the driver was opened, and a machine that stands still takes no samples.
        measured = [call for call in calls if "otel_llm.energy.method" in call["attributes"]]
        if measured:
            break
    assert measured[0]["attributes"]["otel_llm.energy.method"] == "counter/shared/host"
    lasted = measured[0]["duration"]
    assert measured[0]["attributes"]["otel_llm.energy.idle"] == pytest.approx(200 * lasted, rel=0.5)


def test_the_cards_are_left_alone_where_they_are_switched_off(ran):
    calls, metrics = ran(OTEL_LLM_PROBE_GPU="false")
    assert metrics == set()
    assert not [name for name in calls[0]["attributes"] if "energy" in name]
