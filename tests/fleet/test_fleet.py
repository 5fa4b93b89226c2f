"""Two hosts, which are two processes with stores of their own, and one Redis: judged as one, told once."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from parts.application import Desk
from parts.rules import errors
from parts.waiting import wait_for

MEMBER = Path(__file__).with_name("member.py")
RULE = "window: 20s, threshold: 0.5, min_samples: 6, for: 1s, keep_firing_for: 0s, cooldown: 0s"
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
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()


@pytest.fixture
def members(tmp_path, hook, redis_server):
    rules = tmp_path / "rules.yaml"
    rules.write_text(errors(RULE, hook.url))
    made = [Member(tmp_path / name, redis_server.url, rules) for name in ("a", "b")]
    for member in made:
        member.call(200)
    with redis_server.client() as client:
        wait_for(lambda: client.zcard(f"{PREFIX}workers") == 2, 20.0)
    yield made
    for member in made:
        member.close()


def statuses(hook):
    return [said["status"] for said in hook.alerts()]


def parted(members, redis_server):
    """The host that judges, and the other."""
    with redis_server.client() as client:
        holders = []
        wait_for(lambda: holders.append(client.get(LEASE)) or holders[-1], 5.0)
    pid = int(holders[-1].split()[1])
    first, second = members
    return (first, second) if first.process.pid == pid else (second, first)


@pytest.mark.slow
def test_errors_that_only_both_hosts_together_show_are_told_once_and_ended_once(members, hook, redis_server):
    for _ in range(4):
        for member in members:
            member.call(500)
    wait_for(lambda: statuses(hook), 15.0)
    time.sleep(2.0)
    assert statuses(hook) == ["firing"]
    assert int(hook.alerts()[0]["annotations"]["samples"]) > 5
    wait_for(
        lambda: statuses(hook) == ["firing", "resolved"],
        15.0,
        lambda: [member.call(200) for member in members],
    )
    time.sleep(2.0)
    assert statuses(hook) == ["firing", "resolved"]
    (first, _) = members
    told = len(first.desk.otel_llm("tail", "--fleet", "-n", "9999", "--json").stdout.splitlines())
    assert first.desk.ask("summary", "--fleet")["attempts"] == told == sum(member.calls for member in members)


@pytest.mark.slow
def test_when_the_judge_is_killed_another_host_goes_on_and_tells_nothing_twice(members, hook, redis_server):
    for _ in range(4):
        for member in members:
            member.call(500)
    wait_for(lambda: statuses(hook) == ["firing"], 15.0)
    first, second = parted(members, redis_server)
    with redis_server.client() as client:
        first.kill()
        took = wait_for(lambda: (client.get(LEASE) or b"").split()[1:2] == [str(second.process.pid).encode()], 6.0)
    for _ in range(4):
        second.call(500)
        time.sleep(0.5)
    assert statuses(hook) == ["firing"]
    wait_for(lambda: statuses(hook) == ["firing", "resolved"], 30.0, lambda: second.call(200, 5))
    assert took < 3.5
    redis_server.hang()
    time.sleep(0.5)
    second.process.stdin.close()
    begin = time.monotonic()
    second.process.wait(10)
    assert time.monotonic() - begin < EXIT_WITHIN


@pytest.mark.slow
def test_an_episode_that_redis_does_not_see_end_is_told_as_ended_once(members, hook, redis_server):
    """While Redis is away the host that told of it ends it; the other one keeps still, and nothing is told again."""
    for _ in range(4):
        for member in members:
            member.call(500)
    wait_for(lambda: statuses(hook) == ["firing"], 15.0)
    redis_server.kill()
    wait_for(lambda: statuses(hook) == ["firing", "resolved"], 30.0, lambda: [one.call(200, 5) for one in members])
    redis_server.start()
    with redis_server.client() as client:
        wait_for(lambda: client.get(LEASE), 15.0)
    for _ in range(18):
        for member in members:
            member.call(200)
        time.sleep(0.5)
    assert statuses(hook) == ["firing", "resolved"]
    listed = [member.desk.otel_llm("alerts", "history", "--json").stdout for member in members]
    assert all("Errors" in text for text in listed)
