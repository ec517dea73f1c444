"""The log file that a config names: whether it can be one."""

from __future__ import annotations

import os
from collections.abc import Iterator

from frontdoor.config.problem import Path
from frontdoor.config.process import FrontdoorSettings


def log_file_faults(settings: FrontdoorSettings) -> Iterator[tuple[Path, str]]:
    """Find a log file that is a folder, or is in none.

    Whether it can be written to is not asked: whoever checks a config is mostly somebody else than the door process,
    and a disk that is full is no mistake in a config. Then the log says so on stderr, and frontdoor serves.
    """
    if fault := _fault(settings.log_file):
        yield ("frontdoor", "log_file"), fault


def _fault(path: str) -> str:
    if not path:
        return ""
    if os.path.isdir(path):
        return f'{path} is a folder: write the path of a file, or "" for stderr'
    folder = os.path.dirname(path)
    try:
        os.stat(folder)
    except FileNotFoundError:
        return f"{folder}: there is no such folder; make it, for the user that frontdoor runs as"
    except NotADirectoryError:
        return f"{folder} is in a file, and not in a folder"
    except OSError:
        return ""  # not ours to look at: it may be the door process's
    return "" if os.path.isdir(folder) else f"{folder} is not a folder"
