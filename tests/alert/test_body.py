"""Bodies of notifications, and what alerting says to OpenTelemetry."""

import json

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_llm import semconv
from otel_llm.alert import body, message, ruleset, schema, telling
from otel_llm.alert.body import Batch
from otel_llm.alert.engine import Engine
from otel_llm.alert.judge import Change
from otel_llm.alert.outlet import Post
from otel_llm.alert.processor import AlertProcessor
from otel_llm.alert.state import Alert, Verdict, step
from otel_llm.ledger import Message


def say(status="firing", name="Errors", *, summary="12% fail", **labels):
    return Message(
        status=status,
        labels={"alertname": name, **labels},
        annotations={"summary": summary, "value": "0.12", "reason": "no_data"},
        starts_at=1_800_000_000.0,
        ends_at=None if status == "firing" else 1_800_000_060.0,
        fingerprint="f",
        episode=1,
    )


def batch(*messages):
    return Batch(receiver="ops", group="{}", labels={}, messages=messages)


def test_slack_gets_text_that_mentions_nobody():
    said = json.loads(body.write("slack", batch(say(summary="<!channel> & 12%"))))
    assert said["text"] == "*[FIRING] Errors: &lt;!channel&gt; &amp; 12%*"
    assert "FIRING Errors" in said["attachments"][0]["text"]


def test_discord_gets_an_embed_that_mentions_nobody_and_fits():
    said = json.loads(body.write("discord", batch(*[say(summary="x" * 400, model=str(n)) for n in range(60)])))
    (embed,) = said["embeds"]
    assert said["allowed_mentions"] == {"parse": []}
    assert len(embed["title"]) <= 256
    assert len(embed["description"]) <= 4096


def test_a_script_gets_flat_records():
    said = json.loads(body.write("generic", batch(say("resolved", model="m"))))
    (alert,) = said["alerts"]
    assert (said["status"], alert["name"], alert["ends_at"]) == ("resolved", "Errors", "2027-01-15T08:01:00Z")


def test_many_alerts_are_counted_in_the_subject_and_the_rest_in_the_text():
    many = batch(*[say(name=f"A{number}") for number in range(30)])
    assert body.subject(many) == "[FIRING:30] 30 alerts"
    assert body.text_of(many).endswith("and 10 more")


def test_an_end_for_want_of_data_says_so():
    assert "told as over because: no_data" in body.text_of(batch(say("resolved")))


def test_a_subject_is_one_line():
    assert "\n" not in body.subject(batch(say(summary="a\r\nBcc: x")))


@pytest.mark.parametrize("format_", ["alertmanager_v4", "slack", "discord", "generic"])
def test_lone_surrogates_break_no_body(format_):
    said = json.loads(body.write(format_, batch(say(summary="\ud800"))))
    assert "\ud800" not in json.dumps(said, ensure_ascii=False)


def test_metrics_say_where_alerts_stand_and_what_was_sent():
    processor = AlertProcessor(lambda: None)
    engine = Engine(processor, ruleset.RuleSet)
    outlet = Post()
    outlet.counts["ops", "sent"] = 3
    rule = schema.interpret([schema.shipped()]).rules[0]
    alert = Alert(labels=(("host_name", "h"),), state="firing")
    engine.standing = lambda: [Change(rule=rule, alert=alert, before="firing", notice=None)]
    reader = InMemoryMetricReader()
    telling.register(MeterProvider([reader]).get_meter("test"), engine, outlet)
    found = {
        metric.name: [(dict(point.attributes), point.value) for point in metric.data.data_points]
        for metric in reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
    }
    labels = {"otel_llm.alert.label.host_name": "h", "otel_llm.alert.label.severity": "warning"}
    assert found[semconv.METRIC_ALERT_STATE] == [({**labels, semconv.ALERT_NAME: rule.name}, 2)]
    sent = {semconv.ALERT_RECEIVER: "ops", semconv.ALERT_OUTCOME: "sent"}
    assert found[semconv.METRIC_ALERT_NOTIFICATIONS] == [(sent, 3)]
    assert found[semconv.METRIC_CLOCK_JUMPS] == [({}, 0)]


def test_an_hour_of_flapping_is_one_firing_message_by_the_default_times():
    rules = schema.interpret([schema.shipped()]).rules
    for rule in rules:
        alert, told = Alert(), []
        for tick in range(360):
            on = tick * 10 % 60 < 30
            data = "breach" if on else "clear"
            alert, notice = step(rule, alert, Verdict(data=data, value=0.5, samples=99), 10.0, tick * 10.0)
            told += [] if notice is None else [notice.status]
        assert told.count("firing") <= 1, rule.name


def test_an_event_has_the_severity_of_its_alert():
    levels = [
        telling._severity(one)[1]
        for one in (say(severity="critical"), say(severity="warning"), say("resolved", severity="critical"))
    ]
    assert levels == ["ERROR", "WARN", "INFO"]


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.5, "08:00:00.5Z"), (0.123, "08:00:00.123Z"), (0.46, "08:00:00.46Z"), (0.0, "08:00:00Z")]
)
def test_a_date_is_written_as_alertmanager_writes_it(seconds, said):
    assert message.stamp(1_800_000_000 + seconds) == f"2027-01-15T{said}"


def test_each_word_is_an_event_with_labels_and_annotations(monkeypatch):
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    monkeypatch.setattr(telling, "get_logger", provider.get_logger)
    telling.emit([(None, say(severity="critical"))])
    (one,) = [finished.log_record for finished in exporter.get_finished_logs()]
    assert (one.event_name, one.severity_text, one.body) == (semconv.EVENT_ALERT, "ERROR", "firing Errors 12% fail")
    assert one.attributes["otel_llm.alert.label.severity"] == "critical"
    assert one.attributes["otel_llm.alert.annotation.value"] == "0.12"
