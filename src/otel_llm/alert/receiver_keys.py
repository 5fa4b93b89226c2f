"""Room alert: keys of receivers and routes: which there are, and what the reference says of each. No I/O, no clock."""

from collections.abc import Mapping
from typing import Final

Keys = Mapping[str, tuple[str, str, str]]
"""Value, default and meaning of each."""

RECEIVER: Final[Keys] = {
    "name": ("text", "", "As routes call it; each once."),
    "send_resolved": ("true or false", "true", "Whether the end of an alert is told."),
    "webhook": ("a mapping", "", "An HTTP endpoint. One of `webhook`, `email`, `apprise` must be there."),
    "email": ("a mapping", "", "People who read mail."),
    "apprise": ("a mapping", "", "Whatever Apprise knows; needs `pip install 'otel-llm[apprise]'`."),
}

WEBHOOK: Final[Keys] = {
    "url": ("URL", "", "Where; `${NAME}` stands for an environment variable. Told nowhere, for it may hold a token."),
    "format": (
        *("`alertmanager_v4`, `slack`, `discord`, `generic`", "by the host, else `alertmanager_v4`"),
        "How a message is written.",
    ),
    "allow_private": (
        *("true or false", "false"),
        "It may be in one's own network or on this machine, and there without TLS.",
    ),
    "ca_file": ("path", "the system's", "Certificates (PEM) of who may vouch for it."),
    "secret_env": ("variable", "none", "Signs what is sent (HMAC-SHA256)."),
    "secret_file": ("path", "none", "The same, from a file's first line."),
    "previous_secret_env": ("variable", "none", "Signs it too, while receivers change over."),
    "previous_secret_file": ("path", "none", "The same, from a file."),
    "bearer_env": ("variable", "none", "Sent as `Authorization: Bearer`."),
    "bearer_file": ("path", "none", "The same, from a file."),
    "username_env": ("variable", "none", "Sent with the password as `Authorization: Basic`."),
    "username_file": ("path", "none", "The same, from a file."),
    "password_env": ("variable", "none", "Belongs to the user name."),
    "password_file": ("path", "none", "The same, from a file."),
}

EMAIL: Final[Keys] = {
    "host": ("name", "", "The mail server that takes it; `${NAME}` stands for an environment variable."),
    "port": ("1 to 65535", "587; 465 for `implicit`", "Of the server."),
    "tls": (
        *("`starttls`, `implicit`, `none`", "`starttls`"),
        "STARTTLS is required, never tried; `none` is for a server on this machine.",
    ),
    "from": ("address", "", "The sender."),
    "to": ("addresses", "", "The readers."),
    "ca_file": ("path", "the system's", "Certificates (PEM) of who may vouch for the server."),
    "username_env": ("variable", "none", "Name to log in with."),
    "username_file": ("path", "none", "The same, from a file."),
    "password_env": ("variable", "none", "Password to log in with."),
    "password_file": ("path", "none", "The same, from a file."),
}

APPRISE: Final[Keys] = {
    "urls_env": ("variable", "", "Apprise's addresses, apart by blanks or commas."),
    "urls_file": ("path", "", "The same, from a file's first line."),
}

ROUTE: Final[Keys] = {
    "receiver": ("a receiver's name", "the one above", "Who is told; at the root it must be said."),
    "match": ("labels with a value or values", "all alerts", "Which alerts take this route; none at the root."),
    "continue": ("true or false", "false", "The routes after it are asked too."),
    "group_by": (
        *("labels", "the one above, `[alertname]`"),
        "What is alike in these is told together; `['...']` tells each alert by itself.",
    ),
    "group_wait": ("duration", "the one above, 5s", "How long the first message of a group waits for others."),
    "group_interval": ("duration", "the one above, 1m", "Least time between two notifications of a group; 0s is none."),
    "repeat_interval": ("duration", "the rule's", "Repeats are told no more often than this."),
    "routes": ("routes", "none", "Asked first; the deepest match decides."),
}
