import os
import socket
import time

import pytest

from otel_llm.probe import meter as meter_module
from otel_llm.probe.meter import Meter
from parts.nvml import Cards
from parts.waiting import WITHIN, wait_for


@pytest.fixture
def listening():
    """A port that this process listens on, as a model server would."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def meter(cards: Cards, monkeypatch):
    """Two cards at rest, drawing 100 W each; the first is used by this process."""
    cards.say({"power": 100_000, "energy": 0, "gpu": 0, "0.processes": f"{os.getpid()}:1000", "1.processes": "1:1000"})
    made = Meter()
    yield made
    # Its thread would read, and complain of, the cards of the tests that follow.
    monkeypatch.setattr(meter_module, "_LINGER", 0.0)
    for server in made._servers.values():
        server.ledger.forget(float("inf"))
    assert made._loop.stop(WITHIN)


def spend(cards: Cards, seconds: float, *, watts: float) -> None:
    """Have the cards' counters run as they would at so many watts each."""
    began = time.perf_counter()
    first = cards.said("energy")
    while (passed := time.perf_counter() - began) < seconds:
        cards.say({"energy": first + int(passed * watts * 1000)})
        time.sleep(0.02)


def measured(meter: Meter, port: int, during=lambda: time.sleep(0.5)) -> tuple[dict[str, float | str], float]:
    """What one call took, and how long [s]; on a busy machine samples come too late for one or the other."""
    deadline = time.monotonic() + WITHIN
    while time.monotonic() < deadline:
        ticket = meter.begin("127.0.0.1", port)
        began = time.perf_counter()
        during()
        said, lasted = ticket(50), time.perf_counter() - began
        if said:
            return said, lasted
    return {}, 0.0


def test_a_call_takes_what_its_servers_card_took_above_rest(cards: Cards, meter: Meter, listening: int):
    meter.begin("127.0.0.1", listening)  # NVML is open and the card known before the call that is looked at
    time.sleep(1.0)

    def is_its_share():
        said, lasted = measured(meter, listening, lambda: spend(cards, 1.5, watts=300))
        assert said["otel_llm.energy.method"] == "counter/shared"
        # The other call is open still and counts as a usual one: half of it is its.
        active, idle = said["otel_llm.energy"] / lasted, said["otel_llm.energy.idle"] / lasted
        return active == pytest.approx(100, rel=0.5) and idle == pytest.approx(50, rel=0.2)

    assert any(is_its_share() for _ in range(5))  # the counters stand still where this thread does


def test_a_server_whose_processes_are_not_to_be_seen_is_given_all_cards_and_says_so(
    cards: Cards, meter: Meter, free_port
):
    assert measured(meter, free_port())[0]["otel_llm.energy.method"] == "counter/shared/host"


def test_a_server_that_uses_no_card_takes_nothing(cards: Cards, meter: Meter, listening: int):
    cards.say({"0.processes": "1:1000"})
    ticket = meter.begin("127.0.0.1", listening)
    spend(cards, 0.6, watts=300)
    assert ticket(50) == {}


def test_cards_that_were_busy_before_the_first_call_have_no_rest_to_set_apart(
    cards: Cards, meter: Meter, listening: int
):
    cards.say({"gpu": 80})
    said, _ = measured(meter, listening)
    assert said["otel_llm.energy.method"] == "counter/shared/gross"
    assert "otel_llm.energy.idle" not in said


def test_a_card_without_a_counter_has_a_calls_energy_sampled(cards: Cards, meter: Meter, listening: int):
    cards.say({"energy.err": 3})
    said, lasted = measured(meter, listening)
    assert said["otel_llm.energy.method"] == "sampled/shared"
    assert said["otel_llm.energy"] == pytest.approx(0.0, abs=1.0)
    assert said["otel_llm.energy.idle"] == pytest.approx(100 * lasted, rel=0.5)


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1", "::1"])
def test_a_server_on_loopback_is_measured(cards: Cards, meter: Meter, address: str):
    assert meter.begin(address, 8000) is not None


def test_a_server_on_an_address_of_this_host_is_measured(cards: Cards, meter: Meter, monkeypatch):
    monkeypatch.setattr(meter_module.listeners, "addresses", lambda: frozenset({"192.0.2.7"}))
    assert meter.begin("192.0.2.7", 8000) is not None


@pytest.mark.parametrize("address", ["api.openai.com", "203.0.113.7", None])
def test_a_server_elsewhere_is_not_measured(cards: Cards, meter: Meter, address: str | None):
    assert meter.begin(address, 443) is None
    assert not meter._loop.is_running


def test_a_host_without_a_driver_measures_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(meter_module, "library_fault", lambda: "not found")
    assert Meter().begin("127.0.0.1", 8000) is None


def test_a_driver_without_cards_says_nothing(cards: Cards, meter: Meter, listening: int):
    cards.say({"count": 0})
    ticket = meter.begin("127.0.0.1", listening)
    time.sleep(0.5)
    assert ticket(50) == {}


def test_nothing_is_sampled_once_the_calls_have_ended(cards: Cards, meter: Meter, listening: int, monkeypatch):
    monkeypatch.setattr(meter_module, "_LINGER", 0.1)
    meter.begin("127.0.0.1", listening)(None)
    wait_for(lambda: not meter._loop.is_running)


def test_a_forked_child_measures_for_itself(cards: Cards, meter: Meter, free_port):
    port = free_port()
    meter.begin("127.0.0.1", port)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, b"%d" % len(measured(meter, port)[0]))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 10) == b"3"


def test_more_servers_than_are_kept_are_not_measured(cards: Cards, meter: Meter):
    tickets = [meter.begin("127.0.0.1", 10_000 + place) for place in range(20)]
    assert [ticket is None for ticket in tickets] == [False] * 16 + [True] * 4
