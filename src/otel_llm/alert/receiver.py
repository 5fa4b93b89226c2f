"""Room alert: receivers, as a rule file names them. No I/O, no clock, and no secret: only where each one is read from.

A secret stands in an environment variable or a file. It is read when something is sent, so that it may be replaced
while the process runs, and it is in no `repr`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from otel_llm.alert.pick import Draft, Pick, WrongError
from otel_llm.alert.receiver_keys import APPRISE, EMAIL, RECEIVER, WEBHOOK
from otel_llm.document import Document, Fault, quote

Format = Literal["alertmanager_v4", "slack", "discord", "generic"]
Tls = Literal["starttls", "implicit", "none"]

FORMATS: Final = ("alertmanager_v4", "slack", "discord", "generic")
KINDS: Final = ("webhook", "email", "apprise")
SHORTCUT: Final = "webhook"
"""Name of the receiver that the setting ``alerts.webhook`` makes."""

_SECRETS: Final = ("secret", "previous_secret", "bearer", "username", "password")
_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")
_HOSTS: Final[Mapping[str, Format]] = {
    "hooks.slack.com": "slack",
    "hooks.slack-gov.com": "slack",
    "discord.com": "discord",
    "discordapp.com": "discord",
}
_MAILBOX: Final = re.compile(r"[^\s@<>,;]+@[^\s@<>,;]+|[^\r\n<>,;@]*<[^\s@<>,;]+@[^\s@<>,;]+>")
_MOST_PORT: Final = 65_535


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """Where a secret stands.

    Attributes:
        variable: An environment variable.
        file: A file whose first line it is.
    """

    variable: str | None = None
    file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An HTTP endpoint.

    Attributes:
        url: Where; it may hold a token and is never told.
        format: How a message is written.
        allow_private: Whether it may be in a private network or on this machine, and then without TLS.
        ca_file: Certificates of who may vouch for it; ``None`` takes the system's.
        secret: Signs what is sent.
        previous_secret: Signs it too, while receivers change over.
        bearer: Sent as ``Authorization: Bearer``.
        username: Sent with ``password`` as ``Authorization: Basic``.
    """

    url: str = field(repr=False)
    format: Format = "alertmanager_v4"
    allow_private: bool = False
    ca_file: str | None = None
    secret: Secret | None = None
    previous_secret: Secret | None = None
    bearer: Secret | None = None
    username: Secret | None = None
    password: Secret | None = None


class Email(msgspec.Struct, frozen=True, kw_only=True):
    """People who read mail.

    Attributes:
        host: The mail server that takes it.
        port: Of the server.
        tls: ``starttls`` is asked for and required; ``implicit`` from the first byte; ``none`` on this machine only.
        sender: From whom.
        to: To whom.
        ca_file: Certificates of who may vouch for the server; ``None`` takes the system's.
    """

    host: str
    port: int
    tls: Tls
    sender: str
    to: tuple[str, ...]
    ca_file: str | None = None
    username: Secret | None = None
    password: Secret | None = None


class Apprise(msgspec.Struct, frozen=True, kw_only=True):
    """Whatever Apprise knows.

    Attributes:
        urls: Where its addresses stand, apart by blanks or commas.
    """

    urls: Secret


