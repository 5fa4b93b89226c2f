"""Real parts that any test may ask for by name; a missing one fails and says how to get it."""

pytest_plugins = [
    "parts.ports",
    "parts.model",
    "parts.collector",
    "parts.application",
    "parts.nvml",
    "parts.receivers",
    "parts.prometheus",
]
