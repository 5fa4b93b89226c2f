"""Room alert: what each key of a rule file means, for the reference. No I/O, no clock."""

from collections.abc import Mapping
from typing import Final

KEYS: Final[Mapping[str, tuple[str, str, str]]] = {
    "alert": ("text", "", "The alert's name; one of a shipped rule changes that rule."),
    "enabled": ("true or false", "true", "Whether it is judged."),
    "signal": ("a signal", "", "What it is about. One of `signal`, `slo`, `all` must be there."),
    "stat": ("a statistic", "the signal's", "Of the window's samples."),
    "window": ("duration, 5s to 6h in steps of 5s", "5m", "How far back samples count."),
    "where": ("attributes with their values", "all calls", "Which calls or readings count."),
    "by": (
        "attributes",
        "none",
        "Attributes that tell alerts apart; they are its labels, with `_` for dots. None that holds texts or headers.",
    ),
    "op": ("`>`, `>=`, `<`, `<=`", "`>`", "The side of the threshold that is bad."),
    "threshold": ("number, in the signal's unit", "", "The bound."),
    "resolve_threshold": ("number, in the signal's unit", "`threshold`", "The bound while it fires."),
    "error_types": ("texts", "all", "Values of `error.type`, or codes of the provider, that are errors; for ratios."),
    "per": ("duration", "the window", "The time that a sum is scaled to."),
    "for": ("duration", "0s", "How long it must be breached before it fires."),
    "labels": ("names with templates", "none", "Added to what is told, for routes."),
    "annotations": ("names with templates", "none", "Texts for people."),
    "allow_unbounded": ("true or false", "false", "Take attributes as `by` that differ in every call."),
    "repeat_interval": ("duration", "4h", "While it fires it is told again this often."),
    "cooldown": ("duration", "5m", "Least time from a told end to the next told beginning."),
    "keep_firing_for": ("duration", "1m", "How long it must be clear before it resolves."),
    "min_samples": ("whole number", "20; the signal's own; 50 for `slo`", "With fewer there is no verdict."),
    "no_data": ("`keep`, `resolve`, `alert`", "keep", "What silence means to an alert that fires."),
    "no_data_after": ("duration", "5m", "How long silence keeps it firing."),
    "send_resolved": ("true or false", "true", "Whether its end is told."),
    "max_instances": ("whole number", "50", "Alerts of the rule; one more, labelled `__other__`, stands for the rest."),
    "slo": ("a mapping", "", "An error budget: the keys below."),
    "all": ("conditions", "", "All must be breached; each has the keys from `signal` to `per`, and `min_samples`."),
    "objective": ("share, between 0 and 1", "", "In `slo`: of calls that are to succeed."),
    "burn_rate": ("number", "", "In `slo`: how many times faster than the budget allows."),
    "long": ("duration", "1h", "In `slo`: the long window."),
    "short": ("duration", "5m", "In `slo`: the short window, by which it ends soon."),
    "period": ("duration", "30d", "In `slo`: the time that the budget is for; told, not judged."),
}
"""Value, default and meaning."""
