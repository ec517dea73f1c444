"""What a verb says: results to stdout, everything else to stderr.

A progress line that cannot be written is dropped: `frontdoor swap`'s exit code is the swap's outcome, and not
that of the pipe that its progress went to.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from frontdoor.control.wording import printable


def result(text: str) -> None:
    """Print one result. Raises :exc:`BrokenPipeError` when nobody reads it."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def result_json(value: Any) -> None:
    """Print one result as a JSON object on one line. Raises :exc:`BrokenPipeError`."""
    import json  # here: most calls print none

    result(json.dumps(value, ensure_ascii=False))


def outcome(text: str) -> None:
    """Print the last result of a change that has happened: no pipe can alter that."""
    try:
        result(text)
    except OSError:
        _to_nowhere(1)


def outcome_json(value: Any) -> None:
    """Print a line of a change that happens as JSON: no pipe can alter that."""
    import json  # as above

    outcome(json.dumps(value, ensure_ascii=False))


def told(answer: Mapping[str, Any], *, as_json: bool) -> int:
    """Print the outcome of a change that was certain at once; returns its exit code."""
    if as_json:
        outcome_json(answer)
    else:
        outcome(printable(str(answer.get("message", answer.get("result")))))
    return int(answer.get("exit_code", 0))


def progress(text: str) -> None:
    """Print one line of what goes on."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except OSError:
        _to_nowhere(2)


def complain(message: str, output: Iterable[str] = ()) -> None:
    """Print why it did not go as asked; `output` is what a backend said last.

    Further lines of `message` (the errors of a config) and `output` are indented.
    """
    first, *further = message.splitlines() or [""]
    progress(f"frontdoor: {printable(first)}")
    said = list(output)
    for line in (*further, *(["its last output:"] if said else []), *said):
        progress(f"    {printable(line)}")


def _to_nowhere(descriptor: int) -> None:
    # What Python still has in its buffer would fail again at exit.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
