"""Receivers and routes as written: what they become, and every mistake with its line."""

import pytest

from otel_llm.alert import wire
from otel_llm.alert.receiver import Apprise, Email, Webhook
from otel_llm.ledger import Message
from parts.rules import interpret

MAIL = "email: {host: smtp.example.org, from: a@example.org, to: [b@example.org]}"


def fault(text, environ=None):
    (one,) = interpret(text, environ).faults
    return str(one)


def receiver(inner):
    return f"receivers:\n- name: ops\n  {inner}\n"


def told(rules, name="Errors", repeat=0, **labels):
    message = Message(
        status="firing",
        labels={"alertname": name, **labels},
        annotations={},
        starts_at=0.0,
        ends_at=None,
        fingerprint="f",
        episode=1,
        repeat=repeat,
    )
    return {name: route.key(message.labels) for name, route in rules.plan.routes(message).items()}


# --- receivers ----------------------------------------------------------------------------------------------------


def test_every_kind_of_receiver_is_read():
    rules = interpret(
        """
receivers:
- name: ops
  webhook: {url: "https://${HOST}/x", secret_env: S, format: generic}
- name: people
  send_resolved: false
  email: {host: smtp.example.org, from: "Ops <a@example.org>", to: b@example.org, username_env: U, password_env: P}
- name: rest
  apprise: {urls_env: A}
""",
        {"HOST": "hooks.example.org", "S": "s", "U": "u", "P": "p", "A": "json://x"},
    )
    assert rules.faults == ()
    ops, people, rest = rules.plan.receivers.values()
    assert isinstance(ops.to, Webhook)
    assert (ops.to.url, ops.to.format) == ("https://hooks.example.org/x", "generic")
    assert isinstance(people.to, Email)
    assert (people.to.tls, people.to.port, people.send_resolved) == ("starttls", 587, False)
    assert isinstance(rest.to, Apprise)


@pytest.mark.parametrize(
    ("host", "format_"),
    [("hooks.slack.com", "slack"), ("discord.com", "discord"), ("example.org", "alertmanager_v4")],
)
def test_the_format_goes_by_the_host_unless_it_is_said(host, format_):
    assert interpret(receiver(f'webhook: {{url: "https://{host}/x"}}')).plan.receivers["ops"].to.format == format_


def test_no_secret_is_in_what_a_receiver_shows_of_itself():
    rules = interpret(receiver('webhook: {url: "https://me:pw@example.org/${T}"}'), {"T": "token-1"})
    assert "token-1" not in repr(rules.plan)
    assert "pw" not in repr(rules.plan)


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        (
            "webhook: {ulr: x}",
            "rules.yaml:3: receivers[0].webhook.ulr: expected a known key, found 'ulr' (did you mean url?)",
        ),
        ('webhook: {url: "https://${TOKEN}/"}', "receivers[0].webhook.url: expected the environment variable TOKEN"),
        ("webhook: {url: 'https://x/', secret_env: NONE}", "secret_env: expected the environment variable NONE"),
        ("webhook: {url: 'ftp://x/'}", "a URL that begins with https://, found 'ftp:'"),
        ("webhook: {url: 'http://example.org/'}", "(allow_private: true takes http in one's own network)"),
        ("webhook: {url: 'https://'}", "expected a URL with a host"),
        ("webhook: {url: 'https://x:99999/'}", "expected a URL with a host and a port"),
        ("webhook: {url: 'https://x/', format: slak}", "did you mean slack?"),
        (
            "webhook: {url: 'https://x/', bearer_env: A, username_env: A, password_env: A}",
            "bearer or username, not both",
        ),
        ("webhook: {url: 'https://x/', username_env: A}", "username and password, or neither"),
        ("webhook: {url: 'https://x/', previous_secret_env: A}", "secret_env or secret_file beside it"),
        (
            "webhook: {url: 'https://x/', secret_env: A, secret_file: b}",
            "expected secret_env or secret_file, found both",
        ),
        ("webhook: https://x/", "expected a mapping"),
        ("mail: {}", "found 'mail' (did you mean email?)"),
        (
            f"{MAIL}\n  webhook: {{url: 'https://x/'}}",
            "expected one of webhook, email, apprise, found webhook and email",
        ),
        ("send_resolved: true", "expected one of webhook, email, apprise, found none of them"),
        ("email: {host: h, from: a, to: b@x}", "expected an address such as ops@example.org, found 'a'"),
        ('email: {host: h, from: a@x, to: ["b@x\\r\\nBcc: c@x"]}', "expected an address"),
        ("email: {host: h, from: a@x}", "expected one address or more"),
        ("email: {host: h, from: a@x, to: b@x, tls: none}", "or a server on this machine, found none for h"),
        ("email: {host: h, from: a@x, to: b@x, port: 70000}", "a port from 1 to 65535"),
        ("apprise: {}", "the variable or file that holds the addresses"),
    ],
)
def test_a_mistake_in_a_receiver_is_told_with_its_place(inner, expected):
    assert expected in fault(receiver(inner), {"A": "a"})


