"""The facts of one call as short words, alike in every list. Cli storey; takes stored spans, gives text.

A token count with ``~`` was estimated by counting chunks, not reported by the server.
"""

from dataclasses import dataclass

from rich.text import Text

from otel_llm import semconv
from otel_llm.calls import Call
from otel_llm.cli import output
from otel_llm.store.query import StoredSpan

_STYLES = {
    semconv.OUTCOME_ABANDONED: "yellow",
    semconv.OUTCOME_CANCELLED: "yellow",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A stored inference span beside the call that it describes."""

    span: StoredSpan
    call: Call

    @classmethod
    def of(cls, span: StoredSpan) -> "Attempt":
        """The attempt that ``span`` tells of."""
        operation = str(span.attributes.get(semconv.OPERATION_NAME, span.name))
        return cls(span=span, call=Call.from_attributes(span.attributes) or Call(operation=operation))

    @property
    def failed(self) -> bool:
        """Whether the attempt ended in an error."""
        return self.span.status == "ERROR" or self.call.outcome == semconv.OUTCOME_ERROR

    @property
    def model(self) -> str:
        """The model that was asked for, else the one that answered."""
        return output.clean(self.call.request_model or self.call.response_model or output.ABSENT)

    @property
    def provider(self) -> str:
        """Who served it."""
        return output.clean(self.call.provider or output.ABSENT)

    @property
    def service(self) -> str:
        """``service.name`` of the process that made the call."""
        return output.clean(self.span.resource.get("service.name", output.ABSENT))

    @property
    def status(self) -> Text:
        """``ok``, the error's status code or class, or how else it ended."""
        if self.failed:
            return Text(output.clean(self.call.error_type or "error").rpartition(".")[2], style="red")
        if self.call.outcome in _STYLES:
            return Text(self.call.outcome, style=_STYLES[self.call.outcome])
        return Text("ok", style="green")

    @property
    def finish(self) -> str:
        """Why the model stopped; of a failed call the provider's own error code."""
        if self.failed and self.call.error_code:
            return output.clean(self.call.error_code)
        return output.clean(",".join(self.call.finish_reasons or ())) or output.ABSENT

    @property
    def retry(self) -> str:
        """How many attempts went before."""
        return str(self.call.resend_count) if self.call.resend_count else output.ABSENT

    def tokens(self, number: int | None) -> str:
        """``number`` of tokens, marked when it is an estimate."""
        mark = "~" if number is not None and self.call.usage_source == semconv.USAGE_SOURCE_ESTIMATED else ""
        return mark + output.count(number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which attempts are asked for beyond what the store's `Filter` can say.

    Attributes:
        errors: Only those that failed.
        slow: Only those that took at least so long [s].
    """

    errors: bool = False
    slow: float | None = None

    def __bool__(self) -> bool:
        return self.errors or self.slow is not None

    def fits(self, attempt: Attempt) -> bool:
        """Whether ``attempt`` is asked for."""
        return (attempt.failed or not self.errors) and (self.slow is None or attempt.span.duration >= self.slow)
