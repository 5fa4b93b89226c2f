"""``otel-llm run``: the command itself, under opentelemetry-instrument, with this distribution chosen."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from parts.waiting import WITHIN

OTEL_LLM = Path(sys.executable).with_name("otel-llm")


@pytest.fixture
def environ(tmp_path):
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    return kept | {"OTEL_LLM_STORE_PATH": str(tmp_path / "otel-llm.db")}


def run(environ, *arguments, **options):
    return subprocess.run(
        [OTEL_LLM, "run", *arguments], env=environ, capture_output=True, text=True, check=False, **options
    )


def test_the_command_sees_this_distribution_chosen(environ):
    program = "import os; print(os.environ['OTEL_PYTHON_DISTRO'], os.environ['OTEL_PYTHON_CONFIGURATOR'])"
    result = run(environ, "--", sys.executable, "-c", program)
    assert result.stdout == "otel_llm otel_llm\n"


def test_the_command_is_instrumented(environ):
    program = "from opentelemetry import trace; print(type(trace.get_tracer_provider()).__module__)"
    result = run(environ, "--", sys.executable, "-c", program)
    assert result.stdout == "opentelemetry.sdk.trace\n", result.stderr


def test_the_exit_code_is_the_commands(environ):
    assert run(environ, "--", "sh", "-c", "exit 7").returncode == 7


def test_options_after_the_command_are_the_commands(environ):
    assert run(environ, "echo", "--json", "-h").stdout == "--json -h\n"


def test_stdin_is_the_commands(environ):
    assert run(environ, "--", "cat", input="through").stdout == "through"


def test_a_signal_reaches_the_command(environ):
    with subprocess.Popen(
        [OTEL_LLM, "run", "--", "sh", "-c", "echo up; exec sleep 300"], env=environ, stdout=-1
    ) as child:
        assert child.stdout.readline() == b"up\n"
        child.send_signal(signal.SIGTERM)
        assert child.wait(WITHIN) == -signal.SIGTERM


def test_a_command_that_is_not_there_exits_2(environ):
    result = run(environ, "--", "no-such-command")
    assert result.returncode == 2
    assert "expected a command on PATH, found 'no-such-command'" in result.stderr


def test_a_script_without_python_before_it_is_hinted_at(environ, tmp_path):
    (tmp_path / "app.py").write_text("")
    result = run(environ, "app.py", cwd=tmp_path)
    assert result.returncode == 2
    assert "(did you mean python app.py?)" in result.stderr


def test_no_command_at_all_exits_2(environ):
    assert run(environ).returncode == 2
