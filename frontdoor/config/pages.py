"""The error pages that a config names: whether they are there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from frontdoor.config.problem import Path
from frontdoor.config.settings import DoorSettings
from frontdoor.http.pages import load


def page_faults(doors: Iterable[DoorSettings]) -> Iterator[tuple[Path, str]]:
    """Find folders of error pages that cannot be read, or have a page that is none."""
    for door in doors:
        if fault := _fault(door.http.error_pages):
            yield (*door.place, "http", "error_pages"), fault


def _fault(folder: str) -> str:
    if not folder:
        return ""
    try:
        load(folder)
    except FileNotFoundError as error:
        return f"{error.filename or folder}: there is no such folder"
    except NotADirectoryError:
        return f"{folder} is not a folder: the pages stand in one, as 502.html and 503.html"
    except OSError as error:
        return f"{error.filename or folder} cannot be read: {error.strerror}"
    except ValueError as error:
        return str(error)
    return ""
