"""``otel-llm alerts notify-test``: whether a receiver takes a message. Cli storey."""

import time
from typing import Final

import click

from otel_llm.alert.body import Batch
from otel_llm.alert.outlet import carry
from otel_llm.alert.rule import NAME
from otel_llm.cli import options, output
from otel_llm.cli.alert_rules import in_force
from otel_llm.document import did_you_mean
from otel_llm.ledger import Message

_NAME: Final = "OtelLlmTest"


@click.command("notify-test", cls=options.Command)
@click.argument("receiver")
@options.json_option
def notify_test(*, receiver: str, as_json: bool) -> None:
    """Send a message to RECEIVER of the rules in force and say how that went; exit code 1 if it was not taken.

    Nothing that the receiver answers is shown but its status.
    """
    found = in_force(None)
    known = found.plan.receivers
    if receiver not in known:
        for fault in found.faults:
            click.echo(fault, err=True)
        names = ", ".join(sorted(known)) or "none; write some under receivers"
        hint = did_you_mean(receiver, known)
        message = f"RECEIVER: expected one of {names}, found {receiver!r}" + (f" ({hint})" if hint else "")
        raise click.UsageError(message)
    now = time.time()
    said = Message(
        status="firing",
        labels={NAME: _NAME, "severity": "none"},
        annotations={"summary": "otel-llm alerts notify-test: this receiver works"},
        starts_at=now,
        ends_at=None,
        fingerprint="0" * 16,
        episode=1,
    )
    batch = Batch(receiver=receiver, group=f'{{}}:{{{NAME}="{_NAME}"}}', labels={NAME: _NAME}, messages=[said])
    result = carry(known[receiver], batch)
    taken = result.outcome == "sent"
    if as_json:
        output.print_json({"receiver": receiver, "taken": taken, "error": result.error})
    elif taken:
        click.echo(f"{receiver}: taken")
    if not taken:
        text = f"{receiver}: expected a receiver that takes it, found: {output.clean(result.error or 'no answer')}"
        raise options.Failure(text)


COMMANDS: Final = (notify_test,)
