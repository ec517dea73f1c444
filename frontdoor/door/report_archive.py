"""The archive: the reports of all swaps, as those who ask for one get it."""

from typing import TYPE_CHECKING, Any

import trio

from frontdoor.control.operator import FAILED, NOT_FOUND, Refused
from frontdoor.door.report_folder import Summary
from frontdoor.door.reporting import Reporting
from frontdoor.observe.reports.encoding import as_json, decode, encode
from frontdoor.observe.reports.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 5.0
"""Seconds for the disk."""

NAMED = 12
"""Numbers that are named to somebody who has asked for one that there is not."""


class Archive:
    """Finds them, and writes them as JSON, text or a picture."""

    def __init__(self, reporting: Reporting) -> None:
        self._reporting = reporting

    def __repr__(self) -> str:
        return f"<Archive of {self._reporting}>"

    async def summaries(self, door: str) -> list[Summary]:
        """Of all reports of a door, the newest first. Raises Refused."""
        with trio.move_on_after(PATIENCE):
            return await self._reporting.summaries(door)
        raise _hung()

    async def report(self, door: str, number: int | None, form: str) -> tuple[bytes, str]:
        """One of them, None: the last one; and its content type. Raises Refused."""
        with trio.move_on_after(PATIENCE):
            report = await self._find(door, number)
            values = encode(report)
            return await trio.to_thread.run_sync(_FORMS[form], values)
        raise _hung()

    async def _find(self, door: str, number: int | None) -> Report:
        if number is not None and (report := await self._reporting.report(door, number)) is not None:
            return report
        there = [summary["number"] for summary in await self._reporting.summaries(door)]
        if not there:
            why = f"there is no report of the door {door} yet: each swap leaves one"
            raise Refused(FAILED, why, status=NOT_FOUND)
        if number is None and (report := await self._reporting.report(door, there[0])) is not None:
            return report
        names = ", ".join(map(str, there[:NAMED])) + (f" … {there[-1]}" if len(there) > NAMED else "")
        which = "the last one" if number is None else f"swap {number}"
        raise Refused(FAILED, f"there is no report of {which} of the door {door}: there is {names}", status=NOT_FOUND)


def _hung() -> Refused:
    return Refused(FAILED, "the folder of the reports does not answer: look at the disk that state_dir is on")


def _json(values: dict[str, Any]) -> tuple[bytes, str]:
    return as_json(values), "application/json"


def _text(values: dict[str, Any]) -> tuple[bytes, str]:
    from frontdoor.observe.reports.text import text

    return text(decode(values)).encode(), "text/plain; charset=utf-8"


def _svg(values: dict[str, Any]) -> tuple[bytes, str]:
    from frontdoor.observe.reports.picture import picture

    return picture(decode(values)).encode(), "image/svg+xml"


_FORMS: dict[str, "Callable[[dict[str, Any]], tuple[bytes, str]]"] = {"json": _json, "text": _text, "svg": _svg}
