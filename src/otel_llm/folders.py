"""Where this platform keeps a user's settings and data.

On Linux by the XDG base directory specification, as platformdirs does, which takes longer to load than all that reads
settings; elsewhere platformdirs is asked.
"""

import os
import sys
from pathlib import Path
from typing import Final

NAME: Final = "otel-llm"


def settings() -> Path:
    """The folder of a user's settings."""
    if sys.platform.startswith("linux"):
        return _xdg("XDG_CONFIG_HOME", ".config")
    import platformdirs  # noqa: PLC0415 - see above

    return platformdirs.user_config_path(NAME)


def data() -> Path:
    """The folder of a user's data."""
    if sys.platform.startswith("linux"):
        return _xdg("XDG_DATA_HOME", ".local/share")
    import platformdirs  # noqa: PLC0415

    return platformdirs.user_data_path(NAME, appauthor=False)


def _xdg(variable: str, usual: str) -> Path:
    named = os.environ.get(variable, "").strip()
    return Path(named or os.path.expanduser(f"~/{usual}"), NAME)  # noqa: PTH111 - `Path.home` raises
