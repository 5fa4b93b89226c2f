"""``otel-llm alerts`` on real stores and rule files."""

import json
import threading
import time
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from otel_llm.alert import clock
from otel_llm.cli import main
from otel_llm.ledger import Kept
from otel_llm.store.alerts import AlertReader
from otel_llm.store.ledger import SqliteLedger

CONTRACT = json.loads((Path(__file__).parents[2] / "docs/contract/alerts.schema.json").read_text())
RULES = """
groups:
- name: g
  interval: 10s
  rules:
  - alert: Errors
    signal: error_rate
    window: 1m
    by: [gen_ai.request.model]
    threshold: 0.1
    min_samples: 4
    for: 20s
    keep_firing_for: 0s
    annotations: {summary: "{{ value | pct }}"}
"""


def run(*arguments, **environment):
    return CliRunner().invoke(main, ["alerts", *map(str, arguments)], env=environment)


@pytest.fixture
def rules(tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text(RULES)
    return file


@pytest.fixture
def ledger(tmp_path):
    made = SqliteLedger(tmp_path / "calls.db", clock.boot())
    yield made
    made.close()


@pytest.fixture
def keep(ledger, tmp_path):
    """Keep an alert as a judge would; gives the store's path."""

    def one(state, *, name="Errors", fingerprint="0123456789abcdef", age=1.0, **content):
        now = time.time()
        labels = {"alertname": name, "gen_ai_request_model": "m"}
        epoch = ledger.lease("test", clock.now())
        kept = Kept(
            fingerprint=fingerprint,
            rule=name,
            digest="d",
            state=state,
            content={"labels": [["gen_ai_request_model", "m"]], "state": state, "samples": 9, **content},
            labels=labels,
            at=clock.now(),
            wall=now - age,
            boot=clock.boot(),
        )
        assert ledger.commit(epoch, [kept], [])
        return tmp_path / "calls.db"

    return one


def test_a_firing_alert_is_listed_as_the_contract_says_and_trips(keep, rules):
    path = keep("firing", value=0.5, active_at=time.time() - 60, fired_at=time.time() - 40, age=900.0)
    done = run("list", "--db", path, "--json", OTEL_LLM_ALERTS_RULES=str(rules))
    assert done.exit_code == 4
    (alert,) = json.loads(done.stdout)
    jsonschema.validate([alert], CONTRACT)
    assert (alert["alert"], alert["state"], alert["value"]) == ("Errors", "firing", 0.5)
    assert alert["annotations"]["summary"] == "50%"


def test_a_pending_alert_is_listed_and_trips_nothing(keep):
    path = keep("pending", value=0.5, active_at=time.time() - 5)
    done = run("list", "--db", path, "--json")
    assert done.exit_code == 0
    (alert,) = json.loads(done.stdout)
    jsonschema.validate([alert], CONTRACT)
    assert alert["fired_at"] is None


def test_a_pending_alert_of_a_process_that_is_gone_is_not_listed(keep):
    path = keep("pending", active_at=time.time() - 500, age=500.0)
    assert json.loads(run("list", "--db", path, "--json").stdout) == []


@pytest.mark.parametrize(("ago", "shown"), [(60, 1), (1000, 0)])
def test_a_resolved_alert_is_listed_for_a_quarter_of_an_hour(keep, ago, shown):
    path = keep("inactive", fired_at=time.time() - 2000, resolved_at=time.time() - ago, reason="no_data")
    assert len(json.loads(run("list", "--db", path, "--json").stdout)) == shown


def test_the_list_is_a_table_for_people(keep):
    path = keep("firing", value=0.5, fired_at=time.time())
    done = run("list", "--db", path)
    assert "firing  Errors" in done.stdout
    assert "gen_ai_request_model=m" in done.stdout


def test_no_alert_is_good_news(keep):
    path = keep("inactive")
    done = run("watch", "--once", "--db", path)
    assert done.exit_code == 0
    assert "No alert is pending or fires." in done.stderr


def test_a_missing_store_is_no_data(tmp_path):
    for command in ("list", "history", "backtest"):
        assert run(command, "--db", tmp_path / "none.db").exit_code == 3
    assert run("silence", "list", "--db", tmp_path / "none.db").exit_code == 3


def test_history_tells_every_turn_newest_first(keep):
    keep("pending", value=0.2)
    keep("firing", value=0.5)
    path = keep("inactive", value=0.0, reason="no_data")
    turns = json.loads(run("history", "--db", path, "--json").stdout)
    assert [(turn["from"], turn["to"]) for turn in turns] == [
        ("firing", "inactive"),
        ("pending", "firing"),
        ("inactive", "pending"),
    ]
    assert "resolved" in run("history", "--db", path, "--alert", "Errors").stdout
    assert run("history", "--db", path, "--alert", "Other").exit_code == 3


def test_a_silence_marks_the_alert_until_it_is_expired(keep):
    path = keep("firing", fired_at=time.time())
    number = run("silence", "add", "alertname=Errors", "--for", "2h", "--comment", "known", "--db", path).stdout.strip()
    assert json.loads(run("list", "--db", path, "--json").stdout)[0]["silenced"]
    assert "known" in run("silence", "list", "--db", path).stdout
    assert run("silence", "expire", number, "--db", path).exit_code == 0
    assert not json.loads(run("list", "--db", path, "--json").stdout)[0]["silenced"]
    assert run("silence", "expire", number, "--db", path).exit_code == 1
    assert json.loads(run("silence", "list", "--db", path, "--json").stdout) == []
    assert len(json.loads(run("silence", "list", "--expired", "--db", path, "--json").stdout)) == 1


@pytest.mark.parametrize("arguments", [["x"], ["=y"], ["a=b", "--for", "0s"], ["a=b", "--for", "soon"]])
def test_a_silence_that_says_nothing_is_refused(arguments, tmp_path):
    more = [] if "--for" in arguments else ["--for", "1h"]
    assert run("silence", "add", *arguments, *more, "--db", tmp_path / "calls.db").exit_code == 2


def test_a_store_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "folder").mkdir()
    assert run("silence", "add", "a=b", "--for", "1h", "--db", tmp_path / "folder").exit_code == 2
    (tmp_path / "file").write_text("")
    assert run("silence", "expire", "1", "--db", tmp_path / "file" / "x.db").exit_code == 1


