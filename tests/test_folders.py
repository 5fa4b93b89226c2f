"""The folders are those that platformdirs names."""

import platformdirs
import pytest

from otel_llm import folders


@pytest.mark.parametrize("named", ["", " ", "/tmp/elsewhere"])  # noqa: S108 - nothing is written there
def test_the_folders_are_those_of_platformdirs(monkeypatch, named):
    monkeypatch.setenv("XDG_CONFIG_HOME", named)
    monkeypatch.setenv("XDG_DATA_HOME", named)
    assert folders.settings() == platformdirs.user_config_path("otel-llm")
    assert folders.data() == platformdirs.user_data_path("otel-llm", appauthor=False)


@pytest.mark.parametrize("folder", [folders.settings, folders.data])
def test_elsewhere_platformdirs_is_asked(monkeypatch, folder):
    here = folder()
    monkeypatch.setattr(folders.sys, "platform", "other")
    assert folder() == here
