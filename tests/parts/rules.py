"""Files of alert rules as a user writes them, and what our engine reads in one."""

from collections.abc import Mapping

from otel_llm.alert import schema
from otel_llm.alert.ruleset import RuleSet
from otel_llm.document import Document, parse

_RECEIVER = """
receivers:
- name: ops
  webhook: {url: "URL", allow_private: true}
route: {receiver: ops, group_wait: 0s, group_interval: 0s}
"""


def errors(keys: str, url: str | None = None) -> str:
    """One alert, ``Errors``, on the ratio of calls that fail, judged each second.

    Args:
        keys: The rule's other keys, as between the braces of YAML.
        url: Where the receiver ``ops`` is told of it at once; without one the file names no receiver.
    """
    receiver = "" if url is None else _RECEIVER.replace("URL", url)
    return f"{receiver}groups: [{{name: g, interval: 1s, rules: [{{alert: Errors, signal: error_rate, {keys}}}]}}]\n"


def interpret(text: str, environ: Mapping[str, str] | None = None, **settings: str) -> RuleSet:
    """The rules of a file, its faults among them; nothing of the tester's own environment is seen."""
    document = Document(name="rules.yaml")
    parse(text.encode(), document)
    return schema.interpret([document], environ=environ or {}, **settings)
