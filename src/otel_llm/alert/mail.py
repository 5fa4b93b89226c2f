"""Room alert: notifications by e-mail. The standard library's client; runs on delivery threads alone.

A mail about the end of an alert answers the one about its beginning, so that mail programs show them together.
"""

import contextlib
import email.message
import email.utils
import html
import smtplib
import socket
from typing import Final

from otel_llm.alert import body
from otel_llm.alert.body import Batch
from otel_llm.alert.carriage import CONNECT, TOTAL, Result, deadline, explain, reveal, trust
from otel_llm.alert.receiver import Email
from otel_llm.ledger import Message

_REFUSED: Final = 500
"""From this status on a server says no for good."""


def send(to: Email, batch: Batch) -> Result:
    """Send ``batch``; never raises for what the server does."""
    try:
        with contextlib.closing(_Session(to)) as session:
            session.deliver(write(to, batch))
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        outcome = "again" if any(code < _REFUSED for code in codes) else "dead"
        return Result(outcome=outcome, error=f"SMTP {codes[0]} for every recipient")  # type: ignore[arg-type]
    except smtplib.SMTPResponseException as error:
        outcome = "dead" if error.smtp_code >= _REFUSED else "again"
        return Result(outcome=outcome, error=f"SMTP {error.smtp_code}")  # type: ignore[arg-type]
    except smtplib.SMTPNotSupportedError:
        return Result(outcome="again", error="the server offers no STARTTLS or no login")
    except (OSError, smtplib.SMTPException) as error:
        return Result(outcome="again", error=explain(error))
    except ValueError as error:
        return Result(outcome="dead", error=f"not to be written as a mail ({type(error).__name__})")
    return Result(outcome="sent")


def write(to: Email, batch: Batch) -> email.message.EmailMessage:
    """The mail, as text and as plain HTML."""
    mail = email.message.EmailMessage()
    first = batch.messages[0]
    begun = [_thread(one, to) for one in batch.messages[: body.MOST_ALERTS]]
    mail["Subject"] = body.subject(batch)
    mail["From"] = to.sender
    mail["To"] = ", ".join(to.to)
    mail["Date"] = email.utils.localtime()
    mail["Auto-Submitted"] = "auto-generated"
    mail["Message-ID"] = f"<{_local(first.identity)}@{_domain(to)}>"
    if first.identity != first.beginning:
        mail["In-Reply-To"] = begun[0]
    others = [one for one in begun if one != mail["Message-ID"]]
    if others:
        mail["References"] = " ".join(others)
    text = body.text_of(batch)
    mail.set_content(text)
    mail.add_alternative(f"<pre>{html.escape(text)}</pre>\n", subtype="html")
    return mail


def _thread(one: Message, to: Email) -> str:
    """The ``Message-ID`` of the mail that told the beginning."""
    return f"<{_local(one.beginning)}@{_domain(to)}>"


def _local(identity: str) -> str:
    return identity.replace(":", ".")


def _domain(to: Email) -> str:
    return to.sender.rpartition("@")[2].strip("> ")


class _Session:
    """One conversation with the server."""

    def __init__(self, to: Email) -> None:
        self._to = to
        self._context = None if to.tls == "none" else trust(to.ca_file)
        me = socket.gethostname()  # the default would ask the name server
        if to.tls == "implicit":
            self._smtp: smtplib.SMTP = smtplib.SMTP_SSL(local_hostname=me, timeout=CONNECT, context=self._context)
        else:
            self._smtp = smtplib.SMTP(local_hostname=me, timeout=CONNECT)
        # `connect` leaves unsaid whose certificate is asked for; only a connecting constructor says it (3.11 to 3.14).
        self._smtp._host = to.host  # type: ignore[attr-defined] # noqa: SLF001

    def deliver(self, mail: email.message.EmailMessage) -> None:
        """Hand ``mail`` over."""
        with deadline(lambda: self._smtp.sock, TOTAL):
            self._smtp.connect(self._to.host, self._to.port)
            if self._smtp.sock is not None:
                self._smtp.sock.settimeout(TOTAL)
            if self._to.tls == "starttls":
                self._smtp.ehlo()
                self._smtp.starttls(context=self._context)
                self._smtp.ehlo()
            if self._to.username is not None and self._to.password is not None:
                self._smtp.login(reveal(self._to.username), reveal(self._to.password))
            self._smtp.send_message(mail)
            with contextlib.suppress(smtplib.SMTPException, OSError):
                self._smtp.quit()

    def close(self) -> None:
        """Hang up."""
        self._smtp.close()
