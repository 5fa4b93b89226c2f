"""What time it is for those who delete by age."""

import itertools

import pytest

from otel_llm.store.clock import Belief, Clock, trusted
from otel_llm.store.connection import Connection

HOUR = 3600.0
DAY = 24 * HOUR
YEAR = 365 * DAY
NOW = 1_790_000_000.0


def walk(*steps, known=None):
    """The times told, for (wall clock, uptime, boot) after each other."""
    told = []
    for wall, uptime, boot in steps:
        now, known = trusted(known, wall=wall, uptime=uptime, boot=boot)
        told.append(now)
    return told


def test_the_first_look_believes_the_wall_clock():
    assert walk((NOW, 100.0, 1)) == [NOW]


@pytest.mark.parametrize("jump", [HOUR, YEAR])
def test_a_jump_forward_is_not_believed(jump):
    assert walk((NOW, 100.0, 1), (NOW + jump, 110.0, 1)) == pytest.approx([NOW, NOW + 10], abs=1)


@pytest.mark.parametrize("jump", [HOUR, YEAR])
def test_after_a_jump_back_nothing_is_older_than_the_clock_says(jump):
    assert walk((NOW, 100.0, 1), (NOW - jump, 110.0, 1)) == [NOW, NOW - jump]


@pytest.mark.parametrize("jump", [HOUR, YEAR, -HOUR, -YEAR])
def test_a_clock_that_is_set_back_to_right_is_believed_at_once(jump):
    told = walk((NOW, 100.0, 1), (NOW + jump, 110.0, 1), (NOW + 20, 120.0, 1))
    assert told[-1] == NOW + 20


def test_a_clock_that_stays_where_it_is_for_a_day_is_believed():
    steps = [(NOW + YEAR + hour * HOUR, 100 + hour * HOUR, 1) for hour in range(1, 27)]
    told = walk((NOW, 100.0, 1), *steps)
    assert told[20] < NOW + DAY
    assert told[-1] == NOW + YEAR + 26 * HOUR


def test_a_correction_of_seconds_is_followed():
    told = walk((NOW, 100.0, 1), *((NOW + 101 * n, 100.0 + 100 * n, 1) for n in range(1, 1000)))
    assert told[-1] == NOW + 101 * 999


def test_a_machine_that_was_off_for_a_week_is_believed():
    assert walk((NOW, 1e6, 1), (NOW + 7 * DAY, 30.0, 2)) == [NOW, NOW + 7 * DAY]


def test_a_machine_that_starts_a_year_ahead_is_not_believed():
    assert walk((NOW, 1e6, 1), (NOW + YEAR, 30.0, 2)) == pytest.approx([NOW, NOW], abs=1)


def test_time_goes_on_while_the_clock_is_doubted():
    told = walk((NOW, 1e6, 1), *((NOW + YEAR + n, 30.0 + n, 2) for n in range(0, 7200, 600)))
    assert told[-1] == pytest.approx(NOW + 6600, abs=2)
    assert all(later > earlier for earlier, later in itertools.pairwise(told[1:]))


def test_all_processes_believe_the_same(tmp_path, monkeypatch):
    connection = Connection(tmp_path / "clock.db")
    wall = [NOW]
    monkeypatch.setattr("otel_llm.store.clock.time.time", lambda: wall[0])
    assert Clock().now(connection.sqlite) == NOW
    wall[0] += YEAR
    assert Clock().now(connection.sqlite) == pytest.approx(NOW, abs=2)
    connection.close()


def test_what_is_believed_is_whole_numbers():
    _, belief = trusted(None, wall=NOW + 0.5, uptime=1.25, boot=7)
    assert belief == Belief(7, round(NOW - 0.75), int(NOW))
