"""The whole of it: an unchanged application of the openai SDK and a real model server; its errors rise and fall again.

The webhook is told once and once more at the end, the command lists what it was told, and a real Prometheus, with the
rule that ``otel-llm alerts export`` printed, says the same of the application's own metrics.
"""

import json
import subprocess
import time

import pytest

from parts.application import COMMANDS
from parts.ports import free_ports
from parts.rules import errors
from parts.waiting import WITHIN, wait_for

RULE = """
window: 20s, by: [gen_ai.request.model], threshold: 0.4, min_samples: 1, for: 1s, keep_firing_for: 1s, no_data: resolve,
annotations: {summary: "{{ value | pct }} of calls to {{ labels.gen_ai_request_model }} fail"}
"""
APPLICATION = """
import sys, threading, time
import openai

failing = threading.Event()
def listen():
    for line in sys.stdin:
        failing.set() if line.strip() == "fail" else failing.clear()
    ended.set()
ended = threading.Event()
threading.Thread(target=listen, daemon=True).start()
client = openai.OpenAI(max_retries=0)
while not ended.wait(0.2):
    words = "again and " * 3000 if failing.is_set() else "Hi"
    try:
        client.chat.completions.create(
            model="smollm2-135m-instruct", messages=[{"role": "user", "content": words}], max_tokens=1
        )
    except openai.BadRequestError:
        pass
"""
CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
scrape_configs: [{{job_name: app, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]
"""
LONG = 3 * WITHIN
"""For what an SDK and a model take together where others want the machine too [s]."""


@pytest.mark.slow
def test_errors_of_a_real_application_are_told_once_and_seen_alike_everywhere(
    tmp_path, desk, hook, model_url, prometheus
):
    (tmp_path / "rules.yaml").write_text(errors(RULE, hook.url))
    (tmp_path / "app.py").write_text(APPLICATION)
    (port,) = free_ports(1)
    desk.settings.update(
        OTEL_LLM_ALERTS_RULES=str(tmp_path / "rules.yaml"),
        OTEL_LLM_ALERTS_DEFAULTS="false",
        OTEL_METRICS_EXPORTER="prometheus,sqlite",
        OTEL_EXPORTER_PROMETHEUS_HOST="127.0.0.1",
        OTEL_EXPORTER_PROMETHEUS_PORT=str(port),
        OPENAI_BASE_URL=f"{model_url}/v1",
    )
    exported = desk.otel_llm("alerts", "export", "--to", "prometheus", "--names", "exporter")
    assert exported.returncode == 0, exported.stderr

    def listed():
        return {one["alert"]: one["state"] for one in json.loads(desk.otel_llm("alerts", "list", "--json").stdout)}

    def there():
        return {one["labels"]["alertname"]: one["state"] for one in server.get("/api/v1/alerts")["data"]["alerts"]}

    command = [COMMANDS / "opentelemetry-instrument", "python", tmp_path / "app.py"]
    with (
        prometheus(CONFIG.format(port=port), files={"rules.yml": exported.stdout}) as server,
        subprocess.Popen(command, stdin=subprocess.PIPE, text=True, env=desk.environ()) as application,
    ):
        try:
            time.sleep(6)
            assert hook.alerts() == []
            application.stdin.write("fail\n")
            application.stdin.flush()
            wait_for(hook.alerts, LONG)
            wait_for(lambda: listed().get("Errors") == "firing")
            wait_for(lambda: there().get("Errors") == "firing", LONG)
            application.stdin.write("work\n")
            application.stdin.flush()
            wait_for(lambda: len(hook.alerts()) == 2, LONG)
            wait_for(lambda: listed().get("Errors") == "resolved")
            wait_for(lambda: there().get("Errors") != "firing", LONG)
        finally:
            application.stdin.close()
            application.wait(WITHIN)
    firing, resolved = hook.alerts()
    assert (firing["status"], resolved["status"]) == ("firing", "resolved")
    assert firing["labels"]["gen_ai_request_model"] == "smollm2-135m-instruct"
    assert firing["annotations"]["summary"].endswith("% of calls to smollm2-135m-instruct fail")
