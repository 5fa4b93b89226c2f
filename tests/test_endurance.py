"""Hours of kills and outages in a minute; ``nox -s soak -- bench/soak/endurance.py`` plays three hours of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "bench/soak/endurance.py"
sys.path[:0] = [str(SCRIPT.parent)]

import endurance  # noqa: E402 - found by the line above

MINUTES = 180


def grown(megabytes_an_hour, cold=5.0):
    """A process that takes its size in the first hour, and grows by so much an hour, in steps of a heap's."""
    return [
        (minute / 60, 100 + min(cold, cold * minute / 60) + int(2 * megabytes_an_hour * minute / 60) / 2)
        for minute in range(MINUTES)
    ]


@pytest.mark.parametrize(
    ("megabytes_an_hour", "leaking", "wrong"),
    [(0.0, 3.0, []), (0.4, 3.0, []), (2.0, 5.0, ["rss"]), (0.0, 0.4, ["blind"])],
)
def test_memory_is_judged_once_it_is_warm_and_against_a_caller_that_leaks(megabytes_an_hour, leaking, wrong):
    told = endurance.weigh(grown(megabytes_an_hour), grown(leaking), grown(0.3))
    assert told["wrong"] == wrong
    assert told["rss_until_warm_mb"] == pytest.approx(5.0 + megabytes_an_hour, abs=0.5)
    assert told["rss_slope_mb_per_hour"] == pytest.approx(megabytes_an_hour, abs=0.4)
    assert told["bare_slope_mb_per_hour"] == pytest.approx(0.3, abs=0.4)


def test_memory_is_not_judged_by_less_than_an_hour():
    told = endurance.weigh(grown(9.0)[:60], grown(9.0)[:60], grown(9.0)[:60])
    assert told["wrong"] == []
    assert "rss_slope_mb_per_hour" not in told


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