class Receiver(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who gets to know.

    Attributes:
        name: As routes call it.
        to: How.
        send_resolved: Whether the end of an alert is told.
    """

    name: str
    to: Webhook | Email | Apprise
    send_resolved: bool = True


def interpret(
    written: Sequence[tuple[Document, str, Mapping[str, Any]]], environ: Mapping[str, str] | None
) -> tuple[dict[str, Receiver], list[Fault]]:
    """The receivers by name, and every mistake; one with a mistake is left out.

    Args:
        written: Document, key and content of each.
        environ: For ``${NAME}`` and to see whether secrets are there; ``None`` looks at none.
    """
    found: dict[str, Receiver] = {}
    faults: list[Fault] = []
    for document, key, values in written:
        try:
            one = _receiver(document, key, values, environ, faults)
        except WrongError as wrong:
            faults.append(wrong.fault)
            continue
        if one.name in found:
            name = f"{key}.name"
            where = document.where(name)
            faults.append(Fault(where=where, key=name, expected="each name once", found=quote(one.name)))
        else:
            found[one.name] = one
    return found, faults


def shortcut(url: str) -> Receiver:
    """The receiver of the setting ``alerts.webhook``. Plain ``http`` is meant for one's own network and says so.

    Raises:
        ValueError: It is no URL of a webhook.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        message = "expected a URL with http or https"
        raise ValueError(message)
    _ = parts.port
    private = parts.scheme == "http"
    return Receiver(name=SHORTCUT, to=Webhook(url=url, format=format_of(parts.hostname), allow_private=private))


def format_of(host: str) -> Format:
    """The format that ``host`` takes, as far as one knows."""
    return _HOSTS.get(host.lower(), "alertmanager_v4")


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine by its name alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _receiver(
    document: Document, key: str, values: Mapping[str, Any], environ: Mapping[str, str] | None, faults: list[Fault]
) -> Receiver:
    pick = _pick(document, key, values, tuple(RECEIVER), faults)
    name = _text(pick, "name", "the receiver's name")
    kinds = [kind for kind in KINDS if kind in values]
    if len(kinds) != 1:
        pick.fail("name", f"one of {', '.join(KINDS)}", " and ".join(kinds) or "none of them")
    (kind,) = kinds
    inner = values[kind]
    if not isinstance(inner, dict):
        pick.fail(kind, "a mapping", quote(inner))
    place = f"{key}.{kind}"
    if kind == "webhook":
        to: Webhook | Email | Apprise = _webhook(_pick(document, place, inner, tuple(WEBHOOK), faults), environ)
    elif kind == "email":
        to = _email(_pick(document, place, inner, tuple(EMAIL), faults), environ)
    else:
        to = _apprise(_pick(document, place, inner, tuple(APPRISE), faults), environ)
    return Receiver(name=name, to=to, send_resolved=pick.truth("send_resolved", default=True))


def _webhook(pick: Pick, environ: Mapping[str, str] | None) -> Webhook:
    url = _expand(pick, "url", _text(pick, "url", "a URL"), environ)
    private = pick.truth("allow_private", default=False)
    chosen = pick.choice("format", FORMATS, "")
    if environ is not None or "${" not in url:
        _check_url(pick, url, private=private)
    secrets = {name: _secret(pick, name, environ) for name in _SECRETS}
    if secrets["previous_secret"] and not secrets["secret"]:
        pick.fail("previous_secret_env", "secret_env or secret_file beside it", "none")
    if (secrets["username"] is None) != (secrets["password"] is None):
        pick.fail("username_env", "username and password, or neither", "one of them")
    if secrets["bearer"] and secrets["username"]:
        pick.fail("bearer_env", "bearer or username, not both", "both")
    return Webhook(
        url=url,
        format=chosen or format_of(urlsplit(url).hostname or ""),
        allow_private=private,
        ca_file=_optional(pick, "ca_file"),
        **secrets,
    )


def _check_url(pick: Pick, url: str, *, private: bool) -> None:
    """Refuse what cannot be asked, without telling the URL: it may hold a token."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        pick.fail("url", "a URL with a host and a port", "one that cannot be read")
    if parts.scheme not in {"http", "https"}:
        pick.fail("url", "a URL that begins with https://", quote(f"{parts.scheme}:") if parts.scheme else "another")
    if not parts.hostname or port == 0 or not url.isprintable() or " " in url:
        pick.fail("url", "a URL with a host", "one without")
    if parts.scheme == "http" and not private:
        hint = "allow_private: true takes http in one's own network"
        pick.fail("url", "a URL that begins with https://", "http://", hint)


def _email(pick: Pick, environ: Mapping[str, str] | None) -> Email:
    host = _expand(pick, "host", _text(pick, "host", "the mail server's name"), environ)
    tls: Tls = pick.choice("tls", ("starttls", "implicit", "none"), "starttls")
    if tls == "none" and not is_loopback(host):
        pick.fail("tls", "starttls or implicit, or a server on this machine", f"none for {host}")
    port = pick.count("port", 465 if tls == "implicit" else 587)
    if not 0 < port <= _MOST_PORT:
        pick.fail("port", "a port from 1 to 65535", str(port))
    sender = _text(pick, "from", "an address")
    to = pick.names("to") or ()
    if not to:
        pick.fail("to", "one address or more", "none")
    for key, addresses in (("from", (sender,)), ("to", to)):
        for address in addresses:
            if not _MAILBOX.fullmatch(address):
                pick.fail(key, "an address such as ops@example.org", quote(address))
    username, password = _secret(pick, "username", environ), _secret(pick, "password", environ)
    if (username is None) != (password is None):
        pick.fail("username_env", "username and password, or neither", "one of them")
    ca_file = _optional(pick, "ca_file")
    return Email(
        host=host, port=port, tls=tls, sender=sender, to=to, ca_file=ca_file, username=username, password=password
    )


def _apprise(pick: Pick, environ: Mapping[str, str] | None) -> Apprise:
    urls = _secret(pick, "urls", environ)
    if urls is None:
        pick.fail("urls_env", "the variable or file that holds the addresses", "none")
    return Apprise(urls=urls)


def _secret(pick: Pick, name: str, environ: Mapping[str, str] | None) -> Secret | None:
    variable, file = _optional(pick, f"{name}_env"), _optional(pick, f"{name}_file")
    if variable is not None and file is not None:
        pick.fail(f"{name}_env", f"{name}_env or {name}_file", "both")
    if variable is not None and environ is not None and not environ.get(variable):
        pick.fail(f"{name}_env", f"the environment variable {variable}", "none, or an empty one")
    return Secret(variable=variable, file=file) if variable or file else None


def _expand(pick: Pick, key: str, text: str, environ: Mapping[str, str] | None) -> str:
    """``text`` with each ``${NAME}`` replaced; as it is where there is no environment to ask."""
    if environ is None:
        return text
    for name in _VARIABLE.findall(text):
        if not environ.get(name):
            pick.fail(key, f"the environment variable {name}", "none, or an empty one")
    return _VARIABLE.sub(lambda found: environ[found[1]], text)


def _pick(document: Document, key: str, values: Mapping[str, Any], known: Sequence[str], faults: list[Fault]) -> Pick:
    unknown = [document.unknown(f"{key}.{name}", known) for name in values if name not in known]
    faults.extend(unknown[1:])
    if unknown:
        raise WrongError(unknown[0])
    draft = Draft("", "", None, dict(values))
    draft.place = (document, key)
    return Pick(draft, {})


def _text(pick: Pick, key: str, expected: str) -> str:
    value = pick.get(key)
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        pick.fail(key, expected, "nothing" if value in {None, ""} else "something else")
    return value.strip()


def _optional(pick: Pick, key: str) -> str | None:
    return None if pick.get(key) is None else _text(pick, key, "a text")
