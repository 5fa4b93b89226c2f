"""Room alert: the post, which is opened once somebody is to be told. Most tell nobody, and load none of it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from otel_llm.alert.notice import Plan
from otel_llm.gate import importing
from otel_llm.ledger import Ledger, Message, Row

if TYPE_CHECKING:
    from otel_llm.alert import outlet


class LatePost:
    """`outlet.Post` from the first plan on that has a receiver; until then nobody."""

    def __init__(self) -> None:
        self._post: outlet.Post | None = None

    @property
    def counts(self) -> Mapping[tuple[str, str], int]:
        """Messages by receiver and outcome."""
        return {} if self._post is None else self._post.counts

    def take(self, plan: Plan) -> None:
        """Deliver by ``plan`` from now on."""
        if self._post is None and plan.receivers:
            with importing.lock:
                from otel_llm.alert import outlet  # noqa: PLC0415

            self._post = outlet.Post()
        if self._post is not None:
            self._post.take(plan)

    def address(self, news: Sequence[Message], firing: Sequence[Message], owed: Sequence[Message]) -> Sequence[Row]:
        """A row for each receiver that is to hear of it."""
        return () if self._post is None else self._post.address(news, firing, owed)

    def deliver(self, ledger: Ledger, epoch: int) -> None:
        """Have threads deliver what waits in ``ledger``; this process judges for now, in ``epoch``."""
        if self._post is not None:
            self._post.deliver(ledger, epoch)

    def look(self) -> None:
        """Have the next `deliver` look what waits for whom."""
        if self._post is not None:
            self._post.look()

    def stop(self) -> None:
        """Send nothing more; what waits is in the ledger."""
        if self._post is not None:
            self._post.stop()
