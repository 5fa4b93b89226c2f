"""The content of a call that comes as values and not as bytes: told by hand, or by a library in this process. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from otel_llm import semconv
from otel_llm.record.content import Content, openai, shape
from otel_llm.record.content.fit import fit
from otel_llm.record.content.listening import HELD
from otel_llm.record.content.shape import Answer, Asked
from otel_llm.record.exchange import items


class Told:
    """Ends as `capture.Captured` does; what is said of one thing later takes the place of what was said before.

    Args:
        limit: Of one attribute's JSON text [byte]. No more than that is held of what is told.
    """

    __slots__ = ("_answer", "_limit", "_output", "_said", "_truncated")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._said: Content = {}
        self._truncated: set[str] = set()
        self._answer: Answer | None = None
        self._output: list[dict[str, Any]] | None = None

    def ask(self, body: Mapping[str, Any]) -> None:
        """Take a request in OpenAI's format."""
        said = openai.asked(body)
        self._keep(semconv.SYSTEM_INSTRUCTIONS, said.system)
        self._keep(semconv.INPUT_MESSAGES, said.messages, newest=True)
        self._keep(semconv.TOOL_DEFINITIONS, said.tools)

    def hear(self, message: Mapping[str, Any]) -> None:
        """Take the answer, or one event of it, in OpenAI's format."""
        if self._answer is None:
            self._answer = Answer(HELD)
        if not self._answer.full:
            openai.heard(message, self._answer)

    def say(self, *, input: object, output: object, system: object, tools: object) -> None:  # noqa: A002 - the words for it
        """Take what is not ``None``; see `otel_llm.record.client.ManualCall.content`."""
        if input is not None:
            self._keep(semconv.INPUT_MESSAGES, _messages(input, "user"), newest=True)
        if system is not None:
            parts = [shape.text(text) for text in (items(system) or [system])]
            self._keep(semconv.SYSTEM_INSTRUCTIONS, [part for part in parts if part is not None])
        if tools is not None:
            self._keep(semconv.TOOL_DEFINITIONS, openai.asked({"messages": [], "tools": tools}).tools)
        if output is not None:
            self._output = self._fitted(semconv.OUTPUT_MESSAGES, _messages(output, "assistant"))

    def finish(self, reasons: Mapping[int, str]) -> tuple[Content, bool]:
        """The call's content, and whether some of it was cut.

        Args:
            reasons: Finish reason of each choice.
        """
        output = self._output
        if output is None and self._answer is not None:
            output = self._fitted(semconv.OUTPUT_MESSAGES, self._answer.messages(reasons))
            if self._answer.truncated:
                self._truncated.add(semconv.OUTPUT_MESSAGES)
        elif output is not None:
            output = [
                {"finish_reason": shape.finish_reason(reasons[index]), **message} if index in reasons else message
                for index, message in enumerate(output)
            ]
        content = {**self._said, **({semconv.OUTPUT_MESSAGES: output} if output else {})}
        return {name: content[name] for name in semconv.CONTENT if name in content}, bool(self._truncated)

    def _keep(self, name: str, said: Sequence[Mapping[str, Any]], *, newest: bool = False) -> None:
        kept = self._fitted(name, said, newest=newest)
        if kept:
            self._said[name] = kept

    def _fitted(self, name: str, said: Sequence[Mapping[str, Any]], *, newest: bool = False) -> list[dict[str, Any]]:
        kept, cut = fit(said, self._limit, newest=newest)
        self._truncated.discard(name)
        if cut:
            self._truncated.add(name)
        return kept


def _messages(said: object, role: str) -> list[dict[str, Any]]:
    """Messages in the convention's shape: of a text, or of messages in that shape or in OpenAI's."""
    made: list[dict[str, Any]] = []
    for given in items(said) or [said]:
        message = given.model_dump(exclude_none=True) if hasattr(given, "model_dump") else given
        if isinstance(message, Mapping) and isinstance(message.get("parts"), list):
            made.append({"role": role, **message})
            continue
        body = message if isinstance(message, Mapping) else {"content": message}
        one: Asked = openai.asked({"messages": [{"role": role, **body}]})
        made += one.messages
    return made
