"""Two hosts, which are two processes with stores of their own, and one Redis: judged as one, told once."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from parts.application import Desk
from parts.rules import errors
from parts.waiting import WITHIN, wait_for

MEMBER = Path(__file__).with_name("member.py")
RULE = "window: 60s, threshold: 0.5, min_samples: 6, for: 1s, keep_firing_for: 0s, cooldown: 0s"
EXIT_WITHIN = 6.0
"""Two seconds, and what the interpreter takes on a machine that is shared [s]; who waits for Redis takes longer."""

LEASE = "otel_llm:{chat/default}:lease"
PREFIX = "otel_llm:{chat/default}:"


class Member:
    """A host's application."""

    def __init__(self, folder, url, rules):
        folder.mkdir()
        self.log = folder / "log"
        self.calls = 0
        self.desk = Desk(
            folder / "calls.db",
            {
                "OTEL_LLM_REDIS_URL": url,
                "OTEL_LLM_ALERTS_RULES": str(rules),
                "OTEL_LLM_ALERTS_DEFAULTS": "false",
                "OTEL_SERVICE_NAME": "chat",
                "OTEL_METRIC_EXPORT_INTERVAL": "1000",
                "OTEL_LLM_PROBE_INTERVAL": "1s",
                "OTEL_LLM_PROBE_GPU": "false",
            },
        )
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(MEMBER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self.desk.environ(),
                text=True,
            )
        assert self.process.stdout.readline() == "ready\n"

    def call(self, status, times=1):
        for _ in range(times):
            self.process.stdin.write(f"{status}\n")
            self.process.stdin.flush()
            assert self.process.stdout.readline() == f"{status}\n"
            self.calls += 1

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self):
        if self.process.poll() is None:
            if not self.process.stdin.closed:
                self.process.stdin.close()
            try:
                self.process.wait(WITHIN)
            except subprocess.TimeoutExpired:
                self.kill()


@pytest.fixture
def join(tmp_path, hook, redis_server):
    """Starts a host."""
    rules, made = tmp_path / "rules.yaml", []
    rules.write_text(errors(RULE, hook.url))

    def start(name):
        made.append(Member(tmp_path / name, redis_server.url, rules))
        made[-1].call(200)
        with redis_server.client() as client:
            pid = str(made[-1].process.pid).encode()
            wait_for(lambda: pid in [who.split()[1] for who in client.zrange(f"{PREFIX}workers", 0, -1)])
        return made[-1]

    yield start
    for member in made:
        member.close()


@pytest.fixture
def members(join):
    return [join("a"), join("b")]


def statuses(hook):
    return [said["status"] for said in hook.alerts()]


def judging(client):
    """The process that judges, if any does."""
    holder = client.get(LEASE)
    return int(holder.split()[1]) if holder else None


def parted(members, redis_server):
    """The host that judges, and the other."""
    holders = []
    with redis_server.client() as client:
        wait_for(lambda: holders.append(judging(client)) or holders[-1])
    pid = holders[-1]
    first, second = members
    return (first, second) if first.process.pid == pid else (second, first)


@pytest.mark.slow
def test_errors_that_only_both_hosts_together_show_are_told_once_and_ended_once(members, hook, redis_server):
    for _ in range(4):
        for member in members:
            member.call(500)
    wait_for(lambda: statuses(hook))
    time.sleep(2.0)
    assert statuses(hook) == ["firing"]
    assert int(hook.alerts()[0]["annotations"]["samples"]) > 5
    wait_for(
        lambda: statuses(hook) == ["firing", "resolved"],
        between=lambda: [member.call(200) for member in members],
    )
    time.sleep(2.0)
    assert statuses(hook) == ["firing", "resolved"]
    (first, _) = members
    told = len(first.desk.otel_llm("tail", "--fleet", "-n", "9999", "--json").stdout.splitlines())
    assert first.desk.ask("summary", "--fleet")["attempts"] == told == sum(member.calls for member in members)


@pytest.mark.slow
def test_when_the_judge_is_killed_another_host_goes_on_and_tells_nothing_twice(members, join, hook, redis_server):
    for _ in range(4):
        for member in members:
            member.call(500)
    wait_for(lambda: statuses(hook) == ["firing"])
    with redis_server.client() as client:
        wait_for(lambda: client.hlen(f"{PREFIX}rows") == 0)  # what nobody knows to be told may be told again
        for spare in ("c", "d", None):
            first, second = parted(members, redis_server)
            first.kill()
            took = wait_for(lambda who=second.process.pid: judging(client) == who)
            if took < 3.5 or spare is None:
                break
            members[:] = [second, join(spare)]  # the machine stood still
    for _ in range(4):
        second.call(500)
        time.sleep(0.5)
    assert statuses(hook) == ["firing"]
    wait_for(lambda: statuses(hook) == ["firing", "resolved"], between=lambda: second.call(200, 5))
    assert took < 3.5
    redis_server.hang()
    time.sleep(0.5)
    second.process.stdin.close()
    begin = time.monotonic()
    second.process.wait(WITHIN)
    assert time.monotonic() - begin < EXIT_WITHIN


@pytest.mark.slow
def test_an_episode_that_redis_does_not_see_end_is_told_as_ended_once(members, hook, redis_server):
    """While Redis is away the host that told of it ends it; the other one keeps still, and nothing is told again."""
    for _ in range(4):
        for member in members:
            member.call(500)
    wait_for(lambda: statuses(hook) == ["firing"])
    redis_server.kill()
    wait_for(lambda: statuses(hook) == ["firing", "resolved"], between=lambda: [one.call(200, 5) for one in members])
    redis_server.start()
    with redis_server.client() as client:
        wait_for(lambda: client.get(LEASE))
    for _ in range(18):
        for member in members:
            member.call(200)
        time.sleep(0.5)
    assert statuses(hook) == ["firing", "resolved"]
    listed = [member.desk.otel_llm("alerts", "history", "--json").stdout for member in members]
    assert all("Errors" in text for text in listed)
