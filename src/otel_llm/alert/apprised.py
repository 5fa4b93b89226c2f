"""Room alert: notifications by Apprise, which knows some hundred and seventy services; an extra, loaded when needed.

It has time-outs of its own and says only whether all went well, so what did not is tried again.
"""

import re

from otel_llm.alert import body
from otel_llm.alert.body import Batch
from otel_llm.alert.carriage import Result, explain, reveal
from otel_llm.alert.receiver import Apprise


def send(to: Apprise, batch: Batch) -> Result:
    """Send ``batch``; never raises for what a service does."""
    try:
        import apprise  # type: ignore[import-not-found, import-untyped, unused-ignore] # noqa: PLC0415
    except ImportError:
        return Result(outcome="again", error="Apprise is not installed: pip install 'otel-llm[apprise]'")
    try:
        addresses = [one for one in re.split(r"[\s,]+", reveal(to.urls)) if one]
    except OSError as error:
        return Result(outcome="again", error=explain(error))
    notifier = apprise.Apprise()
    if not addresses or not notifier.add(addresses):
        return Result(outcome="dead", error="an address that Apprise does not know")
    kind = apprise.NotifyType.FAILURE if batch.status == "firing" else apprise.NotifyType.SUCCESS
    if notifier.notify(title=body.subject(batch), body=body.text_of(batch), notify_type=kind):
        return Result(outcome="sent")
    return Result(outcome="again", error="Apprise could not deliver to every address")
