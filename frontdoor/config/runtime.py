"""Where frontdoor keeps its sockets: all that the command line needs of a config.

Standard library only, and none of this room's other modules: `frontdoor swap` must start in 150 ms.
"""

from __future__ import annotations

import os
import tomllib

DEFAULT = "run"


def runtime_dir(path: str) -> str:
    """Give the absolute runtime_dir of the config at `path`, without checking the rest of it.

    Raises OSError if the file cannot be read, ValueError if it is not TOML in UTF-8.
    """
    with open(path, "rb") as file:
        text = file.read().decode("utf-8-sig")
    try:
        table = tomllib.loads(text).get("frontdoor")
    except RecursionError:
        raise ValueError("arrays or tables are nested too deep") from None
    value = table.get("runtime_dir") if isinstance(table, dict) else None
    shown = runtime_dir_shown(value if isinstance(value, str) and value else None)
    return beside(path, shown)


def runtime_dir_shown(value: str | None) -> str:
    """Give the runtime_dir as somebody wrote it: the config's value, else $RUNTIME_DIRECTORY, else "run"."""
    return value or systemd_folder("RUNTIME_DIRECTORY") or DEFAULT


def systemd_folder(variable: str) -> str | None:
    """Give the first folder of a variable that systemd sets: it is a list with colons (systemd.exec(5))."""
    return os.environ.get(variable, "").split(":")[0] or None


def beside(path: str, name: str) -> str:
    """Take `name` from the folder that the file `path` is in, and make it absolute."""
    return os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(path)), name))
