"""What README and docs say, tried: links lead somewhere, commands parse, settings exist."""

import re
import shlex
from pathlib import Path

import click
import pytest

from otel_llm.cli import main
from otel_llm.config import known

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "CHANGELOG.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))
BY_HAND = ("in_process", "worker_queue")
"""Examples of the client SDK: they import it, and so are no unchanged applications."""

DEMO = ROOT / "examples/demo.py"
AGENT = ROOT / "collector-config/agent.yaml"


def blocks(page: Path) -> list[str]:
    """The lines of a page's code blocks, without prompt and comment."""
    inside = "\n".join(re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL))
    return [re.sub(r"\s+# .*|^\$ ", "", line) for line in inside.splitlines()]


def commands(page: Path) -> list[str]:
    typed = [line.split("|")[0].strip() for line in blocks(page) if line.startswith("otel-llm ")]
    return [line for line in typed if "[OPTIONS]" not in line]


def parse(line: str) -> None:
    """Resolve a command line as click would, down to its last option, without running it."""
    context = main.make_context("otel-llm", shlex.split(line)[1:])
    while isinstance(context.command, click.Group) and (rest := [*context._protected_args, *context.args]):
        name, command, rest = context.command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("line", sorted({line for page in PAGES for line in commands(page)}))
def test_every_command_exists_with_its_options(line):
    parse(line)


def test_a_command_with_an_unknown_option_would_be_noticed():
    with pytest.raises(click.UsageError):
        parse("otel-llm calls list --nonsense")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_exists(page):
    exist = {key.environment for key in known()} | set(re.findall(r"OTEL_LLM_\w+", AGENT.read_text()))
    exist |= {"OTEL_LLM_CONFIG", "OTEL_LLM_PARTS"}
    assert set(re.findall(r"OTEL_LLM_[A-Z_]*[A-Z]", page.read_text())) <= exist


def test_the_readme_names_the_two_commands():
    lines = blocks(ROOT / "README.md")
    assert "nox -s demo" in lines
    assert "python run_tests.py --install-deps" in lines


def test_the_readme_shows_the_demo_in_its_order():
    shown = [line[2:] for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("$ ")]
    source = DEMO.read_text()
    examples = re.search(r"TEXT_EXAMPLES = \((.*)\)", source)
    assert examples
    names = [*re.findall(r'"(\w+)"', examples[1]), "embeddings"]
    expected = [f"opentelemetry-instrument python examples/{name}.py" for name in names]
    assert shown[: len(names)] == expected
    assert shown[len(names) : len(names) + 2] == ["otel-llm summary --by model", "otel-llm system"]
    assert shown[len(names) + 2].startswith("otel-llm calls show ")


def test_every_example_is_part_of_the_demo():
    apps = {path.stem for path in (ROOT / "examples").glob("*.py")} - {"demo", "local_model", *BY_HAND}
    assert apps == set(re.findall(r'"(\w+)"', DEMO.read_text())) & apps


def test_the_changelog_has_a_place_for_what_is_next():
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()
