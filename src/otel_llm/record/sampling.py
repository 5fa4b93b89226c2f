"""Sampling must not blind the processors: an inference that is not sampled is still recorded, unexported."""

from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

from otel_llm import semconv


class RecordInferences(Sampler):
    """Decide as ``inner`` does, but record (``RECORD_ONLY``) the inferences that it drops.

    Exporters leave such spans out; processors, alerts among them, see every call.
    """

    def __init__(self, inner: Sampler) -> None:
        self._inner = inner

    def should_sample(  # noqa: PLR0913, PLR0917 - the SDK's signature
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """The inner sampler's decision, raised to ``RECORD_ONLY`` for an inference."""
        result = self._inner.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)
        if result.decision is not Decision.DROP or not attributes:
            return result
        operation = attributes.get(semconv.OPERATION_NAME)
        if not isinstance(operation, str) or operation not in semconv.INFERENCE_OPERATIONS:
            return result
        return SamplingResult(Decision.RECORD_ONLY, attributes, result.trace_state)

    def get_description(self) -> str:
        """The inner sampler's description, in ours."""
        return f"RecordInferences{{{self._inner.get_description()}}}"