def test_a_url_is_never_told():
    said = fault(receiver("webhook: {url: 'http://example.org/token-1'}"))
    assert "token-1" not in said


def test_a_receiver_with_a_mistake_leaves_the_others():
    rules = interpret("receivers:\n- name: a\n  webhook: {url: 'ftp://x'}\n- name: b\n  webhook: {url: 'https://x/'}\n")
    assert list(rules.plan.receivers) == ["b"]
    assert told(rules) == {"b": '{}:{alertname="Errors"}'}


def test_a_name_is_given_once():
    text = receiver("webhook: {url: 'https://x/'}") + "- name: ops\n  webhook: {url: 'https://y/'}\n"
    assert "expected each name once, found 'ops'" in fault(text)


def test_the_setting_alone_is_a_receiver_of_everything():
    rules = interpret("", webhook="http://localhost:8080/hook")
    assert told(rules) == {"webhook": '{}:{alertname="Errors"}'}
    assert rules.plan.receivers["webhook"].to.allow_private
    assert not interpret("", webhook="https://example.org/hook").plan.receivers["webhook"].to.allow_private


def test_the_setting_is_told_beside_what_the_routes_say():
    rules = interpret(receiver("webhook: {url: 'https://x/'}") + "route: {receiver: ops}\n", webhook="https://y/")
    assert set(told(rules)) == {"webhook", "ops"}


def test_a_setting_that_is_no_url_is_a_fault():
    one = interpret(receiver("webhook: {url: 'https://x/'}"), webhook="hooks.example.org").faults[0]
    assert str(one).startswith("setting alerts.webhook: expected a URL")


# --- routes -------------------------------------------------------------------------------------------------------

THREE = """
receivers:
- {name: a, webhook: {url: "https://a/"}}
- {name: b, webhook: {url: "https://b/"}}
- {name: c, webhook: {url: "https://c/"}}
"""


def test_without_a_route_every_receiver_is_told():
    assert set(told(interpret(THREE))) == {"a", "b", "c"}


def test_the_first_route_that_matches_takes_an_alert_and_the_root_what_is_left():
    rules = interpret(
        THREE
        + """
route:
  receiver: a
  group_by: [alertname, gen_ai.request.model]
  routes:
  - {match: {severity: critical}, receiver: b}
  - {match: {severity: [critical, warning]}, receiver: c}
"""
    )
    assert told(rules, severity="critical", gen_ai_request_model="m") == {
        "b": '{}/{severity="critical"}:{alertname="Errors", gen_ai_request_model="m"}'
    }
    assert told(rules, severity="warning") == {"c": '{}/{severity=~"critical|warning"}:{alertname="Errors"}'}
    assert told(rules) == {"a": '{}:{alertname="Errors"}'}


def test_continue_lets_the_next_routes_have_it_too_and_nobody_is_told_twice():
    rules = interpret(
        THREE
        + """
route:
  receiver: a
  routes:
  - {match: {severity: critical}, receiver: b, continue: true}
  - {match: {alertname: Errors}, receiver: c, continue: true}
  - {match: {severity: critical}, receiver: b}
"""
    )
    assert list(told(rules, severity="critical")) == ["b", "c"]