def test_check_prints_a_line_for_each_fault_in_order(tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text("groups:\n- name: g\n  rules:\n  - alert: A\n    signal: eror_rate\n    tresh: 1\n")
    done = run("check", file)
    assert done.exit_code == 2
    first, second = done.stdout.splitlines()
    assert first.startswith(f"{file}:5: groups[0].rules[0].signal: expected a signal")
    assert first.endswith("found 'eror_rate' (did you mean error_rate?)")
    assert (
        second == f"{file}:6: groups[0].rules[0].tresh: expected a known key, found 'tresh' (did you mean threshold?)"
    )
    assert len(json.loads(run("check", file, "--json").stdout)) == 2


def test_an_empty_rule_file_is_a_fault(tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text("")
    done = run("check", file)
    assert done.exit_code == 2
    assert done.stdout.startswith(f"{file}:1: groups: expected groups with rules, found nothing")


def test_check_warns_of_what_prometheus_cannot_judge(tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text("groups: [{name: g, rules: [{alert: A, signal: duration, threshold: 900}]}]")
    done = run("check", file)
    assert done.exit_code == 0
    assert "note: not for Prometheus" in done.stderr
    assert "LLMRateLimited" not in done.stderr


def test_the_rules_in_force_are_sound():
    assert run("check").exit_code == 0


def test_an_export_that_could_never_fire_is_refused(tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text("groups: [{name: g, rules: [{alert: A, signal: duration, threshold: 900}]}]")
    refused = run("export", file, "--to", "prometheus")
    assert (refused.exit_code, refused.stdout) == (1, "")
    partial = run("export", file, "--to", "prometheus", "--names", "exporter", "--partial")
    assert partial.exit_code == 0
    assert "alert: LLMHighErrorRate" in partial.stdout
    assert "alert: A\n" not in partial.stdout


def test_the_routing_is_exported(rules):
    assert "receivers:" in run("export", rules, "--to", "alertmanager").stdout


def test_faulty_rules_are_not_exported(tmp_path):
    assert run("export", tmp_path / "none.yaml", "--to", "prometheus").exit_code == 2


TEST = """
rule_files: [rules.yaml]
tests:
- calls:
  - {attributes: {gen_ai.request.model: m}, error: "500", values: 5x10}
  alert_rule_test:
  - {eval_time: 10s, alertname: Errors}
  - {eval_time: 1m, alertname: Errors, exp_alerts: [{exp_labels: {gen_ai_request_model: MODEL}}]}
"""


def test_tests_of_rules_pass_fail_and_are_refused(rules):
    file = rules.with_name("test.yaml")
    file.write_text(TEST.replace("MODEL", "m"))
    passed = run("test", file)
    assert passed.exit_code == 0
    assert "2 of 2 expectations met" in passed.stderr
    file.write_text(TEST.replace("MODEL", "other"))
    failed = run("test", file)
    assert failed.exit_code == 1
    assert '  + {gen_ai_request_model="m"}' in failed.stdout
    file.write_text("tests: 3")
    assert run("test", file).exit_code == 2
    file.write_text("rule_files: [none.yaml]\ntests: [{alert_rule_test: []}]")
    assert run("test", file).exit_code == 2


def test_reload_marks_a_sound_file_as_changed(rules):
    before = rules.stat().st_mtime_ns
    assert run("reload", OTEL_LLM_ALERTS_RULES=str(rules)).exit_code == 0
    assert rules.stat().st_mtime_ns > before


def test_reload_refuses_a_faulty_file(rules):
    rules.write_text("groups: 3")
    before = rules.stat().st_mtime_ns
    done = run("reload", OTEL_LLM_ALERTS_RULES=str(rules))
    assert done.exit_code == 2
    assert "expected a list" in done.stderr
    assert rules.stat().st_mtime_ns == before


def test_reload_tells_faults_in_the_order_of_their_lines(rules):
    rules.write_text(
        "groups:\n- name: g\n  rules:\n"
        "  - {alert: A, signal: eror_rate, threshold: 1}\n"
        "  - {alert: B, signal: cost, threshold: 1, tresh: 2}\n"
        "route: {receiver: nobody}\n"
        "receivers: 3\n"
    )
    done = run("reload", OTEL_LLM_ALERTS_RULES=str(rules))
    lines = [int(told.removeprefix(f"{rules}:").partition(":")[0]) for told in done.stderr.splitlines()]
    assert lines == [4, 5, 6, 7]


def test_reload_without_a_file_says_so():
    assert run("reload", OTEL_LLM_ALERTS_RULES="").exit_code == 1


def test_a_backtest_says_when_rules_would_have_fired_and_resolved(recorded, rules):
    recorded.began -= 600 * 10**9
    for second in range(300):
        error = "500" if 100 <= second < 160 else ""
        recorded.add(at=second, took=0.5, error=error, error_type=error or None, request_model="m")
    recorded.written()
    done = run("backtest", rules, "--alert", "Errors", "--since", "30m", "--db", recorded.path, "--json")
    assert done.exit_code == 0, done.output
    (episode,) = json.loads(done.stdout)
    assert episode["labels"] == {"gen_ai_request_model": "m"}
    lasted = _seconds(episode["resolved_at"]) - _seconds(episode["fired_at"])
    assert 60 <= lasted <= 120
    began = recorded.began / 1e9
    assert 120 <= _seconds(episode["fired_at"]) - began <= 150
    table = run("backtest", rules, "--since", "30m", "--db", recorded.path)
    assert "\nErrors " in table.stdout
    assert "would not have fired" in table.stderr


def test_a_backtest_of_no_calls_is_no_data(keep):
    assert run("backtest", "--db", keep("inactive")).exit_code == 3


def test_a_backtest_of_an_unknown_alert_is_refused(tmp_path):
    assert run("backtest", "--alert", "None", "--db", tmp_path / "x.db").exit_code == 2


def test_a_store_of_before_alerts_has_none(keep):
    path = keep("firing")
    with AlertReader(path) as store:
        store.schema_version = 1
        assert list(store.kept()) == []


def _seconds(text):
    return datetime.fromisoformat(text).timestamp()


class Receiver(BaseHTTPRequestHandler):
    """Answers with the server's ``status`` and a body that nobody may see."""

    def do_POST(self):
        self.server.told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b"the body")

    def log_message(self, *arguments):
        pass


@pytest.fixture
def receiver(tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.told, server.status = [], 200
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.rules = tmp_path / "rules.yaml"
    url = f"http://127.0.0.1:{server.server_port}/hook"
    server.rules.write_text(f"receivers: [{{name: ops, webhook: {{url: '{url}', allow_private: true}}}}]")
    yield server
    server.shutdown()
    server.server_close()


def test_a_test_message_is_sent(receiver):
    done = run("notify-test", "ops", OTEL_LLM_ALERTS_RULES=str(receiver.rules))
    assert (done.exit_code, done.stdout) == (0, "ops: taken\n")
    (told,) = receiver.told
    assert told["alerts"][0]["labels"]["alertname"] == "OtelLlmTest"


def test_a_test_message_that_is_refused_tells_the_status_and_not_the_body(receiver):
    receiver.status = 403
    done = run("notify-test", "ops", "--json", OTEL_LLM_ALERTS_RULES=str(receiver.rules))
    assert done.exit_code == 1
    assert not json.loads(done.stdout)["taken"]
    assert "403" in done.stderr
    assert "the body" not in done.output


def test_a_receiver_that_is_not_there_is_refused_with_those_that_are(receiver):
    done = run("notify-test", "op", OTEL_LLM_ALERTS_RULES=str(receiver.rules))
    assert done.exit_code == 2
    assert "expected one of ops, found 'op' (did you mean ops?)" in done.stderr
