"""One version, said in two places."""

import importlib.metadata
import tomllib
from pathlib import Path

import otel_llm
from otel_llm import semconv


def test_the_project_file_says_the_version_of_the_scope():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert project["version"] == semconv.SCOPE_VERSION == otel_llm.__version__


def test_the_installed_metadata_says_the_same():
    assert importlib.metadata.version("otel-llm") == semconv.SCOPE_VERSION