def test_a_route_below_has_what_the_one_above_says_unless_it_says_otherwise():
    rules = interpret(
        THREE
        + """
route:
  receiver: a
  group_wait: 0s
  group_interval: 7s
  routes:
  - {match: {team: x}, group_by: ["..."], group_wait: 3s, routes: [{match: {severity: critical}, receiver: b}]}
"""
    )
    (team,) = rules.plan.root.routes
    (critical,) = team.routes
    assert (critical.receiver, critical.group_wait, critical.group_interval) == ("b", 3.0, 7.0)
    assert told(rules, team="x") == {"a": '{}/{team="x"}:{alertname="Errors", team="x"}'}


def test_a_route_may_want_fewer_repeats_than_the_rule_gives():
    rules = interpret(
        THREE
        + """
route: {receiver: a, repeat_interval: 12h}
groups:
- {name: g, rules: [{alert: Errors, signal: error_rate, threshold: 0.1, repeat_interval: 4h}]}
"""
    )
    assert [number for number in range(10) if told(rules, repeat=number)] == [0, 3, 6, 9]


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("{receivr: a}", "did you mean receiver?"),
        ("{receiver: d}", "expected a receiver's name, found 'd'"),
        ("{group_wait: 5s}", "who is told what no other route takes"),
        ("{receiver: a, match: {x: y}}", "none at the root"),
        ("{receiver: a, group_wait: soon}", "a duration"),
        ("{receiver: a, routes: x}", "a list of routes"),
        ("{receiver: a, routes: [x]}", "route.routes[0]: expected a route"),
        ("{receiver: a, routes: [{match: [x]}]}", "labels with their values"),
        ("{receiver: a, routes: [{match: {x: }}]}", "one or more values for x"),
    ],
)
def test_a_mistake_in_a_route_is_told_and_then_everybody_is(route, expected):
    rules = interpret(f"{THREE}route: {route}\n")
    assert any(expected in str(one) for one in rules.faults)


def test_where_the_route_has_a_mistake_everybody_is_told():
    rules = interpret(f"{THREE}route: {{receiver: d}}\n")
    assert set(told(rules)) == {"a", "b", "c"}


# --- addresses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.1",
        "172.16.0.1",
        "100.64.0.1",
        "::1",
        "fd00::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
    ],
)
def test_a_private_address_is_asked_only_where_that_is_allowed(address):
    with pytest.raises(wire.ForbiddenError, match="private"):
        wire.check(address, allow_private=False, tls=True)
    wire.check(address, allow_private=True, tls=False)


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "fe80::1%eth0", "0.0.0.0", "::", "224.0.0.1", "::ffff:169.254.169.254"],  # noqa: S104
)
def test_an_address_of_metadata_multicast_or_none_is_never_asked(address):
    with pytest.raises(wire.ForbiddenError):
        wire.check(address, allow_private=True, tls=True)


def test_a_public_address_is_asked_with_https_alone():
    wire.check("93.184.216.34", allow_private=False, tls=True)
    with pytest.raises(wire.ForbiddenError, match="https"):
        wire.check("93.184.216.34", allow_private=True, tls=False)


def test_a_name_of_this_machine_is_refused_without_a_request(hook):
    with pytest.raises(wire.ForbiddenError):
        wire.post(hook.url, b"{}", {})
    assert hook.requests == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), (" 7 ", 7.0), ("Fri, 15 Jan 2027 08:01:00 GMT", 60.0), ("soon", None), ("-1", None), (None, None)],
)
def test_a_wish_is_a_number_of_seconds_or_a_date(text, seconds):
    assert wire.seconds_of(text, 1_800_000_000.0) == seconds


def test_proxies_of_the_environment_are_not_asked(hook, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://localhost:9")
    assert wire.post(hook.url, b"{}", {}, allow_private=True).status == 200
